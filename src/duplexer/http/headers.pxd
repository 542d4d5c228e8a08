cimport cython

cdef dict _LOWER

cpdef str shown(str text, Py_ssize_t limit=*)
cpdef bint is_token(str text) except -1
cpdef bint is_valid_value(str text) except -1
@cython.locals(name=str, bracket=str, port=str, colon=str)
cpdef bint valid_host(str host) except -1
@cython.locals(name=str, colon=str, value=str, lower=str)
cpdef object add_line(dict index, str line)
@cython.locals(index=dict, line=str, name=str, colon=str, value=str, lower=str)
cpdef dict index_lines(list lines)
cdef object _add_again(dict index, str lower, str value)
@cython.locals(lower=str)
cdef object _add(dict index, str name, str value)
