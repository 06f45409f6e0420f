"""CUDA source text: its headers put in place, its kernels found, and the one construct rewritten that g++ cannot read.

`Source.text` is what NVRTC is given as well: one string without project headers, whose hash therefore covers them all
(CuPy's own cache would not see that a header has changed).
"""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tinyseg.errors import ArgumentError, DataError

__all__ = ["KERNELS", "Budget", "Defines", "Signature", "Source", "Variant", "read_source"]

Defines = tuple[tuple[str, int | str], ...]  # macros, sorted by name

KERNELS = pathlib.Path(__file__).resolve().parent  # where `#include "ptx.cuh"` is found from everywhere

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*$', re.MULTILINE)
_ONCE = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\')|//[^\n]*|/\*.*?\*/', re.DOTALL)
_ALIGN = r"(?:(?:__align__|alignas)\s*\([^()]*\)\s*)?"
_DYNAMIC = re.compile(rf"\bextern\s+__shared__\s+{_ALIGN}([\w:]+(?:\s+[\w:]+)*?)\s+{_ALIGN}(\w+)\s*\[\s*\]\s*;")
_GLOBAL = re.compile(r'(extern\s+"C"\s+)?\b__global__\b')
_NAME = re.compile(r"(\w+)\s*(?=\()")
_VARIANTS = re.compile(r"^//[ \t]*nvrtc:(.*)$", re.MULTILINE)
_BUDGET = re.compile(r"^//[ \t]*budget:[ \t]*(\d+) threads, (\d+) registers, (\d+)(?: \+ (\d+))? bytes[ \t]*$", re.M)


class Budget(NamedTuple):
    """What a kernel may take: threads of a block, registers of each, bytes of shared memory of either kind."""

    threads: int
    registers: int
    static: int  # what the source declares
    dynamic: int  # what a launch asks for

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block."""
        return self.static + self.dynamic


class Variant(NamedTuple):
    """One set of macros that a source is compiled with, and the first architecture (80: sm_80) that it is meant for."""

    defines: Defines
    architecture: int


@dataclass(frozen=True)
class Signature:
    """A kernel as its declaration shows it: names for messages, and `bound`, the text of its largest block size."""

    name: str
    parameters: tuple[str, ...]
    bound: str
    extern_c: bool
    budget: Budget | None = None  # of the comment above it


@dataclass(frozen=True)
class Source:
    """A CUDA source with its headers, and the kernels in it."""

    text: str
    signatures: tuple[Signature, ...]
    variants: tuple[Variant, ...] = ()  # that the launchers ask for

    def for_gcc(self) -> str:
        """Comments out, and `extern __shared__ T name[];` as a pointer to the memory that the launch asked for."""
        return _DYNAMIC.sub(
            r"\1* const \2 = static_cast<\1*>(emulator::dynamic_shared_memory());", _without_comments(self.text)
        )


def read_source(*paths: str | pathlib.Path, text: str | None = None, name: str = "kernel.cu") -> Source:
    """The source made of these files one after another, or of `text`.

    **Raises** DataError for a file that is not there.
    """
    done: set[pathlib.Path] = set()
    if text is None:
        whole = "".join(_inlined(pathlib.Path(path).resolve(), done) for path in paths)
    else:
        whole = _expanded(text, name, KERNELS, done)
    return Source(whole, tuple(_signatures(whole)), tuple(_variants(whole)))


def _variants(text: str) -> Iterator[Variant]:
    """Every combination of the values that a line `// nvrtc: NAME=a,b OTHER=1,2; sm_80` lists."""
    for line in _VARIANTS.findall(text):
        macros, _, least = line.partition(";")
        choices = [(key, values.split(",")) for key, _, values in (word.partition("=") for word in macros.split())]
        for values in itertools.product(*(values for _, values in choices)):
            named = sorted((key, value) for (key, _), value in zip(choices, values, strict=True))
            yield Variant(tuple(named), int(least.strip().removeprefix("sm_") or 75))


def _inlined(path: pathlib.Path, done: set[pathlib.Path]) -> str:
    if path in done:
        return ""
    done.add(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"Module: cannot read {path}: {error.strerror}") from None
    root = KERNELS.parent
    return _expanded(text, str(path.relative_to(root)) if path.is_relative_to(root) else path.name, path.parent, done)


def _expanded(text: str, name: str, folder: pathlib.Path, done: set[pathlib.Path]) -> str:
    def include(found: re.Match[str]) -> str:
        path = next((p for p in (folder / found[1], KERNELS / found[1]) if p.is_file()), None)
        line = text.count("\n", 0, found.start()) + 1
        if path is None:
            raise DataError(f"Module: {name}:{line} includes {found[1]!r}, which is neither beside it nor in kernels/")
        return f'{_inlined(path.resolve(), done)}#line {line + 1} "{name}"'

    # The match ends before its newline: what stands behind a header keeps its number.
    body = _INCLUDE.sub(include, _ONCE.sub("", text))
    return f'#line 1 "{name}"\n{body}\n'


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda m: m[1] or "\n" * m[0].count("\n") or " ", text)


def _closing(text: str, start: int) -> int:
    """The index after the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    raise ArgumentError(f"Module: a parenthesis is never closed: {text[start : start + 60]!r}")


def _split(text: str) -> list[str]:
    """`text` at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{<") - (c in ")]}>")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts if part.strip()]


def _signatures(commented: str) -> list[Signature]:
    found = []
    text = _without_comments(commented)  # line by line as long as before
    written = ((b.start(), Budget(*map(int, b.groups("0")))) for b in _BUDGET.finditer(commented))
    budgets = {commented.count("\n", 0, start): budget for start, budget in written}
    for start in _GLOBAL.finditer(text):
        at, bound = start.end(), ""
        while name := _NAME.search(text, at):
            end = _closing(text, name.end())
            if name[1] != "__launch_bounds__":
                break
            bound, at = _split(text[name.end() + 1 : end - 1])[0], end
        if name is None:
            continue
        parameters = (re.findall(r"\w+", part.split("=")[0])[-1] for part in _split(text[name.end() + 1 : end - 1]))
        line = text.count("\n", 0, start.start())
        found.append(Signature(name[1], tuple(parameters), bound, bool(start[1]), budgets.get(line - 1)))
    return found
