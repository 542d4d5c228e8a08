cimport cython

from duplexer.http.h1 cimport RequestReader


cdef class Opener:
    cdef readonly object serving
    cdef RequestReader _reader
    cdef bint _applies, _is_routed

    @cython.locals(reader=RequestReader)
    cpdef tuple open(self, object connection, bytes data, bint secure)


cdef object _accept(
    object connection, object serving, object request, bint secure, object presented=*
)
