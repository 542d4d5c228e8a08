from cpython.pythread cimport PyThread_type_lock


cdef class Mutex:
    cdef PyThread_type_lock _lock
    cdef unsigned long _owner
    cdef bint _held

    cpdef bint acquire(self) except -1
    cpdef release(self)
    cpdef regain(self)
    cpdef bint _is_owned(self) except -1
