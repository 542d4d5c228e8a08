# cython: freethreading_compatible=False
"""Reading from and writing to a socket by its descriptor, in C: see netio.py for what each does.

Measured: ``sock.recv_into`` and ``sock.send`` cost 0.35 us each beside the system call, for the
argument parsing, the timeout and the signal checks; these cost 0.03.
"""

import _socket

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    """

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        pass
    cdef struct sockaddr_storage:
        unsigned short ss_family
    int accept4(int fd, sockaddr* address, socklen_t* size, int flags)
    enum: AF_INET
    enum: AF_INET6
    enum: SOCK_NONBLOCK
    enum: SOCK_CLOEXEC
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* buffer, size_t size, int flags)
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    enum: MSG_NOSIGNAL

cdef extern from "<netinet/in.h>" nogil:
    cdef struct sockaddr_in:
        unsigned short sin_port
        unsigned int sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        unsigned int sin6_addr
        unsigned int sin6_scope_id
    unsigned short ntohs(unsigned short)
    unsigned int ntohl(unsigned int)
    enum: INET6_ADDRSTRLEN

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<string.h>" nogil:
    void* memset(void*, int, size_t)

DEF PIECES = 16

PLAIN = _socket.socket


cdef Py_ssize_t failed() except -2:
    if errno == EAGAIN:
        return -1
    if errno == EINTR:
        PyErr_CheckSignals()
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cpdef Py_ssize_t read_into(int fd, bytearray buffer) except -2:
    cdef ssize_t n = recv(fd, PyByteArray_AS_STRING(buffer), PyByteArray_GET_SIZE(buffer), 0)
    return n if n >= 0 else failed()


cpdef Py_ssize_t write(int fd, bytes data, Py_ssize_t start) except -2:
    cdef ssize_t n = c_send(
        fd, PyBytes_AS_STRING(data) + start, PyBytes_GET_SIZE(data) - start, MSG_NOSIGNAL
    )
    return n if n >= 0 else failed()


cdef size_t gather(msghdr* message, iovec* vectors, list pieces) except? 0:
    cdef size_t count = 0
    cdef bytes piece
    for piece in pieces:
        vectors[count].iov_base = PyBytes_AS_STRING(piece)
        vectors[count].iov_len = PyBytes_GET_SIZE(piece)
        count += 1
        if count == PIECES:
            break
    memset(message, 0, sizeof(msghdr))
    message.msg_iov = vectors
    message.msg_iovlen = count
    return count


cpdef Py_ssize_t write_pieces(int fd, list pieces, Py_ssize_t start) except -2:
    cdef iovec vectors[PIECES]
    cdef msghdr message
    cdef ssize_t n
    if gather(&message, vectors, pieces):
        vectors[0].iov_base = <char*>vectors[0].iov_base + start
        vectors[0].iov_len -= start
    n = sendmsg(fd, &message, MSG_NOSIGNAL)
    return n if n >= 0 else failed()


cpdef int by_descriptor(object sock) except -2:
    kind = type(sock)
    if getattr(kind, "recv_into", None) is PLAIN.recv_into and kind.send is PLAIN.send:
        return sock.fileno()
    return -1


cpdef Py_ssize_t receive(int fd, bytearray buffer, int flags) except -2:
    cdef char* start = PyByteArray_AS_STRING(buffer)
    cdef size_t size = PyByteArray_GET_SIZE(buffer)
    cdef ssize_t n
    with nogil:
        n = recv(fd, start, size, flags)
    return n if n >= 0 else failed()


cpdef Py_ssize_t send(int fd, bytes data, int flags) except -2:
    cdef const char* start = PyBytes_AS_STRING(data)
    cdef size_t size = PyBytes_GET_SIZE(data)
    cdef ssize_t n
    with nogil:
        n = c_send(fd, start, size, flags | MSG_NOSIGNAL)
    return n if n >= 0 else failed()


cpdef Py_ssize_t send_pieces(int fd, list pieces, int flags) except -2:
    cdef iovec vectors[PIECES]
    cdef msghdr message
    cdef ssize_t n
    gather(&message, vectors, pieces)
    with nogil:
        n = sendmsg(fd, &message, flags | MSG_NOSIGNAL)
    return n if n >= 0 else failed()


cdef object name_of(const sockaddr_storage* address):
    cdef char host[INET6_ADDRSTRLEN]
    cdef const sockaddr_in* v4 = <const sockaddr_in*>address
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>address
    if address.ss_family == AF_INET:
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host))
        return host.decode("ascii"), ntohs(v4.sin_port)
    if address.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host))
        return (
            host.decode("ascii"),
            ntohs(v6.sin6_port),
            ntohl(v6.sin6_flowinfo),
            v6.sin6_scope_id,
        )
    return ""


cpdef tuple accept(int fd):
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    cdef int connected
    address.ss_family = 0
    connected = accept4(fd, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if connected < 0:
        failed()
        return None
    return connected, name_of(&address)
