cimport cython

from duplexer.asyncio.handshaking cimport Handshaking
from duplexer.core.session cimport Session


cdef class Life(Handshaking):
    cdef public object logger, request, response, subprotocol, staying
    cdef public object _id, drain_waiters, closed_waiters
    cdef object _stall
    cdef readonly bint is_server
    cdef bint _half_closed

    cpdef use_limits(self, object limits)
    @cython.locals(session=Session, rest=bytes)
    cdef int _opened(self, tuple outcome) except -1
    @cython.locals(session=Session)
    cpdef on_events(self)
    @cython.locals(session=Session)
    cpdef on_closing(self)
    @cython.locals(session=Session, now=double)
    cpdef rearm(self)
    @cython.locals(session=Session, now=double)
    cpdef on_timer(self)
    @cython.locals(session=Session, data=bytes)
    cpdef connection_lost(self, object exc)
    cdef int _release(self, Session session) except -1
