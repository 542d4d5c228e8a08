"""``duplexer serve``: run a handler of the user's, or the demo."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duplexer.cli.listen import listen_options
from duplexer.cli.operation import operate, operation_options
from duplexer.cli.outcome import Failure, Status

if TYPE_CHECKING:
    from types import ModuleType

    from duplexer.cli.listen import Handler, Listen
    from duplexer.cli.operation import Operation

__all__ = ["load_handler", "serve"]

EXAMPLE = "as in 'app:handler' for the function handler in app.py"


def _wrong(message: str, cure: str, detail: str = "") -> Failure:
    return Failure(message, cure, status=Status.USAGE, detail=detail)


def load_handler(target: str) -> Handler:
    """The handler that ``target``, ``module:handler``, names; raises ``Failure`` when it cannot."""
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise _wrong(f"'{target}' names no handler", f"write module:handler, {EXAMPLE}")
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise _wrong(
            f"'{module_name}' is a file, and a module is wanted",
            f"write {dotted}:{path}, and run it where {dotted.partition('.')[0]} can be imported",
        )
    module = _import(module_name)
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _no_such(module, module_name, path) from None
    _check(found, target)
    handler: Handler = found
    return handler


def _import(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise _wrong(
                f"there is no module '{missing}'",
                "check its spelling, and run the command in the folder where it is "
                f"(now {Path.cwd()}) or install it",
            ) from None
        raise _wrong(
            f"'{name}' imports '{missing}', which is not installed", f"pip install {missing}"
        ) from None
    except Exception as error:  # noqa: BLE001 a module of the user's may raise anything
        raise _broken(name, error) from None


def _broken(name: str, error: Exception) -> Failure:
    """The module raised while it was imported: say where, in the user's code."""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
        return _wrong(f"'{name}' is not valid Python: {error.msg}", f"correct {where}")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != importlib.__file__
    ]
    theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())]
    last = (theirs or frames)[-1]
    return _wrong(
        f"'{name}' cannot be imported: {type(error).__name__}: {error}",
        f"correct {last.filename}, line {last.lineno}",
        detail=last.line or "",
    )


def _no_such(module: ModuleType, module_name: str, path: str) -> Failure:
    candidates = [
        name
        for name, value in vars(module).items()
        if inspect.iscoroutinefunction(value) and not name.startswith("_")
    ]
    close = difflib.get_close_matches(path, candidates, 1)
    if close:
        cure = f"did you mean {module_name}:{close[0]}?"
    elif candidates:
        cure = f"its coroutine functions are: {', '.join(candidates)}"
    else:
        cure = f"define it: async def {path}(ws): ..."
    return _wrong(f"the module '{module_name}' has no '{path}'", cure)


def _check(found: Any, target: str) -> None:
    """Refuse what cannot be a handler before the first connection finds out."""
    if not callable(found) or inspect.isclass(found):
        kind = "a class" if inspect.isclass(found) else f"of type {type(found).__name__}"
        raise _wrong(
            f"'{target}' is {kind}, not a handler", "a handler is: async def handler(ws): ..."
        )
    function = inspect.unwrap(found)
    if inspect.isfunction(function) and not inspect.iscoroutinefunction(function):
        raise _wrong(
            f"'{target}' is not a coroutine function",
            f"write async def {function.__name__}(...) in place of def",
        )
    try:
        inspect.signature(found).bind(object())
    except TypeError as error:
        raise _wrong(
            f"'{target}' cannot be called with a connection: {error}",
            "a handler takes one argument, the connection: async def handler(ws): ...",
        ) from None
    except ValueError:  # a callable in C without a signature
        return


@click.command(short_help="Run a server: your handler, or a demo with a page.")
@click.argument("target", metavar="[MODULE:HANDLER]", required=False)
@listen_options
@operation_options
def serve(target: str | None, listen: Listen, operation: Operation) -> None:
    """Run a WebSocket server: your handler, or without an argument the demo.

    MODULE:HANDLER names a coroutine function that takes the connection, as in `app:handler`. The
    module is looked for in the current folder first.

    The demo has a page at / to play with and the endpoints /echo, /chat (what one says, all hear),
    /clock (the server speaks) and /healthz.

    SIGTERM leaves without an outage: /readyz answers 503, no more connections are accepted, those
    that are open are closed with 1012 one after another, each between two messages. SIGINT (Ctrl-C)
    closes all with 1001. Either leaves with exit status 0; a second one ends everything at once.
    SIGHUP reads the certificate again, and with --workers the code too. Sockets of systemd
    (LISTEN_FDS) are used in place of --host and --port.
    """
    if target is not None:
        operate(listen, operation, lambda: (load_handler(target), {}))
        return
    if operation.workers is not None or operation.reload:
        raise _wrong(
            "the demo, with its chat room, is one process", "give a handler, as app:handler"
        )
    operate(listen, operation, _load_demo, notes=_demo_notes)


def _load_demo() -> tuple[Handler, dict[str, Any]]:
    from duplexer.cli.demo.app import Demo

    demo = Demo()
    return demo.handle, {"http": demo.routes(), "process_request": demo.check_path}


def _demo_notes(address: str) -> str:
    if "+unix" in address:
        return "demo page at / over that socket"
    return f"demo page at   {address.replace('ws', 'http', 1)}/"
