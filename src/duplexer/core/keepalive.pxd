cdef class Keepalive:
    cdef object _interval, _timeout, _sent_at
    cdef double _jitter
    cdef bint _doubt
    cdef readonly object due

    cdef object _after(self, double now)
    cdef str _ping(self, double now)
