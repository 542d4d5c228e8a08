cpdef Py_ssize_t read_into(int fd, bytearray buffer) except -2
cpdef Py_ssize_t write(int fd, bytes data, Py_ssize_t start) except -2
cpdef Py_ssize_t write_pieces(int fd, list pieces, Py_ssize_t start) except -2
cpdef tuple accept(int fd)
