cimport cython
from libc.stdint cimport uint8_t

from duplexer.core cimport bytesops, opcodes
from duplexer.core.bytesops cimport Growing


@cython.final
cdef class Inbox:
    cdef public object first
    cdef public list rest
    cdef public Py_ssize_t head, count, size, overhead

    cpdef int put(self, object message, Py_ssize_t size) except -1
    cpdef object pop(self)


@cython.final
cdef class Assembler:
    cdef public Inbox inbox
    cdef public tuple extensions
    cdef public int rsv_allowed, opcode, rsv
    cdef public Py_ssize_t max_message, most, most_coded, max_frame, max_fragments, bytes_per_fragment
    cdef public Py_ssize_t serial, fragments, wire, total
    cdef public Growing intake, body
    cdef public bint streaming, discarding, decoded
    cdef bint _deaf, _screened
    cdef object _pulse, _later
    cdef public object ledger
    cdef Py_ssize_t _held

    cpdef int bound(self, Py_ssize_t most) except -1
    cpdef int whole(self, object message, Py_ssize_t size) except -1
    cdef int _put(self, object message, Py_ssize_t size) except -1
    cdef int _screen(self, object message, Py_ssize_t size) except -1
    cpdef int check_size(self, Py_ssize_t size, bint coded=*) except -1
    cpdef int begin_frame(self, int opcode, int rsv, Py_ssize_t size) except -1
    cpdef int advance(self, Py_ssize_t n) except -1
    cdef int _hold(self, Py_ssize_t size) except -1
    @cython.locals(body=Growing, n=Py_ssize_t)
    cdef int _absorb(self, bytes data, bint fin) except -1
    cdef bytes _decode(self, bytes data, bint fin)
    cpdef int whole_coded(self, int opcode, int rsv, bytes data) except -1
    @cython.locals(body=Growing)
    cpdef int end_frame(self, bint fin) except -1
    @cython.locals(body=Growing)
    cpdef int flush_piece(self) except -1
