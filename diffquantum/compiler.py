"""The Q# compiler: text to QIR with opaque parameters, and its errors as ours."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

from diffquantum.errors import SourceError

PARAMETER = "GradketParameter"  # the opaque function that stands for a parameter
PRELUDE = f"operation {PARAMETER}(i : Int) : Double {{ body intrinsic; }}"


def double(value: float) -> str:
    """A finite number as a Q# `Double` that reads back exactly."""
    text = repr(float(value))
    return text if "." in text else text.replace("e", ".0e") if "e" in text else text + ".0"


@contextlib.contextmanager
def context(target: bool = True) -> Iterator[Any]:
    """A compiler of its own: for QIR where `target`, else for the simulator.

    Its parts must be freed on the thread that made them, and they hold each other: left to the garbage collector, any
    thread may meet them. So the ring is opened here.
    """
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")
    import qdk

    compiler = qdk.Context(target_profile=qdk.TargetProfile.Adaptive) if target else qdk.Context()
    try:
        yield compiler
    finally:
        vars(compiler).clear()


def compile_qir(text: str, wrapper: str | None, call: str, file: str | None) -> str:
    """QIR of one call; compiler errors become `SourceError`."""
    try:
        with context() as compiler:
            compiler.eval(PRELUDE)
            compiler.eval(text)
            if wrapper:
                compiler.eval(wrapper)
            return str(compiler.compile(call))
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the compiler is not an Exception
        raise _source_error(error, text, file) from None


def _source_error(error: BaseException, text: str, file: str | None) -> SourceError:
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    what = re.search(r"^\s*[x×]\s*(.+)$", message, re.MULTILINE)
    detail = re.search(r"`->\s*(.+)$|╰─▶\s*(.+)$", message, re.MULTILINE)
    place = re.search(r"\[line_1:(\d+):(\d+)\]", message)
    helped = re.search(r"help:\s*(.+?)(?:\n\s*\n|\Z)", message, re.DOTALL)
    line, column = (int(place.group(1)), int(place.group(2))) if place else (None, None)
    if what is None:
        sentence = (
            f"The Q# compiler stopped: {message.strip().splitlines()[0] if message.strip() else type(error).__name__}."
        )
    else:
        sentence = "The Q# compiler reports: " + what.group(1).strip()
        if detail:
            sentence += ": " + (detail.group(1) or detail.group(2)).strip()
        sentence += "."
    panic = "for double" in message and "Exp" in message
    return SourceError(
        sentence,
        got=text.splitlines()[line - 1].strip() if line and line <= len(text.splitlines()) else message.strip()[:300],
        expected="Q# that the Adaptive profile can compile",
        try_="write a power of a parameter as products"
        if panic
        else " ".join(helped.group(1).split())
        if helped
        else "correct the text; loops must end by while or repeat, without return inside",
        file=file,
        line=line,
        column=column,
    )
