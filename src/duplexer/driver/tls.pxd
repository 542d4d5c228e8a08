cimport cython


cdef class TlsLayer:
    cdef object _incoming, _outgoing, _object
    cdef readonly bint at_end

    cdef bytes _read(self)
    cpdef receive(self, object data)
    @cython.locals(n=Py_ssize_t)
    cpdef Py_ssize_t read_into(self, bytearray buffer) except -1
    cpdef bytes encrypt(self, object data)
    cpdef bytes outgoing(self)
