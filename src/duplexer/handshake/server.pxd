cimport cython

cpdef str accept_key(str key)
@cython.locals(index=dict, answer=str, chosen=str)
cpdef tuple negotiate(object request, object options, bint secure, object dialect, str host=*)
cdef object _check_version(object value, object dialects)
cdef str _check_key(object key, object dialect)
cdef bint _is_key(str key) except -1
@cython.locals(scheme=str, slashes=str, authority=str, default=str, name=str, port=str, host_name=str, host_port=str)
cdef bint _is_same_host(str origin, str host, bint secure) except -1
cdef tuple _name_and_port(str authority)
