cimport cython
from libc.stdint cimport uint8_t

from duplexer.core cimport opcodes
from duplexer.core.decoder cimport Decoder
from duplexer.core.messages cimport Assembler, Inbox
from duplexer.core.sending cimport Sender


cdef class Session(Sender):
    cdef readonly Assembler assembler
    cdef readonly Inbox inbox
    cdef readonly Decoder decoder
    cdef public Py_ssize_t frames_per_turn
    cdef readonly Py_ssize_t received
    cdef readonly object phase
    cdef public bint reads, heard, reading
    cdef public list events
    cdef public object close_rcvd, rcvd_then_sent, breach, error
    cdef public bytes excerpt
    cdef readonly object keepalive
    cdef object _close_due, _message_due
    cdef object _pulse, _answer, _retire_due, _farewell
    cdef Py_ssize_t _left
    cdef readonly bint retired
    cdef Py_ssize_t _message_serial
    cdef double _tokens, _tokens_at
    cdef public object meter
    cdef Py_ssize_t _charged

    @cython.locals(stop=Py_ssize_t, decoder=Decoder)
    cpdef Py_ssize_t receive(self, const uint8_t* p, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _on_controls(self) except -1
    cpdef bint restless(self)


@cython.locals(finished=Py_ssize_t)
cdef int _count_messages(Session session) except -1
cdef int _charge(Session session, list events, double now) except -1
