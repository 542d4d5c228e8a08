# Nobody cimports this module: the file is here because a module is compiled when a .pxd lies beside
# it.
