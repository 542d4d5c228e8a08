# Compiled; nothing in it is called from C.
