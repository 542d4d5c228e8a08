cimport cython
from libc.stdint cimport int64_t

from duplexer.asyncio.pump cimport Wire
from duplexer.cli.load.histogram cimport Histogram


@cython.final
cdef class Traffic:
    cdef public list messages
    cdef public object mistakes, on_quiet
    cdef public Histogram latency
    cdef public bint checking, recording
    cdef public Py_ssize_t mask
    cdef public int64_t budget, sent, received, bytes, flying

    cpdef int look_round(self) except -1


cdef class Sender:
    cdef public Traffic traffic
    cdef public Wire wire
    cdef public int64_t in_flight, first, sent, flying, ring
    cdef public int64_t[::1] due
    cdef public object owed

    cpdef int done(self, int64_t start, int64_t stop, int64_t now) except -1
    @cython.locals(room=int64_t)
    cpdef int fill(self, int64_t now) except -1
    cpdef int offer(self, int64_t due) except -1
    @cython.locals(traffic=Traffic, wire=Wire)
    cpdef int put(self, int64_t due) except -1
    @cython.locals(wire=Wire)
    cpdef int push(self) except -1
    cpdef int stop(self) except -1


cdef class Publisher(Sender):
    cdef public int64_t audience
    cdef public int64_t[::1] missing

    @cython.locals(number=int64_t, left=int64_t)
    cpdef int done(self, int64_t start, int64_t stop, int64_t now) except -1
    cpdef int put(self, int64_t due) except -1


@cython.final
cdef class Receiver:
    cdef public Traffic traffic
    cdef public Sender stream
    cdef public object closed
    cdef public int64_t number, heard, start, now
    cdef public bint fresh
    cdef public dict strays

    @cython.locals(traffic=Traffic, stream=Sender, heard=int64_t)
    cpdef int on_message(self, Wire wire, object message) except -1


@cython.final
cdef class Pacer:
    cdef public Traffic traffic
    cdef public list senders
    cdef public double interval
    cdef public int64_t number, step, start
    cdef public Py_ssize_t at

    cpdef int64_t due(self) except -1
    @cython.locals(due=int64_t, sender=Sender)
    cpdef int64_t run(self, int64_t now) except -1
