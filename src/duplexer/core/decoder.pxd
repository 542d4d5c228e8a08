from libc.stdint cimport uint8_t

from duplexer.core.messages cimport Assembler


cdef class Decoder:
    cdef public Assembler assembler
    cdef public list controls
    cdef public Py_ssize_t budget
    cdef public int last_opcode
    cdef public Py_ssize_t last_size

    cpdef Py_ssize_t feed(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t end) except -1
    cpdef bint is_between_frames(self) except -1
