"""The names of ``duplexer.testing``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from duplexer import testing


def test_each_name_is_there_and_has_a_docstring() -> None:
    for name in testing.__all__:
        assert getattr(testing, name).__doc__, name
        assert name in dir(testing)


def test_no_name_is_hidden_by_a_module_of_the_same_name() -> None:
    for _ in range(2):  # the first look imports the module
        for name in testing.__all__:
            assert type(getattr(testing, name)) is not type(testing), name


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = testing.no_such_name


def test_nothing_but_the_plugin_needs_pytest() -> None:
    code = (
        "import sys; from duplexer import testing\n"
        "for name in testing.__all__: getattr(testing, name)\n"
        "print('pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
