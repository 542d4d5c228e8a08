cdef class Read:
    cdef readonly object timeout
    cdef readonly int stage
    cdef readonly object size
    cdef readonly bint idle


cdef class Write:
    cdef readonly bytes data


cdef class Call:
    cdef readonly object function
    cdef readonly tuple args
    cdef readonly bint blocking, in_time


cdef class Connect:
    cdef readonly object where
    cdef readonly object turn_at


cdef class Resolve:
    cdef readonly str host
    cdef readonly int port, family


cdef class StartTls:
    cdef readonly object context
    cdef readonly str server_hostname
    cdef readonly bint final


cdef class Disconnect:
    pass


cdef class Shake:
    cdef readonly object handshake
