cimport cython

from duplexer.driver cimport netio
from duplexer.asyncio.pump cimport Outlet, Wire


cdef int READ, WRITE


cdef class Tcp(Outlet)


cdef class Poller:
    cdef public object loop, epoll, poll
    cdef public bytearray buffer
    cdef public dict wires
    cdef public int holders

    @cython.locals(events=int, tcp=Tcp, wires=dict)
    cpdef on_ready(self)
    cpdef add(self, Tcp tcp, int fd)
    cpdef change(self, Tcp tcp, int mask)
    cpdef remove(self, Tcp tcp)


cdef class Direct(Poller):
    cpdef add(self, Tcp tcp, int fd)
    cpdef change(self, Tcp tcp, int mask)
    cpdef remove(self, Tcp tcp)


cdef class Tcp(Outlet):
    cdef public Poller poller
    cdef public Wire wire
    cdef public int fd, mask
    cdef public bint reading, closing, eof, paused
    cdef public Py_ssize_t high, backlog_size, offset
    cdef public list backlog
    cdef public object peer, sock

    @cython.locals(n=Py_ssize_t)
    cpdef int on_readable(self) except -1
    cpdef int _watch(self, int mask) except -1
    @cython.locals(n=Py_ssize_t)
    cpdef int write(self, bytes data) except -1
    cpdef int _grew(self, Py_ssize_t n) except -1
    @cython.locals(size=Py_ssize_t, n=Py_ssize_t, piece=bytes)
    cpdef writelines(self, list pieces)
    @cython.locals(backlog=list, n=Py_ssize_t)
    cpdef write_backlog(self)
    @cython.locals(backlog=list, done=Py_ssize_t, piece=bytes)
    cdef int _forget(self, Py_ssize_t n) except -1
