# cython: freethreading_compatible=False
"""Byte work for the compiled build: see bytesops.py, which says what each piece does.

This is the one module with two bodies. Measured on the way to that: the same Growing and Cork on
bytearray, in shared source, cost one more copy of every large message each way, 60 to 100 us for
1 MiB where the kernel's part is 400.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize_ "PyBytes_FromStringAndSize" (char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    char* PyBytes_AS_STRING_ "PyBytes_AS_STRING" (PyObject*)
    ctypedef struct PyBytesObject:
        Py_hash_t ob_shash
    Py_ssize_t Py_REFCNT(PyObject*)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object)
    int PyUnicode_IS_COMPACT_ASCII(object)
    str PyUnicode_DecodeUTF8(const char*, Py_ssize_t, const char*)

cdef extern from "native/native.h" nogil:
    void dx_xor_copy(uint8_t* dst, const uint8_t* src, size_t n, uint32_t key)
    int dx_ascii_xor_copy(uint8_t* dst, const uint8_t* src, size_t n, uint32_t key)
    uint32_t dx_rotate(uint32_t key, size_t phase)
    uint32_t dx_utf8(uint32_t state, const uint8_t* p, size_t n)
    uint32_t dx_load32(const uint8_t* p)
    void dx_native_init()
    const char* dx_native_name()
    int dx_native_force(const char*)
    enum: DX_UTF8_REJECT

dx_native_init()

# A payload of this size or more leaves uncopied, as a piece of its own (one more iovec costs less
# than the copy).
DEF BIG = 32768
DEF POOL = 4096

BIG_PAYLOAD = BIG


def kernels() -> str:
    """Name of the instruction set that the byte kernels use."""
    return dx_native_name().decode()


def force_kernels(name: str | None) -> bool:
    """Use another implementation of the kernels (for tests); False if it cannot run here."""
    if name is None:
        return bool(dx_native_force(NULL))
    return bool(dx_native_force(name.encode()))


cpdef uint32_t load32(const uint8_t* p, Py_ssize_t i) noexcept:
    return dx_load32(p + i)


cpdef uint32_t rotate(uint32_t key, Py_ssize_t phase) noexcept:
    return dx_rotate(key, phase)


cpdef bytes unmask(const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if key == 0:
        memcpy(PyBytes_AS_STRING(out), p + i, n)
    else:
        dx_xor_copy(<uint8_t*>PyBytes_AS_STRING(out), p + i, n, key)
    return out


cpdef str unmask_text(const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key):
    # Nearly all text is ASCII: unmask it straight into the str, and look at the high bits on the
    # way. What turns out not to be ASCII is decoded from those bytes.
    cdef str out
    cdef uint8_t* data
    if n == 0:
        return ""
    out = PyUnicode_New(n, 127)
    data = <uint8_t*>PyUnicode_DATA(out)
    if dx_ascii_xor_copy(data, p + i, n, key):
        return out
    try:
        return PyUnicode_DecodeUTF8(<const char*>data, n, NULL)
    except UnicodeDecodeError:
        return None


# -- what is random already ----------------------------------------------------------------------

DEF STRETCHES = 4
DEF STRETCH = 256
DEF FEWEST_PAIRS = 1776
DEF MOST_PAIRS = 2316


cdef bint is_mixed(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t step = (n - STRETCH) // (STRETCHES - 1)
    cdef Py_ssize_t i, j
    cdef uint32_t counts[256]
    cdef uint32_t pairs = 0
    memset(counts, 0, sizeof(counts))
    for i in range(STRETCHES):
        for j in range(STRETCH):
            pairs += counts[p[j]]  # this one makes a pair with each that came before
            counts[p[j]] += 1
        p += step
    return FEWEST_PAIRS <= pairs <= MOST_PAIRS


def looks_random(data: object) -> bool:
    """Whether the bytes-like ``data`` is as evenly mixed as if by chance: compressed, encrypted."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return view.len >= STRETCHES * STRETCH and is_mixed(<const uint8_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


# -- random numbers --------------------------------------------------------------------------------

cdef uint8_t pool[POOL]
cdef Py_ssize_t pool_left = 0


cdef int refill() except -1:
    global pool_left
    cdef bytes fresh = os.urandom(POOL)
    memcpy(pool, PyBytes_AS_STRING(fresh), POOL)
    pool_left = POOL
    return 0


cpdef uint32_t random32() except? 0:
    global pool_left
    cdef uint32_t value
    if pool_left < 4:
        refill()
    pool_left -= 4
    memcpy(&value, pool + pool_left, 4)
    memset(pool + pool_left, 0, 4)  # a key that was used is not kept
    return value


def forget_random() -> None:
    """Throw the pool away: after a fork the child must not use the parent's numbers."""
    global pool_left
    pool_left = 0


os.register_at_fork(after_in_child=forget_random)


# -- large buffers -----------------------------------------------------------------------------------
#
# Most of what a large message costs in user space is that its pages are new: the kernel clears each
# and maps it. So the last few are remembered, and one that its reader has let go of is used again.

DEF SPARES = 8
DEF SPARE_LEAST = 131072
DEF SPARE_MOST = 1114112

cdef PyObject* spares[SPARES]
cdef int spare_at = 0


cdef int remember(PyObject* data) except -1:
    """Keep ``data`` for ``reuse``; it may still be somebody's message."""
    global spare_at
    cdef Py_ssize_t n = PyBytes_GET_SIZE(<object>data)
    if SPARE_LEAST <= n <= SPARE_MOST:
        Py_XDECREF(spares[spare_at])
        Py_INCREF(<object>data)
        spares[spare_at] = data
        spare_at = (spare_at + 1) % SPARES
    return 0


cdef PyObject* reuse(Py_ssize_t need, Py_ssize_t expected) except? NULL:
    """A buffer of at least ``need`` bytes that nobody else has any more, or NULL."""
    cdef int k
    cdef PyObject* data
    if expected < SPARE_LEAST:
        return NULL
    for k in range(SPARES):
        data = spares[k]
        if data != NULL and Py_REFCNT(data) == 1:
            if need <= PyBytes_GET_SIZE(<object>data) <= 2 * expected:
                spares[k] = NULL
                (<PyBytesObject*>data).ob_shash = -1  # of what was in it
                return data
    return NULL


# -- incoming ----------------------------------------------------------------------------------------

cdef class Growing:
    def __dealloc__(self):
        Py_XDECREF(self._bytes)

    cdef int _grow(self, Py_ssize_t need, Py_ssize_t expected) except -1:
        # What was announced is believed up to four times what has come (CVE-2026-54274).
        cdef Py_ssize_t room = max(need, min(4 * need, expected))
        if self._bytes == NULL:
            self._bytes = reuse(need, expected)
            if self._bytes != NULL:
                room = PyBytes_GET_SIZE(<object>self._bytes)
            else:
                self._bytes = PyBytes_FromStringAndSize_(NULL, room)
        else:
            room = max(room, self._room + (self._room >> 1))
            try:
                _PyBytes_Resize(&self._bytes, room)
            except:  # what there was is lost
                self._room = self.size = 0
                raise
        self._room = room
        return 0

    cpdef int push(
        self, const uint8_t* p, Py_ssize_t i, Py_ssize_t n, uint32_t key, Py_ssize_t expected
    ) except -1:
        cdef uint8_t* data
        if n == 0:
            return 0
        if self.size + n > self._room or self._bytes == NULL:
            self._grow(self.size + n, self.size + max(n, expected))
        data = <uint8_t*>PyBytes_AS_STRING_(self._bytes) + self.size
        if key == 0:
            memcpy(data, p + i, n)
        else:
            dx_xor_copy(data, p + i, n, key)
        self.size += n
        return 0

    cpdef bint is_text(self, Py_ssize_t start):
        if self.size > start:
            self._utf8 = dx_utf8(
                self._utf8,
                <const uint8_t*>PyBytes_AS_STRING_(self._bytes) + start,
                self.size - start,
            )
        return self._utf8 != DX_UTF8_REJECT

    cpdef bint is_complete_text(self):
        return self._utf8 == 0

    cpdef bytes take_bytes(self):
        cdef bytes out
        if self.size == 0:
            self.clear()
            return b""
        if self.size < self._room:
            try:
                _PyBytes_Resize(&self._bytes, self.size)
            except:  # what there was is lost
                self._room = self.size = 0
                raise
        out = <bytes>self._bytes
        self.clear()
        return out

    cpdef str take_text(self):
        cdef str out = ""
        if self.size:
            out = PyUnicode_DecodeUTF8(PyBytes_AS_STRING_(self._bytes), self.size, NULL)
        self.clear()
        return out

    cpdef str take_text_part(self):
        # All but the beginning of a character whose rest has not come: at most three bytes.
        cdef uint32_t state = self._utf8
        cdef Py_ssize_t end = self.size
        cdef uint8_t rest[4]
        cdef Py_ssize_t held
        cdef const uint8_t* data
        cdef str out
        if end == 0:
            return ""
        data = <const uint8_t*>PyBytes_AS_STRING_(self._bytes)
        if state == DX_UTF8_REJECT:
            raise ValueError("this is not UTF-8")
        if state != 0:
            end -= 1
            while end > 0 and self.size - end < 3 and data[end] & 0xC0 == 0x80:
                end -= 1
        held = self.size - end
        memcpy(rest, data + end, held)
        out = PyUnicode_DecodeUTF8(<const char*>data, end, NULL)
        self.clear()
        self.push(rest, 0, held, 0, 0)
        self._utf8 = state
        return out

    cpdef int clear(self) except -1:
        if self._bytes != NULL:
            remember(self._bytes)
            Py_XDECREF(self._bytes)
        self._bytes = NULL
        self._room = self.size = 0
        self._utf8 = 0
        return 0


# -- outgoing ----------------------------------------------------------------------------------------

# Who publishes many messages in a turn sends the same ones in the same order to many connections:
# they are joined once for all of them. As long as a connection sends nothing else, it only counts.
cdef Run latest = None


cdef class Run:
    cdef bytes join(self, Py_ssize_t n):
        if n != self.of:
            self.whole = b"".join(self.pieces[:n]) if n > 1 else self.pieces[0]
            self.of = n
        return self.whole


cdef class Cork:
    def __dealloc__(self):
        Py_XDECREF(self._bytes)

    cpdef int reserve(self, Py_ssize_t n) except -1:
        cdef Py_ssize_t room
        if self._used + n <= self._room:
            return 0
        if self._run is not None:
            self._leave_run()
        if self._bytes == NULL:
            self._bytes = PyBytes_FromStringAndSize_(NULL, n)
            self._room = n
            return 0
        # Who sends more than once in a turn mostly sends much more: few steps.
        room = max(self._used + n, 4 * self._room + 256)
        try:
            _PyBytes_Resize(&self._bytes, room)
        except:  # what there was is lost
            self._used = self._room = 0
            self.size = sum([len(piece) for piece in self._sealed or ()])
            raise
        self._room = room
        return 0

    cdef int _trim(self) except -1:
        if self._used < self._room:
            try:
                _PyBytes_Resize(&self._bytes, self._used)
            except:  # what there was is lost
                self._used = self._room = 0
                self.size = sum([len(piece) for piece in self._sealed or ()])
                raise
        return 0

    cdef int _leave_run(self) except -1:
        # Something else is to be sent after it.
        self._sealed = [self._run.join(self._pieces)]
        self._run = None
        return 0

    cdef int _seal(self) except -1:
        cdef bytes piece
        if self._run is not None:
            self._leave_run()
        if self._sealed is None:
            self._sealed = []
        if self._used:
            self._trim()
            piece = <bytes>self._bytes
            self._sealed.append(piece)
        Py_XDECREF(self._bytes)
        self._bytes = NULL
        self._used = self._room = 0
        return 0

    cpdef int put2(self, uint32_t b0, uint32_t b1) except -1:
        cdef uint8_t* data
        self.reserve(2)
        data = <uint8_t*>PyBytes_AS_STRING_(self._bytes) + self._used
        data[0] = b0
        data[1] = b1
        self._used += 2
        self.size += 2
        return 0

    cpdef int put16(self, uint32_t value) except -1:
        return self.put2(value >> 8, value & 0xFF)

    cpdef int put64(self, uint64_t value) except -1:
        cdef int shift = 48
        while shift >= 0:
            self.put16((value >> shift) & 0xFFFF)
            shift -= 16
        return 0

    cpdef int put32_raw(self, uint32_t value) except -1:
        self.reserve(4)
        memcpy(PyBytes_AS_STRING_(self._bytes) + self._used, &value, 4)
        self._used += 4
        self.size += 4
        return 0

    cpdef int put(self, object data, Py_ssize_t n, uint32_t key) except -1:
        cdef Py_buffer view
        cdef const uint8_t* src
        if n == 0:
            return 0
        if type(data) is bytes:
            if n >= BIG and key == 0:
                self._seal()
                self._sealed.append(data)
                self.size += n
                return 0
            return self._copy(<const uint8_t*>PyBytes_AS_STRING(<bytes>data), n, key)
        if isinstance(data, str):
            if not PyUnicode_IS_COMPACT_ASCII(data):
                raise TypeError("text must be ASCII or encoded here")
            return self._copy(<const uint8_t*>PyUnicode_DATA(data), n, key)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len != n:
                raise BufferError("the payload changed its size while it was being sent")
            return self._copy(<const uint8_t*>view.buf, n, key)
        finally:
            PyBuffer_Release(&view)

    cdef int _copy(self, const uint8_t* src, Py_ssize_t n, uint32_t key) except -1:
        cdef uint8_t* dst
        self.reserve(n)
        dst = <uint8_t*>PyBytes_AS_STRING_(self._bytes) + self._used
        if key == 0:
            memcpy(dst, src, n)
        else:
            dx_xor_copy(dst, src, n, key)
        self._used += n
        self.size += n
        return 0

    cpdef int put_shared(self, bytes data) except -1:
        global latest
        cdef Run run = self._run
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
        if run is None:
            if self.size or n >= BIG:
                return self.put(data, n, 0)
            if latest is None or latest.pieces[0] is not data:
                latest = Run()
                latest.pieces = [data]
            self._run = latest
            self._pieces = 0
        elif self._pieces == len(run.pieces):
            run.pieces.append(data)
        elif run.pieces[self._pieces] is not data:
            return self.put(data, n, 0)
        self._pieces += 1
        self.size += n
        return 0

    cpdef object take(self):
        global latest
        cdef bytes out
        cdef list pieces
        if self._run is not None:
            out = self._run.join(self._pieces)
            if self._run is latest:
                latest = None  # the turn is over: others who are in it still have it
            self._run = None
            self.size = 0
            return out
        if self._sealed is not None:
            self._seal()
            pieces = self._sealed
            self._sealed = None
            self.size = 0
            return pieces[0] if len(pieces) == 1 else pieces
        if self._used == 0:
            return b""
        self._trim()
        out = <bytes>self._bytes
        Py_XDECREF(self._bytes)
        self._bytes = NULL
        self._used = self._room = self.size = 0
        return out
