cimport cython


@cython.final
cdef class Done:
    pass


cdef Done DONE


cdef class Source:
    cdef public object loop
    cdef public Waiter receiver, waiter

    cdef object next_message(self, Receiving receiving)


@cython.final
cdef class Waiter:
    cdef public Source source
    cdef public object callback, context, cancelled_by
    cdef public bint _asyncio_future_blocking

    cpdef forget(self)
    @cython.locals(source=Source)
    cpdef wake(self)


@cython.final
cdef class Receiving:
    cdef public Source source
    cdef public bint iterating
    cdef public object decode

    @cython.locals(source=Source, waiter=Waiter)
    cpdef object poll(self)
