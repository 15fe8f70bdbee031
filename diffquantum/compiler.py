"""The Q# compiler: text to QIR with opaque parameters, and its errors as ours."""

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from diffquantum.errors import SourceError

PARAMETER = "GradketParameter"  # the opaque function that stands for a parameter
PRELUDE = f"operation {PARAMETER}(i : Int) : Double {{ body intrinsic; }}"
UNROLLED = "Adaptive_RIF"  # a profile without loops: those of constant length are written out

_ADVICE = (  # what the compiler says, what to change
    ("for double: Exp", "write a power of a parameter as products"),
    ("array element type `Var`", "pass the angles as an argument Double[], or write their gates one by one"),
    ("UseOfDynamicUdt", "pass the members of the struct as arguments of their own"),
    ("UseOfDynamicallySizedArray", "keep the length of an array constant, and count in an Int"),
    ("UseOfDynamicRange", "write while with a counter"),
    ("UseOfDynamicQubit|ReturnWithinDynamicScope|ReturnInDynamic", "leave the loop by break, and return at the end"),
    ("UseOfDynamicArray|dynamic contents", "keep each entry in a variable of its own, and choose by if"),
    ("runtime-resolved callable", "let a recursive operation return Unit, or write it as a loop"),
    ("program failed", "return a number that says so instead of fail"),
    ("simulation-only", "measure the qubit, or leave the check out"),
    (r"Std\.Random", "toss coins by qubits: H(q) and MResetZ(q)"),
    ("Resolve.NotFound", "check the spelling, or write the whole name, as in Std.Convert.IntAsDouble"),
    ("Parse", "correct the text at this place"),
    ("Qsc.TypeCk", "correct the types at this place"),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A text in Q# with all that belongs to it.

    Args:
        text: the text; of a project, that of the file with the operation.
        file: where it was read from, if anywhere.
        project: folder of the project it is part of, if any.
        prelude: Q# to compile before it.
    """

    text: str
    file: str | None = None
    project: str | None = None
    prelude: str = ""


def double(value: float) -> str:
    """A finite number as a Q# `Double` that reads back exactly."""
    text = repr(float(value))
    return text if "." in text else text.replace("e", ".0e") if "e" in text else text + ".0"


@contextlib.contextmanager
def context(target: bool = True, project: str | None = None, profile: str = "Adaptive") -> Iterator[Any]:
    """A compiler of its own: for QIR where `target`, else for the simulator.

    Its parts must be freed on the thread that made them, and they hold each other: left to the garbage collector, any
    thread may meet them. So the ring is opened here.
    """
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")
    import qdk

    settings: dict[str, Any] = {"project_root": project} if project else {}
    if target:
        settings["target_profile"] = getattr(qdk.TargetProfile, profile)
    compiler = qdk.Context(**settings)
    try:
        yield compiler
    finally:
        vars(compiler).clear()


def evaluate(compiler: Any, source: Source) -> None:
    """Give a compiler the prelude and the text; those of a project it has."""
    compiler.eval(f"{PRELUDE}\n{source.prelude}")
    if source.project is None:
        compiler.eval(source.text)


def compile_qir(
    source: Source,
    calls: Sequence[tuple[str | None, str]],
    profile: str = "Adaptive",
    place: tuple[int, int] | None = None,
    seconds: float | None = None,
) -> list[str]:
    """QIR of some calls, from one compiler.

    Args:
        source: the text.
        calls: pairs of an operation to compile after the text, if any, and the expression to compile.
        profile: the target profile.
        place: line and column to name where the compiler names none.
        seconds: if given, the compiler works in a process of its own, which is ended after that time.

    Raises:
        SourceError: the compiler refuses, panics, or takes too long.
    """
    if seconds is not None:
        return _elsewhere(source, calls, profile, place, seconds)
    out = []
    try:
        with context(project=source.project, profile=profile) as compiler:
            evaluate(compiler, source)
            for wrapper, call in calls:
                if wrapper:
                    compiler.eval(wrapper)
                out.append(str(compiler.compile(call)))
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the compiler is not an Exception
        raise source_error(error, source, place) from None
    return out


def _elsewhere(source: Source, calls, profile: str, place: tuple[int, int] | None, seconds: float) -> list[str]:
    """`compile_qir` in a process of its own: the compiler runs loops of constants, and some never end."""
    job = json.dumps([dataclasses.asdict(source), list(calls), profile, place])
    line, column = place or (None, None)
    try:
        call = [sys.executable, "-c", "from diffquantum.compiler import serve; serve()"]
        done = subprocess.run(call, input=job, capture_output=True, text=True, timeout=seconds, check=False)
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"The compiler takes more than {seconds:g} s.",
            got=calls[0][1],
            expected="loops that end, or that wait for a measurement",
            try_="look for a loop of constants that does not end, or give it more time by time_limit=",
            file=source.file,
            line=line,
            column=column,
        ) from None
    if answer is None:
        raise source_error(RuntimeError(done.stderr.strip()[-300:] or f"exit {done.returncode}"), source, place)
    if isinstance(answer, dict):
        raise SourceError(answer.pop("what"), **answer)
    return answer


def serve() -> None:
    """One job of `compile_qir` from the standard input, its answer to the standard output."""
    source, calls, profile, place = json.loads(sys.stdin.read())
    try:
        answer: Any = compile_qir(Source(**source), calls, profile, place and tuple(place))
    except SourceError as error:
        parts = ("what", "got", "expected", "try_", "file", "line", "column")
        answer = {part: getattr(error, part) for part in parts}
        answer["what"] = re.sub(r" \([^()]*:\d+:\d+\)$", "", answer["what"])  # it is added again
    print(json.dumps(answer))


def may_be_probed(error: SourceError) -> bool:
    """Whether the compiler understood the text, and only its target has no such construct at run time."""
    return bool(re.search("compiler stopped|partial evaluation|dynamic", error.what))


def source_error(error: BaseException, source: Source, place: tuple[int, int] | None) -> SourceError:
    """What the compiler says, with the place in the text and what to change."""
    message = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    what = re.search(r"^\s*[x×]\s*(.+)$", message, re.MULTILINE)
    detail = re.search(r"(?:`->|╰─▶)\s*(.+)$", message, re.MULTILINE)
    found = re.search(r"\[([^\s\[\]]+):(\d+):(\d+)\]", message)
    helped = re.search(r"help:\s*(.+?)(?:\n\s*\n|\Z)", message, re.DOTALL)
    if what is None:
        lines = message.strip().splitlines() or [type(error).__name__]
        sentence = f"The compiler stopped: {lines[0]}."
    else:
        more = f": {detail.group(1).strip()}" if detail else ""
        sentence = f"The compiler reports: {what.group(1).strip()}{more}."
    file, (line, column) = source.file, place or (None, None)
    if found and (found.group(1) == "line_1" or not re.match(r"line_\d|<|\./", found.group(1))):
        line, column = int(found.group(2)), int(found.group(3))
        file = source.file if found.group(1) == "line_1" else found.group(1)
    own = file == source.file and line is not None and line <= len(source.text.splitlines())
    advice = next((a for sign, a in _ADVICE if re.search(sign, message)), None)
    return SourceError(
        sentence,
        got=source.text.splitlines()[line - 1].strip() if own and line else message.strip()[:300],
        expected="a program that the Adaptive profile can compile",
        try_=advice or (" ".join(helped.group(1).split()) if helped else "write this part with simpler means"),
        file=file,
        line=line,
        column=column,
    )
