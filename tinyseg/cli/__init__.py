"""The `tinyseg` command. Commands import what they need when they run, so that `tinyseg --help` answers at once."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import TinysegError
from . import data, demo, info, train, use

__all__ = ["app", "main"]

app = typer.Typer(
    name="tinyseg",
    help="Train, evaluate and use segmentation networks on an engine that one can read.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(train.app, name="train")
app.command("evaluate")(use.evaluate)
app.command("predict")(use.predict)
app.add_typer(data.app, name="data")
app.command("info")(info.info)
app.command("demo")(demo.demo)

INTERRUPTED, WRONG = 130, 2
REMEDIES = {
    errno.ENOSPC: "free some space on the disk",
    errno.EDQUOT: "free some space on the disk",
    errno.EACCES: "choose a place where you may write",
    errno.EPERM: "choose a place where you may write",
    errno.EROFS: "choose a place where you may write",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "give a file, not a folder",
}


def _show_version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(f"tinyseg {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error show where it came from (also TINYSEG_DEBUG=1).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train, evaluate and use segmentation networks on an engine that one can read."""
    if debug:
        os.environ["TINYSEG_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 2 after an error in one line on stderr, or 130 after Ctrl-C."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. With TINYSEG_DEBUG=1 errors are raised instead of told."""
    try:
        return int(app(args=arguments, prog_name="tinyseg", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        print("tinyseg: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        text = _explained(error)
        if text is None or os.environ.get("TINYSEG_DEBUG") == "1":
            raise
        if text:  # nothing where the help was printed instead
            print(f"tinyseg: error: {' '.join(text.split())}", file=sys.stderr)
        return WRONG


def _explained(error: Exception) -> str | None:
    """One line for what a user can do something about; None for a defect of ours, which keeps its traceback."""
    if isinstance(error, TinysegError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error}): lower --batch, --size or --width" if str(error) else "out of memory"
    if isinstance(error, OSError):
        remedy = REMEDIES.get(error.errno or 0, "check the path and the disk")
        return f"{error.filename or 'standard output'}: {error.strerror or error}: {remedy}"
    if hasattr(error, "format_message"):  # typer's: an unknown option, a value out of range
        text = str(error.format_message()).rstrip(".")
        return f"{text}. Try --help." if text else ""
    return None
