"""The `edgewright` command: finds the subcommand, prints its errors in one line, sets the exit status.

0 done, 1 refused or failed, 2 wrong usage, 130 interrupted, 143 and 129 told to end (SIGTERM, SIGHUP).
The runtime's own subcommands are the modules in `commands/`; those of the other packages come by the
entry point group `edgewright.commands`. Each is a module with `HELP`, `add_arguments(parser)` and
`run(arguments) -> exit status`.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from edgewright.runtime import console, plugins
from edgewright.runtime.errors import EdgewrightError, UnprovenWarning

_OWN = "edgewright.runtime.commands"
_GROUP = "edgewright.commands"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; `argv` without the program's name. Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names and labels may hold what it cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        arguments = _parsed(words)
        with _told_to_end(), console.progress(arguments.command, total=0), warnings.catch_warnings():
            warnings.showwarning = partial(_warn, warnings.showwarning)
            warnings.simplefilter("always", UnprovenWarning)
            status: int = arguments.run(arguments)
        sys.stdout.flush()
    except EdgewrightError as failure:
        console.complain(" ".join(str(failure).split()))
        return 1
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as failure:
        place = f": {failure.filename}" if failure.filename else ""
        what = failure.strerror or f"expected to write a file, got {failure}; is the disk full?"
        console.complain(f"{what}{place}")
        return 1
    except ImportError as failure:  # of a library that needs a file more than may be open
        if not _out_of_files():
            raise
        console.complain(
            f"Too many open files to load {failure.name or 'a library'}; raise the limit (ulimit -n)"
        )
        return 1
    except KeyboardInterrupt:
        console.complain("interrupted")
        return 130
    except _ToldToEnd as told:
        console.complain(f"ended by {told.signal.name}")
        return 128 + told.signal
    return status


def program() -> NoReturn:
    """Run the command line and end.

    After a command of the runtime's own the process ends at once. Python would take all modules and the
    interpreter apart first, a tenth of a cold start and more; what these commands open they have closed.
    """
    status = main()
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    if sys.argv[1] in plugins.names(_OWN) and all(thread.daemon for thread in others):
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):  # what could not be written was told, or follows an error
            sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


class _Formatter(argparse.HelpFormatter):
    """argparse makes one for each argument that is added; asked for the terminal's width it would import
    shutil and all compressors."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)
        self._action_max_length = 13  # it forgets that commands are indented: the longest would get a line


def _columns() -> int:
    with contextlib.suppress(KeyError, ValueError):
        return int(os.environ["COLUMNS"]) or 80
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    commands = _commands(words)
    parser = argparse.ArgumentParser(
        prog="edgewright",
        description="Takes Keras image classifiers to the edge: train, export to TFLite and ONNX with proof, "
        "run without TensorFlow, measure.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, load in commands.items():
        module = load()
        subparser = subparsers.add_parser(
            name, help=module.HELP, description=module.HELP, formatter_class=_Formatter
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser.parse_args(words)


def _out_of_files() -> bool:
    try:
        os.close(os.dup(2))
    except OSError as failure:
        return failure.errno == errno.EMFILE
    return False


class _ToldToEnd(BaseException):
    """A signal came that asks to end. Like Ctrl-C it goes through the work under way, which clears up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Raise `_ToldToEnd` in the block on SIGTERM and SIGHUP, but where the user has these ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asked = [number for number in asked if signal.getsignal(number) == signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        for other in asked:  # whoever clears up is not to be disturbed; SIGKILL is left
            signal.signal(other, signal.SIG_IGN)
        raise _ToldToEnd(number)

    try:
        for number in asked:
            signal.signal(number, end)
        yield
    finally:
        for number in asked:
            signal.signal(number, signal.SIG_DFL)


def _warn(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any
) -> None:
    """Our own warnings are a line like any other complaint."""
    if issubclass(category, UnprovenWarning):
        console.complain(str(message))
    else:
        otherwise(message, category, *where)


def _commands(words: Sequence[str]) -> Mapping[str, Callable[[], Any]]:
    """The subcommands to offer: only the one asked for, if it is the runtime's own (cold start counts)."""
    own = {name: partial(import_module, f"{_OWN}.{name}") for name in plugins.names(_OWN)}
    if words and words[0] in own:
        return {words[0]: own[words[0]]}
    from importlib.metadata import entry_points

    found: dict[str, Callable[[], Any]] = {entry.name: entry.load for entry in entry_points(group=_GROUP)}
    found |= own
    order = (  # as they are used; others after
        *("data", "train", "export", "label", "how-to", "app", "demo-page", "sign", "predict", "evaluate"),
        *("verify", "inspect", "trust", "doctor", "lint", "bench", "compare", "tune", "report"),
    )
    return dict(sorted(found.items(), key=lambda item: (*order, item[0]).index(item[0])))


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: reading package metadata costs milliseconds."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from importlib.metadata import version

        console.say(f"edgewright {version('edgewright')}")
        parser.exit()


if __name__ == "__main__":
    program()
