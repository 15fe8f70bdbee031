"""Signatures of the operations in a Q# text, without a compiler."""

import dataclasses
import re

from diffquantum.errors import SourceError


@dataclasses.dataclass(frozen=True)
class Operation:
    """The signature of an operation in a Q# text.

    Args:
        name: its name, with the namespace it is written in.
        arguments: pairs of name and type, as written.
        returns: the type it returns, as written.
        line: line of its name in the text, from 1.
        column: column of its name, from 1.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    returns: str
    line: int = 0
    column: int = 0


def blank_comments(text: str) -> str:
    """The text with comments and strings replaced by spaces, so that places stay."""
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"', lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def operations(text: str, namespace: str = "") -> tuple[Operation, ...]:
    """All operations and functions of a Q# text, in order; `namespace` is that of a text that names none."""
    plain = blank_comments(text)
    spaces = [
        (m.end(), _closing(plain, m.end() - 1, "{}"), m.group(1))
        for m in re.finditer(r"\bnamespace\s+([\w.]+)\s*\{", plain)
    ]
    found = []
    for start in re.finditer(r"\b(?:operation|function)\s+(\w+)\s*(?:<[^>]*>)?\s*\(", plain):
        end = _closing(plain, start.end() - 1)
        tail = re.match(r"\s*:\s*([^{]*?)\s*(?:\bis\b[^{]*)?\{", plain[end + 1 :])
        if not tail:
            continue
        arguments = []
        for argument in _split(plain[start.end() : end]):
            name, _, kind = argument.partition(":")
            arguments.append((name.strip(), "".join(kind.split())))
        space = next((n for a, b, n in spaces if a <= start.start() < b), namespace)
        before = plain[: start.start(1)]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        name = f"{space}.{start.group(1)}" if space else start.group(1)
        found.append(Operation(name, tuple(arguments), "".join(tail.group(1).split()), line, column))
    return tuple(found)


def _closing(text: str, start: int, brackets: str = "()") -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == brackets[0]) - (text[i] == brackets[1])
        if depth == 0:
            return i
    return len(text)


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    out, depth, last = [], 0, 0
    for i, letter in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            out.append(text[last:i])
            last = i + 1
    return [part for part in (*out, text[last:]) if part.strip()]


def find_operation(known: tuple[Operation, ...], entry: str | None, file: str | None = None) -> Operation:
    """The operation with this name, or the only one.

    Raises:
        SourceError: there is none, or several and no name, or several of that name.
    """
    names = [o.name for o in known]
    if entry is None:
        found = list(known) if len(known) == 1 else []
    else:
        found = [o for o in known if o.name == entry] or [o for o in known if o.name.endswith(f".{entry}")]
    if len(found) == 1:
        return found[0]
    if found:
        sentence = f"There are {len(found)} operations named {entry!r}."
    else:
        sentence = "No entry operation was named." if entry is None else f"There is no operation named {entry!r}."
    raise SourceError(
        sentence,
        got=repr(entry),
        expected=f"one of {', '.join(names)}" if names else "a text with an operation",
        try_=f'entry="{names[-1]}"' if names else "check the text",
        file=file,
    )
