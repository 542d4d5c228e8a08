cimport cython
from libc.stdint cimport uint8_t, uint32_t

from duplexer.core cimport bytesops, opcodes
from duplexer.core.bytesops cimport Cork, Growing
from duplexer.core.decoder cimport Decoder
from duplexer.core.encoder cimport Encoder
from duplexer.core.messages cimport Assembler


cdef class FrameDecoder(Decoder):
    cdef bytes head
    cdef Growing control
    cdef int mask_bit, opcode, rsv
    cdef bint fin
    cdef uint32_t key
    cdef Py_ssize_t need

    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t feed(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t end) except -1
    cpdef bint is_between_frames(self) except -1
    @cython.locals(b1=uint32_t, size=Py_ssize_t)
    cdef Py_ssize_t _head_size(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t n) except -1
    @cython.locals(opcode=int)
    cdef int _check_first(self, uint32_t b0) except -1
    @cython.locals(head=bytes, size=Py_ssize_t)
    cdef Py_ssize_t _complete_head(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t end) except -1
    @cython.locals(
        assembler=Assembler, b0=uint32_t, opcode=int, n=Py_ssize_t, key=uint32_t, text=str
    )
    cdef Py_ssize_t _frame(
        self, const uint8_t* p, Py_ssize_t i, Py_ssize_t size, Py_ssize_t end
    ) except -1
    cdef int _on_control(self, int opcode, bytes payload) except -1
    @cython.locals(n=Py_ssize_t, k=Py_ssize_t)
    cdef Py_ssize_t _long_size(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t form) except -1
    @cython.locals(n=Py_ssize_t, control=Growing, intake=Growing)
    cdef Py_ssize_t _payload(self, const uint8_t* p, Py_ssize_t i, Py_ssize_t end) except -1


cdef class FrameEncoder(Encoder):
    cdef int mask_bit

    @cython.locals(key=uint32_t)
    cpdef int put_frame(
        self, Cork cork, int opcode, bint fin, int rsv, object data, Py_ssize_t n
    ) except -1


cdef int put_frame(
    Cork cork, uint32_t b0, uint32_t mask_bit, uint32_t key, object data, Py_ssize_t n
) except -1
