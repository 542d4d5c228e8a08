cimport cython

from duplexer.core.session cimport Session
from duplexer.driver.conduct cimport Course
from duplexer.sync.mutex cimport Mutex
from duplexer.sync.wire cimport Wire


cdef class Passage(Course):
    cdef public Wire wire
    cdef bint _amid, _ended

    @cython.locals(wire=Wire, session=Session, k=Py_ssize_t, n=Py_ssize_t, late=list)
    cdef Py_ssize_t _feed(self, double now) except -2
    cdef _drain(self, double now)
    cpdef put(self, object message, object text, object compress)
    cdef _abandon(self)


cdef class Pump(Passage):
    cdef readonly Mutex mutex
    cdef readonly object changed
    cdef public object fragmenting, deserted
    cdef public bint receiver, detour
    cdef readonly bint reading
    cdef object _reader
    cdef readonly double wakes_at
    cdef readonly Py_ssize_t visits
    cdef Py_ssize_t _seen
    cdef readonly Py_ssize_t _polling, _sleeping
    cdef double _now, _due, _moved
    cdef long long _acked
    cdef bint _finished
    cdef object _broken
    cdef readonly tuple _addresses

    cpdef object work(self, object done, object argument, object timeout=*)
    @cython.locals(until=double, now=double, tried=bint)
    cdef object _labour(self, object done, object argument, object timeout)
    @cython.locals(wire=Wire, session=Session)
    cdef _wait(self, double now, double until)
    @cython.locals(wire=Wire, polls=bint, writable=bint)
    cdef _read(self, double now, double until)
    cdef bint _may_read(self) except -1
    @cython.locals(session=Session, now=double)
    cdef _arrived(self, object error, bint writable)
    @cython.locals(session=Session, wire=Wire, stalled=double, over=bint, acked=longlong)
    cpdef settle(self, double now, bint writable=*, bint attended=*)
    @cython.locals(session=Session, wire=Wire)
    cdef _write(self, double now, bint writable)
    cpdef object receive(self, object reader, object timeout)
    cpdef object _next(self, object reader, double now)
    @cython.locals(session=Session, wire=Wire)
    cpdef object push(self, bint attended=*)
    cpdef wait_written(self, object mark)
