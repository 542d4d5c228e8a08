cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cpdef uint32_t load32(const uint8_t* p, Py_ssize_t i) noexcept
cpdef uint32_t rotate(uint32_t key, Py_ssize_t phase) noexcept
cpdef bytes unmask(const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key)
cpdef str unmask_text(const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key)
cpdef uint32_t random32() except? 0


@cython.final
cdef class Growing:
    cdef PyObject* _bytes  # a bytes object that nobody else has seen yet, or NULL
    cdef Py_ssize_t _room
    cdef uint32_t _utf8
    cdef readonly Py_ssize_t size

    cdef int _grow(self, Py_ssize_t need, Py_ssize_t expected) except -1
    cpdef int push(
        self, const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key, Py_ssize_t expected
    ) except -1
    cpdef bint is_text(self, Py_ssize_t start)
    cpdef bint is_complete_text(self)
    cpdef bytes take_bytes(self)
    cpdef str take_text(self)
    cpdef str take_text_part(self)
    cpdef int clear(self) except -1


@cython.final
cdef class Run:
    cdef list pieces
    cdef bytes whole
    cdef Py_ssize_t of

    cdef bytes join(self, Py_ssize_t n)


@cython.final
cdef class Cork:
    cdef Run _run  # what is collected is the first pieces of it, ...
    cdef Py_ssize_t _pieces  # ... so many
    cdef PyObject* _bytes  # likewise
    cdef Py_ssize_t _used
    cdef Py_ssize_t _room
    cdef list _sealed
    cdef readonly Py_ssize_t size

    cdef int _trim(self) except -1
    cdef int _leave_run(self) except -1
    cdef int _seal(self) except -1
    cdef int _copy(self, const uint8_t* src, Py_ssize_t n, uint32_t key) except -1
    cpdef int reserve(self, Py_ssize_t n) except -1
    cpdef int put2(self, uint32_t b0, uint32_t b1) except -1
    cpdef int put16(self, uint32_t value) except -1
    cpdef int put64(self, uint64_t value) except -1
    cpdef int put32_raw(self, uint32_t value) except -1
    cpdef int put(self, object data, Py_ssize_t n, uint32_t key) except -1
    cpdef int put_shared(self, bytes data) except -1
    cpdef object take(self)
