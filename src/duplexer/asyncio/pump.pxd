cimport cython
from libc.stdint cimport uint8_t

from duplexer.asyncio cimport awaiting
from duplexer.asyncio.awaiting cimport Receiving, Source
from duplexer.core.bytesops cimport Cork
from duplexer.core.messages cimport Inbox
from duplexer.core.session cimport Session


cdef class Wire(Source)


@cython.final
cdef class Pump:
    cdef public object loop, call_soon, context, view, poller, direct
    cdef public bytearray buffer
    cdef public list dirty
    cdef public bint scheduled
    cdef object __weakref__

    cpdef int flush_later(self, Wire wire) except -1
    @cython.locals(dirty=list, wire=Wire)
    cpdef flush_all(self)


@cython.locals(wire=Wire, session=Session, data=bytes, rsv=int, others=list)
cpdef list fan_out(object wires, object prepared, list failures)


cdef class Outlet:
    cpdef int write(self, bytes data) except -1


cdef class Wire(Source):
    cdef public Outlet outlet
    cdef readonly Pump pump
    cdef public Session session
    cdef public object transport, write, listener, fragmenting, backlog, observer
    cdef public bint corked, dirty, write_paused, crowded, read_paused, lost, dropped, returning
    cdef public bytes stash
    cdef public Py_ssize_t stash_at
    cdef public Py_ssize_t queue_messages, queue_bytes, write_high, written
    cdef public Receiving streaming
    cdef Receiving _receiving, _iterating
    cdef object __weakref__

    cpdef buffer_updated(self, Py_ssize_t n)
    @cython.locals(session=Session, stop=Py_ssize_t)
    cdef int _take_in(self, object data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _put_back(self, object data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _come_back(self) except -1
    @cython.locals(session=Session, inbox=Inbox)
    cpdef bint is_behind(self) except -1
    @cython.locals(session=Session, inbox=Inbox)
    cdef int _deliver(self) except -1
    @cython.locals(session=Session, inbox=Inbox)
    cpdef int call_listener(self) except -1
    @cython.locals(session=Session, inbox=Inbox)
    cdef int _resume_if_room(self) except -1
    @cython.locals(session=Session, inbox=Inbox)
    cdef object next_message(self, Receiving receiving)
    @cython.locals(session=Session)
    cdef int _touch(self) except -1
    @cython.locals(session=Session, cork=Cork)
    cdef int _flush(self) except -1
