cimport cython

from duplexer.driver cimport netio
from duplexer.driver.tls cimport TlsLayer


cdef class Wire:
    cdef readonly object sock
    cdef readonly bytearray buffer, plain
    cdef public list layers
    cdef readonly Py_ssize_t pending, total
    cdef public bint torn
    cdef tuple _into
    cdef list _got
    cdef double _armed
    cdef int _fd
    cdef object _left, _recv_into, _send

    cpdef read(self, double timeout)
    @cython.locals(n=Py_ssize_t)
    cdef _read_in_c(self, int flags)
    cpdef bint is_full(self)
    cpdef Py_ssize_t taken(self) except -2
    @cython.locals(layer=TlsLayer, i=Py_ssize_t, last=Py_ssize_t)
    cpdef receive(self, Py_ssize_t n)
    @cython.locals(layer=TlsLayer, n=Py_ssize_t)
    cpdef Py_ssize_t open(self) except -1
    @cython.locals(n=Py_ssize_t, size=Py_ssize_t)
    cpdef put(self, object data)
    @cython.locals(n=Py_ssize_t, size=Py_ssize_t)
    cdef _put(self, object data, list layers)
    @cython.locals(n=Py_ssize_t)
    cdef Py_ssize_t _write(self, object data) except -1
    @cython.locals(n=Py_ssize_t)
    cdef Py_ssize_t _write_pieces(self, list pieces) except -1
    cdef _keep(self, list pieces, Py_ssize_t start)
    @cython.locals(before=Py_ssize_t, n=Py_ssize_t)
    cpdef Py_ssize_t flush(self) except -1
