"""Errors of the program world; all are `GradketError`, so they say what is wrong, got, expected, try."""

from typing import Any

from qml._core.errors import ConvergenceError, GradketError

__all__ = ["DifferentiationError", "ProgramError", "SourceError", "TerminationError", "UnsupportedError"]


class SourceError(GradketError):
    """The Q# text does not compile, or does not have the operation or arguments asked for.

    Args:
        what: one sentence that says what is wrong.
        got: the offending text.
        expected: what would have been right.
        try_: what to change.
        file: the file it was read from, if any.
        line: line in the text, from 1, where known.
        column: column in the line, from 1, where known.
    """

    def __init__(
        self,
        what: str,
        *,
        got: Any,
        expected: Any,
        try_: str,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ):
        self.file, self.line, self.column = file, line, column
        where = "" if line is None else f" ({file or 'source'}:{line}:{column})"
        super().__init__(what + where, got=got, expected=expected, try_=try_)


class UnsupportedError(GradketError):
    """The program compiles, but uses something that has no meaning here."""


class ProgramError(GradketError):
    """A program is not well formed: an unknown variable or gate, a wrong arity, a qubit out of range."""


class DifferentiationError(GradketError):
    """The program is not differentiable: a parameter reaches a condition, an index or a whole number."""


class TerminationError(ConvergenceError):
    """A loop does not end with probability one, or the expected value does not exist."""
