cdef class Keepalive:
    cdef object _interval, _timeout, _sent_at
    cdef double _jitter, _suspended
    cdef int _looks
    cdef readonly double patience, slept, held_up
    cdef readonly object due

    cdef object _after(self, double now)
    cdef str _ping(self, double now, double most=*)
    cpdef wait_from(self, double now)
