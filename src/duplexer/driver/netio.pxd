cpdef Py_ssize_t read_into(int fd, bytearray buffer) except -2
cpdef Py_ssize_t write(int fd, bytes data, Py_ssize_t start) except -2
cpdef Py_ssize_t write_pieces(int fd, list pieces, Py_ssize_t start) except -2
cpdef tuple accept(int fd)
cpdef int by_descriptor(object sock) except -2
cpdef Py_ssize_t receive(int fd, bytearray buffer, int flags) except -2
cpdef Py_ssize_t send(int fd, bytes data, int flags) except -2
cpdef Py_ssize_t send_pieces(int fd, list pieces, int flags) except -2
