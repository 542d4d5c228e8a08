cimport cython
from libc.stdint cimport uint8_t

from . cimport opcodes
from .bytesops cimport Cork
from .decoder cimport Decoder
from .encoder cimport Encoder
from .messages cimport Assembler, Inbox


cdef class Session:
    cdef readonly object dialect, limits
    cdef readonly bint server
    cdef readonly tuple extensions
    cdef readonly Assembler assembler
    cdef readonly Inbox inbox
    cdef readonly Decoder decoder
    cdef readonly Encoder encoder
    cdef readonly Cork cork
    cdef public Py_ssize_t frames_per_turn
    cdef readonly object phase
    cdef public bint is_open, reads, heard, reading, congested
    cdef public int sending, sending_rsv
    cdef public list events
    cdef public object close_rcvd, close_sent, rcvd_then_sent, breach, error
    cdef public bytes excerpt
    cdef public double latency
    cdef dict _pings
    cdef bytes _pong
    cdef bint _used_contexts
    cdef object _prepare_key, _keepalive, _close_due, _message_due, _idle_due
    cdef Py_ssize_t _message_serial
    cdef double _tokens, _tokens_at

    @cython.locals(stop=Py_ssize_t, decoder=Decoder)
    cpdef Py_ssize_t receive(self, const uint8_t* p, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _on_controls(self) except -1
    @cython.locals(n=Py_ssize_t, opcode=int)
    cpdef int send_message(self, object data, object text, object compress) except -1
    @cython.locals(rsv=int)
    cdef int _put_message(self, int opcode, object data, Py_ssize_t n, object compress) except -1
    cpdef object prepare_key(self)
    cpdef int send_prepared(self, bytes wire, int rsv) except -1
    cpdef bint restless(self)
    cdef int _touch_extensions(self) except -1
