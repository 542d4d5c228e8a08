from duplexer.http.h1 cimport RequestReader


cdef class ServerCarrier:
    cdef readonly object limits, allowed_hosts, routes, server_header
    cdef readonly bint secure, closing
    cdef readonly int stage
    cdef RequestReader _reader
    cdef bytes _ahead
    cdef bint _busy, _finishing, _idle, _told_to_continue

    cpdef object receive(self, bytes data)
    cpdef object next_request(self)
    cdef object _feed(self, bytes data)
    cpdef bytes interim(self)
    cpdef bytes take_rest(self)
