# cython: freethreading_compatible=False
"""zlib called from C: a whole message in one call, no Python object between the steps.

Not a line of this is needed: ``zlibs.ObjectDeflater`` and ``ObjectInflater`` do the same through
Python's zlib module. It only measures better. Echo of 2 KiB of JSON, inflate and deflate, CPU time
in µs (one context, window 12, level 3; the least of 25 rounds)::

                                                   real market feeds    the same message again
    here                                                  44.2                    5.8
    the bare calls of Python's module                     45.7                    6.9
    ObjectInflater + ObjectDeflater                       54                     12

What is bare about the second line: it does not notice a message that was cut off, and could not go
on after a final block. zlib tells its caller what that takes, Python's module does not hand it on
(so there the end of a message is tried on a copy of the context, and the window is kept twice).

There are no headers to build against and nothing to link: zlib is loaded when this is imported,
where it is installed as a shared library, and this module cannot be imported where it is not.
The layout of z_stream has been the same since 1995, and deflateInit2_ and inflateInit2_ refuse a
caller with another one (they are told its size).

The GIL is held throughout, and that is what makes the shared scratch memory safe.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport SIZE_MAX, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from ..errors import ProtocolError

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize_ "PyBytes_FromStringAndSize" (char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    char* PyBytes_AS_STRING_ "PyBytes_AS_STRING" (PyObject*)

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    typedef struct { /* z_stream */
        const uint8_t *next_in;
        unsigned avail_in;
        unsigned long total_in;
        uint8_t *next_out;
        unsigned avail_out;
        unsigned long total_out;
        const char *msg;
        void *state, *zalloc, *zfree, *opaque;
        int data_type;
        unsigned long adler, reserved;
    } dx_stream;

    typedef struct {
        const char *(*version)(void);
        int (*deflate_init)(dx_stream *, int, int, int, int, int, const char *, int);
        int (*deflate)(dx_stream *, int);
        int (*deflate_reset)(dx_stream *);
        int (*deflate_end)(dx_stream *);
        int (*inflate_init)(dx_stream *, int, const char *, int);
        int (*inflate)(dx_stream *, int);
        int (*inflate_reset)(dx_stream *);
        int (*inflate_end)(dx_stream *);
        int (*inflate_get_dictionary)(dx_stream *, uint8_t *, unsigned *);
        int (*inflate_set_dictionary)(dx_stream *, const uint8_t *, unsigned);
    } dx_zlib;

    static dx_zlib dx_z;

    #ifdef _WIN32
    static int dx_z_load(void) { return 0; } /* no zlib there that one could count on */
    #else
    #include <dlfcn.h>

    static int dx_z_load(void) {
        static const char *const files[] = {"libz.so.1", "libz.1.dylib", "libz.so"};
        static const char *const names[] = { /* in the order of dx_zlib */
            "zlibVersion", "deflateInit2_", "deflate", "deflateReset", "deflateEnd",
            "inflateInit2_", "inflate", "inflateReset", "inflateEnd",
            "inflateGetDictionary", "inflateSetDictionary",
        };
        void *library = NULL, *found[sizeof names / sizeof *names];
        for (size_t i = 0; library == NULL && i < sizeof files / sizeof *files; i++)
            library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) return 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            found[i] = dlsym(library, names[i]);
            if (found[i] == NULL) return 0;
        }
        /* dlsym's void pointers are function pointers, says POSIX; ISO C has no cast for that. */
        memcpy(&dx_z, found, sizeof dx_z);
        return dx_z.version()[0] == '1';
    }
    #endif

    #define DX_SCRATCH 65536
    static uint8_t dx_scratch[DX_SCRATCH];
    static uint8_t dx_dictionary[32768];
    static const uint8_t dx_tail[4] = {0, 0, 0xFF, 0xFF};
    """
    ctypedef struct dx_stream:
        const uint8_t* next_in
        unsigned avail_in
        uint8_t* next_out
        unsigned avail_out
        const char* msg
        int data_type

    ctypedef struct dx_zlib:
        const char* version() noexcept
        int deflate_init(dx_stream*, int, int, int, int, int, const char*, int) noexcept
        int deflate(dx_stream*, int) noexcept
        int deflate_reset(dx_stream*) noexcept
        int deflate_end(dx_stream*) noexcept
        int inflate_init(dx_stream*, int, const char*, int) noexcept
        int inflate(dx_stream*, int) noexcept
        int inflate_reset(dx_stream*) noexcept
        int inflate_end(dx_stream*) noexcept
        int inflate_get_dictionary(dx_stream*, uint8_t*, unsigned*) noexcept
        int inflate_set_dictionary(dx_stream*, const uint8_t*, unsigned) noexcept

    dx_zlib dx_z
    int dx_z_load() noexcept
    size_t DX_SCRATCH
    uint8_t* dx_scratch
    uint8_t* dx_dictionary
    const uint8_t* dx_tail

cdef enum:
    OK = 0  # the names and numbers of zlib.h
    STREAM_END = 1
    MEM_ERROR = -4
    BUF_ERROR = -5
    NO_FLUSH = 0
    SYNC_FLUSH = 2
    DEFLATED = 8
    # of data_type after inflate: between two blocks, and the bits left of the last byte
    BETWEEN_BLOCKS = 128
    BITS_LEFT = 63
    # see zlibs.py
    FINALS = 16
    BYTES_PER_FINAL = 64
    # avail_in and avail_out are 32 bits wide
    MOST = 1 << 30

if not dx_z_load():
    raise ImportError("zlib is not installed as a shared library")


def version() -> str:
    """The version of the zlib that was found."""
    return dx_z.version().decode()


cdef struct Out:
    PyObject* object  # NULL as long as the scratch memory suffices
    uint8_t* base
    size_t size
    size_t room


cdef inline void begin(Out* out) noexcept:
    out.object = NULL
    out.base = dx_scratch
    out.size = 0
    out.room = DX_SCRATCH


cdef int grow(Out* out, size_t most) except -1:
    cdef size_t room = min(2 * out.room, most)
    if out.object == NULL:
        out.object = PyBytes_FromStringAndSize_(NULL, room)
        memcpy(PyBytes_AS_STRING_(out.object), dx_scratch, out.size)
    else:
        _PyBytes_Resize(&out.object, room)
    out.base = <uint8_t*> PyBytes_AS_STRING_(out.object)
    out.room = room
    return 0


cdef bytes take(Out* out, size_t size):
    if out.object == NULL:
        return PyBytes_FromStringAndSize(<char*> out.base, size)
    _PyBytes_Resize(&out.object, size)
    return <bytes> <object> out.object


cdef class Deflater:
    """As ``zlibs.Deflater``: a context of zlib's deflate."""

    cdef dx_stream z
    cdef bint made

    def __cinit__(self, int wbits, int level, int mem_level, int strategy):
        memset(&self.z, 0, sizeof(dx_stream))
        cdef int code = dx_z.deflate_init(
            &self.z, level, DEFLATED, -wbits, mem_level, strategy, dx_z.version(), sizeof(dx_stream)
        )
        if code == MEM_ERROR:
            raise MemoryError
        if code != OK:
            raise ValueError("Invalid initialization option")
        self.made = True

    def __dealloc__(self):
        if self.made:
            dx_z.deflate_end(&self.z)

    cpdef reset(self):
        """Refer to nothing before what comes."""
        dx_z.deflate_reset(&self.z)

    cpdef bytes piece(self, data, bint fin):
        """Compress all of ``data`` and flush; without the tail of the flush at the end."""
        cdef Py_buffer view
        cdef Out out
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        begin(&out)
        try:
            if view.len == 0:  # zlib would not flush again; RFC 7692 7.2.3.6
                return b"\x00" if fin else b""
            self.run(&out, <const uint8_t*> view.buf, view.len)
            return take(&out, out.size - 4 if fin else out.size)
        finally:
            Py_XDECREF(out.object)
            PyBuffer_Release(&view)

    cdef int run(self, Out* out, const uint8_t* data, Py_ssize_t left) except -1:
        cdef int flush, code
        while left:
            self.z.next_in = data
            self.z.avail_in = min(left, MOST)
            data += self.z.avail_in
            left -= self.z.avail_in
            flush = NO_FLUSH if left else SYNC_FLUSH
            while True:
                self.z.next_out = out.base + out.size
                self.z.avail_out = min(out.room - out.size, MOST)
                code = dx_z.deflate(&self.z, flush)
                out.size = self.z.next_out - out.base
                if code != OK and code != BUF_ERROR:
                    raise RuntimeError(f"deflate failed ({code})")
                if self.z.avail_out:  # only then is the flush complete
                    break
                grow(out, SIZE_MAX)
        return 0


cdef class Inflater:
    """As ``zlibs.Inflater``: a context of zlib's inflate."""

    cdef dx_stream z
    cdef bint made
    cdef bint takeover
    cdef bint fresh  # at the start of a stream
    cdef bint begun  # within a message
    cdef uint32_t last  # the last four bytes of the message
    cdef Py_ssize_t taken  # how many bytes it has so far
    cdef Py_ssize_t finals  # how many final blocks

    def __cinit__(self, int wbits, bint takeover):
        memset(&self.z, 0, sizeof(dx_stream))
        cdef int code = dx_z.inflate_init(&self.z, -wbits, dx_z.version(), sizeof(dx_stream))
        if code == MEM_ERROR:
            raise MemoryError
        if code != OK:
            raise ValueError("Invalid initialization option")
        self.made = self.fresh = True
        self.takeover = takeover

    def __dealloc__(self):
        if self.made:
            dx_z.inflate_end(&self.z)

    cpdef bytes piece(self, data, bint fin, room):
        """Decompress ``data`` to at most ``room`` bytes; of no use after it has raised."""
        cdef Py_buffer view
        cdef Out out
        cdef Py_ssize_t most = -1 if room is None else room
        if not self.begun:
            self.begun = True
            self.last = 0xFFFFFFFF
            self.taken = self.finals = 0
            if not self.takeover:
                dx_z.inflate_reset(&self.z)
                self.fresh = True
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        begin(&out)
        try:
            self.note(<const uint8_t*> view.buf, view.len)
            self.feed(&out, <const uint8_t*> view.buf, view.len, most)
            if fin:
                self.begun = False
                self.end(&out, most)
            return take(&out, out.size)
        finally:
            Py_XDECREF(out.object)
            PyBuffer_Release(&view)

    cdef void note(self, const uint8_t* data, Py_ssize_t n) noexcept:
        cdef Py_ssize_t i
        self.taken += n
        for i in range(max(0, n - 4), n):
            self.last = self.last << 8 | data[i]

    cdef int end(self, Out* out, Py_ssize_t most) except -1:
        # Nothing was sent at all, or the last block was a final one: there is nothing to end.
        if self.taken == 0 or self.fresh:
            return 0
        # The tail should have been removed (7.2.1). Some do not; it can be told, and does no harm.
        if self.last == 0x0000FFFF and self.at_boundary():
            return 0
        # It completes an empty block: if it makes output, the end of something else is missing.
        cdef size_t size = out.size
        self.feed(out, dx_tail, 4, most)
        if self.fresh or out.size != size or not self.at_boundary():
            raise ProtocolError("deflate-corrupt", "the message is not complete")
        return 0

    cdef bint at_boundary(self) noexcept:
        """Whether we are between two blocks, and between two bytes."""
        return (self.z.data_type & (BETWEEN_BLOCKS | BITS_LEFT)) == BETWEEN_BLOCKS

    cdef int feed(self, Out* out, const uint8_t* data, Py_ssize_t left, Py_ssize_t most) except -1:
        while left:
            self.z.next_in = data
            self.z.avail_in = min(left, MOST)
            data += self.z.avail_in
            left -= self.z.avail_in
            self.run(out, most)
        return 0

    cdef int run(self, Out* out, Py_ssize_t most) except -1:
        cdef int code
        cdef size_t step
        while True:
            # One byte more than allowed, to see whether it would come.
            if out.size == out.room:
                grow(out, SIZE_MAX if most < 0 else <size_t> most + 1)
            step = min(out.room - out.size, MOST)
            if most >= 0:
                step = min(step, <size_t> most + 1 - out.size)
            self.z.next_out = out.base + out.size
            self.z.avail_out = step
            self.fresh = False
            code = dx_z.inflate(&self.z, SYNC_FLUSH)
            out.size = self.z.next_out - out.base
            if most >= 0 and <Py_ssize_t> out.size > most:
                raise ProtocolError("message-too-big", "while inflating")
            if code == STREAM_END:
                self.restart()
                if self.z.avail_in == 0:
                    return 0
            elif code == MEM_ERROR:
                raise MemoryError
            elif code != OK and code != BUF_ERROR:
                raise ProtocolError("deflate-corrupt", self.reason(code))
            elif self.z.avail_out:
                if self.z.avail_in:  # no input taken, no output made: it would be so for ever
                    raise ProtocolError("deflate-corrupt", self.reason(code))
                return 0

    cdef str reason(self, int code):
        # In the words of Python's module.
        cdef str text = f"Error {code} while decompressing data"
        return text if self.z.msg == NULL else f"{text}: {self.z.msg.decode()}"

    cdef int restart(self) except -1:
        """After a final block: another stream, that may refer back to this one (7.2.3.4)."""
        cdef unsigned size = 0
        self.finals += 1
        if self.finals > FINALS + self.taken // BYTES_PER_FINAL:
            raise ProtocolError("deflate-corrupt", "too many final blocks")
        dx_z.inflate_get_dictionary(&self.z, dx_dictionary, &size)
        dx_z.inflate_reset(&self.z)
        dx_z.inflate_set_dictionary(&self.z, dx_dictionary, size)
        self.fresh = True
        return 0
