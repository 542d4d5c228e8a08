"""The pieces that a message goes through, one by one, without sockets or a loop."""
