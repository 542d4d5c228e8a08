cimport cython

from duplexer.asyncio.pump cimport Outlet, Wire
from duplexer.core.session cimport Session
from duplexer.driver.steps cimport Call, Read, Write


cdef class Life(Wire):
    cdef public object limits, logger, request, response, subprotocol
    cdef public object _id, steps, drain_waiters, closed_waiters
    cdef object _call_task, _open_due, _timer, _stall
    cdef list _early
    cdef double _timer_due
    cdef int _stage
    cdef readonly bint is_server
    cdef bint _half_closed, _parked

    cdef bint _is_answering(self) except -1
    @cython.locals(answers=int)
    cdef int _advance(self, object value, object error) except -1
    cdef int _park(self) except -1
    cdef int _time_limit(self, Read step) except -1
    cdef object _call(self, Call step)
    cdef int _await(self, object value) except -1
    @cython.locals(session=Session, rest=bytes)
    cdef int _opened(self, tuple outcome) except -1
    @cython.locals(session=Session)
    cpdef on_events(self)
    @cython.locals(session=Session)
    cpdef on_closing(self)
    @cython.locals(session=Session, now=double)
    cpdef rearm(self)
    cdef int _wake_at(self, double due, double now) except -1
    @cython.locals(session=Session, now=double)
    cpdef on_timer(self)
    cdef int _expire_opening(self, double now) except -1
    @cython.locals(session=Session, data=bytes)
    cpdef connection_lost(self, object exc)
    cdef int _lost_while_opening(self, object exc) except -1
    cdef int _release(self, Session session) except -1
