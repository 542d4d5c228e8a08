cpdef object step(object phase, object happening)
