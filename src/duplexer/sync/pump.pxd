cimport cython

from duplexer.core.session cimport Session
from duplexer.driver.conduct cimport Course
from duplexer.sync.wire cimport Wire


cdef class Pump(Course):
    cdef public Wire wire
    cdef readonly object mutex, changed
    cdef public object fragmenting, deserted
    cdef public bint receiver, detour
    cdef readonly bint reading
    cdef readonly double wakes_at
    cdef readonly Py_ssize_t visits
    cdef Py_ssize_t _seen
    cdef readonly Py_ssize_t _polling, _sleeping
    cdef double _now, _due, _moved
    cdef long long _acked
    cdef bint _finished, _ended
    cdef object _broken
    cdef readonly tuple _addresses

    cpdef object work(self, object done, object argument, object timeout=*)
    @cython.locals(until=double, now=double, tried=bint)
    cdef object _labour(self, object done, object argument, object timeout)
    @cython.locals(wire=Wire, session=Session)
    cdef _wait(self, double now, double until)
    @cython.locals(wire=Wire, polls=bint)
    cdef _read(self, double now, double until)
    @cython.locals(session=Session, now=double)
    cdef _arrived(self, Py_ssize_t n, object error, bint writable)
    @cython.locals(wire=Wire, session=Session, k=Py_ssize_t, late=list)
    cdef _feed(self, Py_ssize_t n, double now)
    @cython.locals(session=Session, wire=Wire, stalled=double, over=bint, acked=longlong)
    cpdef settle(self, double now, bint writable=*, bint attended=*)
    @cython.locals(session=Session, wire=Wire)
    cdef _write(self, double now, bint writable)
    cpdef object receive(self, object reader, object timeout)
    cpdef object _next(self, object reader, double now)
    @cython.locals(session=Session, wire=Wire)
    cpdef object push(self, bint attended=*)
    cpdef finish(self, object mark)
