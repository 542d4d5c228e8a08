cpdef tuple scan_head(bytes data, Py_ssize_t start, Py_ssize_t most, Py_ssize_t max_headers)
