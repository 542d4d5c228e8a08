"""The loops over steps."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from duplexer.driver.following import call, call_blocking, follow, follow_blocking
from duplexer.driver.steps import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def awaited(steps: Generator[Any, Any, Any], do: Callable[[Any], Any]) -> Any:
    async def doing(step: Any) -> Any:
        return do(step)

    return asyncio.run(follow(steps, doing))


both = pytest.mark.parametrize("following", [awaited, follow_blocking])


@both
def test_outcomes_and_errors_come_back_where_they_were_wanted(following: Any) -> None:
    def steps() -> Generator[str, int, list[Any]]:
        seen: list[Any] = [(yield "7")]
        try:
            yield "seven"
        except ValueError as exc:
            seen.append(type(exc))
        seen.append((yield "8"))
        return seen

    assert following(steps(), int) == [7, ValueError, 8]


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_it_ends_the_steps(following: Any, error: type[BaseException]) -> None:
    ended = []

    def steps() -> Generator[None, None, None]:
        try:
            yield
        finally:
            ended.append(True)

    def do(step: None) -> None:
        raise error("enough")

    with pytest.raises(error, match="enough"):
        following(steps(), do)
    assert ended == [True]


def test_a_front_says_in_other_words_what_failed() -> None:
    def steps() -> Generator[None, None, str]:
        try:
            yield
        except OSError as exc:
            return str(exc)
        return "nothing failed"

    async def do(step: None) -> None:
        raise ValueError("broken")

    async def main() -> Any:
        return await follow(steps(), do, lambda exc: OSError(f"it is {exc}"))

    assert asyncio.run(main()) == "it is broken"


def test_calls() -> None:
    async def double(n: int) -> int:
        return 2 * n

    async def main() -> None:
        assert await call(Call(str.upper, ("x",))) == "X"
        assert await call(Call(double, (21,))) == 42
        here = threading.get_ident()
        assert await call(Call(threading.get_ident, (), True), asyncio.to_thread) != here
        assert await call(Call(threading.get_ident, ()), asyncio.to_thread) == here
        assert await call(Call(double, (21,), True), asyncio.to_thread) == 42

    asyncio.run(main())


def test_calls_that_block() -> None:
    async def double(n: int) -> int:
        return 2 * n

    assert call_blocking(Call(str.upper, ("x",), True)) == "X"
    with pytest.raises(TypeError, match="must not be async"):
        call_blocking(Call(double, (21,)))
