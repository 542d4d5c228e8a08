"""duplexer inside servers of ASGI applications: see :mod:`duplexer.asgi.uvicorn`."""
