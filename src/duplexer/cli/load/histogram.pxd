cimport cython
from libc.stdint cimport int64_t

cdef int64_t STEPS, MOST


@cython.final
cdef class Histogram:
    cdef public object store
    cdef int64_t[::1] counts
    cdef public int64_t total, least, greatest
    cdef public double sum

    @cython.locals(shift=Py_ssize_t)
    cpdef int record(self, int64_t value) except -1
