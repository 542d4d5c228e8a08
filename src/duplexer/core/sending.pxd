cimport cython

from duplexer.core cimport opcodes
from duplexer.core.bytesops cimport Cork
from duplexer.core.encoder cimport Encoder


cdef class Sender:
    cdef readonly object dialect, limits
    cdef readonly bint server
    cdef readonly tuple extensions
    cdef readonly Encoder encoder
    cdef readonly Cork cork
    cdef public bint is_open, congested, gone, is_stranger
    cdef public int sending, sending_rsv
    cdef readonly Py_ssize_t sent
    cdef public object close_sent
    cdef public double latency
    cdef dict _pings
    cdef bytes _pong
    cdef bint _used_contexts
    cdef object _prepare_key, _idle_due, _mark_due
    cdef readonly object kept

    @cython.locals(n=Py_ssize_t, opcode=int)
    cpdef int send_message(self, object data, object text, object compress) except -1
    @cython.locals(rsv=int)
    cdef int _put_message(self, int opcode, object data, Py_ssize_t n, object compress) except -1
    cpdef object prepare_key(self)
    cpdef int send_prepared(self, bytes wire, int rsv) except -1
    @cython.locals(n=Py_ssize_t)
    cdef int _keep_message(self, int opcode, object data, Py_ssize_t n, object compress) except -1
    cdef int _touch_extensions(self) except -1
