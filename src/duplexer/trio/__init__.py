"""The trio front: ``client.connect``, ``server.serve``, ``connection.Connection``."""
