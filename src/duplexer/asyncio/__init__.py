"""The asyncio front: ``client.connect``, ``server.serve``, ``connection.Connection``."""
