"""``python -m duplexer``: the same as the command ``duplexer``."""

from duplexer.cli.main import main

if __name__ == "__main__":
    main()
