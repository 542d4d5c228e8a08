"""``python -m duplexer``: the same as the command ``duplexer``."""

from duplexer.cli import run

if __name__ == "__main__":
    run()
