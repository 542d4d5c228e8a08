"""The command line: ``duplexer serve``, ``duplexer connect``, ``duplexer echo``.

What it is made of (click, rich, prompt_toolkit) is the extra ``duplexer[cli]`` and is imported in
this package only.
"""
