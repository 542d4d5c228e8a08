cimport cython

from duplexer.core.messages cimport Inbox
from duplexer.core.session cimport Session


cdef class Course:
    cdef public object limits, logger, request, response, subprotocol, staying, streaming, _id
    cdef public object backlog, observer
    cdef public Py_ssize_t written
    cdef public Session session
    cdef public bint is_server, lost
    cdef object _stash
    cdef Py_ssize_t _most
    cdef bint _runs_dry

    cpdef Session open_session(self)
    @cython.locals(session=Session, over=bint)
    cpdef take_in(self, object data, Py_ssize_t start, Py_ssize_t end, double now)
    @cython.locals(inbox=Inbox)
    cdef bint _is_over(self, Session session)
    @cython.locals(session=Session)
    cpdef bint wants_bytes(self)
    @cython.locals(inbox=Inbox)
    cdef bint _has_caught_up(self, Session session)
    @cython.locals(session=Session, inbox=Inbox)
    cpdef object next_message(self, object reader, double now)
    @cython.locals(session=Session)
    cpdef put(self, object message, object text, object compress)
    @cython.locals(session=Session)
    cpdef object outgoing(self)
    cpdef object is_receiving(self)
