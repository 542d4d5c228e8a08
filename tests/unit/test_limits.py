"""Every bound has a sensible default, and takes nothing that is none."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import pytest

from duplexer.limits import DEFAULT_LIMITS, Limits

FIELDS = {field.name: str(field.type) for field in dataclasses.fields(Limits)}
each_field = pytest.mark.parametrize("name", FIELDS)
#: Where nothing at all is a bound like others.
MAY_BE_ZERO = {"deflate_min", "ping_jitter"}


@each_field
@pytest.mark.parametrize("value", [-1, -0.5, -math.inf])
def test_negative(name: str, value: float) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        Limits(**{name: value})


@each_field
def test_zero(name: str) -> None:
    if name in MAY_BE_ZERO:
        assert getattr(Limits(**{name: 0}), name) == 0
    else:
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            Limits(**{name: 0})


@each_field
@pytest.mark.parametrize("value", [True, False, "1", b"1", [1], 1j])
def test_no_number(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        Limits(**{name: value})


@each_field
def test_none_is_for_what_says_so(name: str) -> None:
    if "None" in FIELDS[name]:
        assert getattr(Limits(**{name: None}), name) is None
        with pytest.raises(ValueError, match="use None for no bound"):
            Limits(**{name: 0})
    else:
        with pytest.raises(TypeError, match=name):
            Limits(**{name: None})


@each_field
def test_fractions_are_for_times_and_rates(name: str) -> None:
    if "float" in FIELDS[name]:
        assert getattr(Limits(**{name: 0.5}), name) == 0.5
    else:
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            Limits(**{name: 1.5})


@each_field
def test_nan_is_no_bound(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        Limits(**{name: math.nan})


def test_pings_cannot_jitter_by_more_than_their_interval() -> None:
    Limits(ping_jitter=0.99)
    with pytest.raises(ValueError, match="ping_jitter"):
        Limits(ping_jitter=1)


def test_unknown_names() -> None:
    with pytest.raises(TypeError):
        Limits(max_size=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Limits(1)  # type: ignore[misc]


def test_frozen_and_replaced() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.max_message = 5  # type: ignore[misc]
    changed = DEFAULT_LIMITS.replace(max_message=5)
    assert (changed.max_message, DEFAULT_LIMITS.max_message) == (5, 1 << 20)
    with pytest.raises(ValueError, match="max_message"):
        DEFAULT_LIMITS.replace(max_message=0)
    assert pickle.loads(pickle.dumps(changed)) == changed


def test_defaults_fit_together() -> None:
    limits = DEFAULT_LIMITS
    assert limits.max_message is not None and limits.queue_bytes <= limits.max_message
    assert limits.write_high < limits.write_hard
    assert limits.max_header_line <= limits.max_header_bytes
    assert limits.frames_per_turn > limits.control_burst
