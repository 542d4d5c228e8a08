cimport cython

from duplexer.http.scan cimport scan_head


cdef class _HeadReader:
    cdef public object limits
    cdef int _phase
    cdef Py_ssize_t _one_piece, _max_headers, _start, _scan, _headers_start, _count
    cdef readonly bytearray _buffer

    cdef object _forget_head(self)
    @cython.locals(found=tuple)
    cdef Py_ssize_t _whole_head(self, bytes data, Py_ssize_t start) except -1
    @cython.locals(buffer=bytearray, newline=Py_ssize_t, end=Py_ssize_t, line=bytes, raw=bytes)
    cdef bint _head_by_lines(self) except -1
    cdef object _check_size(self, Py_ssize_t length)
    cdef object _one_start_line(self, bytes line)
    cdef object _one_header_line(self, bytes line)
    cdef object _on_first_byte(self, int byte)
    cdef object _on_start_line(self, str line)
    cdef object _on_head(self, object headers)


cdef class RequestReader(_HeadReader):
    cdef public object pending
    cdef readonly Py_ssize_t stop
    cdef Py_ssize_t _length
    cdef object _chunks
    cdef str _method, _target, _version, _authority, _first, _host

    @cython.locals(stop=Py_ssize_t, line=bytes)
    cpdef object feed(self, bytes data, Py_ssize_t start=*)
    @cython.locals(piece=bytes)
    cdef object _feed_body(self, bytes data, Py_ssize_t start)
    @cython.locals(parts=list, method=str, target=str, version=str)
    cdef object _on_start_line(self, str line)
    cdef str _absolute(self, str target)
    @cython.locals(index=dict, host=object)
    cdef object _on_head(self, object headers)
    cdef object _on_body(self, object request)


cdef class ResponseReader(_HeadReader):
    cdef readonly bytes rest
    cdef bint _connect
    cdef int _interim, _status
    cdef str _reason, _version
    cdef object _response, _chunks
    cdef Py_ssize_t _length

    cpdef object feed(self, bytes data)
    @cython.locals(size=Py_ssize_t)
    cdef bint _feed_head(self) except -1
    cdef object _feed_body(self, bytes data)
    cdef object _on_start_line(self, str line)
    cdef object _on_head(self, object headers)
