from duplexer.http.h1 cimport RequestReader


cdef class ServerCarrier:
    cdef readonly object limits, allowed_hosts, routes, server_header
    cdef readonly bint secure, closing
    cdef readonly int stage
    cdef RequestReader _reader
    cdef bytes _ahead
    cdef Py_ssize_t _at
    cdef bint _busy, _finishing, _idle, _told_to_continue

    cpdef object receive(self, bytes data)
    cpdef object next_request(self)
    cdef object _feed(self, bytes data, Py_ssize_t start)
    cpdef bytes interim(self)
    cpdef bytes take_rest(self)
