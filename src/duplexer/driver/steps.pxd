cdef class Read:
    cdef readonly object timeout
    cdef readonly int stage


cdef class Write:
    cdef readonly bytes data


cdef class Call:
    cdef readonly object function
    cdef readonly tuple args
    cdef readonly bint blocking
