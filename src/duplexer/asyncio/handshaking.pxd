cimport cython

from duplexer.asyncio.pump cimport Outlet, Wire
from duplexer.driver.accept cimport Opener
from duplexer.driver.steps cimport Call, Read, Write


cdef class Handshaking(Wire):
    cdef public object limits, steps
    cdef public Opener opener
    cdef object _call_task, _open_due, _timer
    cdef list _early
    cdef double _timer_due
    cdef int _stage
    cdef bint _parked, _call_in_time

    cdef int _begin(self) except -1
    cdef bint _is_answering(self) except -1
    @cython.locals(answers=int)
    cdef int _advance(self, object value, object error) except -1
    cdef int _park(self) except -1
    cdef int _time_limit(self, Read step) except -1
    cdef int _expect_until(self, object timeout) except -1
    cdef object _call(self, Call step)
    cdef int _await(self, object value, bint in_time) except -1
    cdef int _expire_opening(self, double now) except -1
    cdef int _eof_while_opening(self) except -1
    cdef int _lost_while_opening(self, object exc) except -1
    cpdef bint is_secure(self) except -1
    cdef int _opened(self, tuple outcome) except -1
    cdef int _wake_at(self, double due, double now) except -1
