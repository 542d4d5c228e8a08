cimport cython

from duplexer.asyncio cimport awaiting
from duplexer.asyncio.awaiting cimport Receiving, Source, Waiter
from duplexer.asyncio.life cimport Life
from duplexer.asyncio.pump cimport Wire
from duplexer.core.session cimport Session


cdef class Exchange(Life):
    cdef public bint introduced, parting
    cdef public list line

    @cython.locals(session=Session)
    cdef object next_message(self, Receiving receiving)
    cdef Waiter _line_up(self)
    @cython.locals(place=Source)
    cpdef serve_next(self)
    cdef int _deliver(self) except -1
    @cython.locals(session=Session, text=bint)
    cpdef object send_event(self, object event)
