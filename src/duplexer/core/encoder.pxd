from duplexer.core.bytesops cimport Cork


cdef class Encoder:
    cdef public int last_opcode
    cdef public Py_ssize_t last_size

    cpdef int put_frame(
        self, Cork cork, int opcode, bint fin, int rsv, object data, Py_ssize_t n
    ) except -1
