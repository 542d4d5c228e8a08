"""The demo that ``duplexer serve`` runs when it is given no handler."""
