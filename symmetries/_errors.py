"""Errors with four parts: what is wrong, what we got, what we expected, what to try."""

from typing import Any


class GradketError(ValueError):
    """Bad input, described in four parts.

    Args:
        what: one sentence that says what is wrong.
        got: the offending value, or a short description of it.
        expected: what would have been right.
        try_: what the reader can do now.

    Example:
        >>> from symmetries import SymmetryError
        >>> print(SymmetryError("There is no such irrep.", got="'A3'", expected="A1, A2", try_="irrep='A1'"))
        There is no such irrep.
          got:      'A3'
          expected: A1, A2
          try:      irrep='A1'
    """

    def __init__(self, what: str, *, got: Any, expected: Any, try_: str):
        self.what, self.got, self.expected, self.try_ = what, got, expected, try_
        super().__init__(f"{what}\n  got:      {got}\n  expected: {expected}\n  try:      {try_}")

    def __reduce__(self):
        return _rebuild, (type(self), self.what, str(self.got), str(self.expected), self.try_)


def _rebuild(cls: type[GradketError], what: str, got: str, expected: str, try_: str) -> GradketError:
    return cls(what, got=got, expected=expected, try_=try_)


class SymmetryError(GradketError):
    """A group, an irrep or a momentum does not exist, or an object breaks a declared symmetry.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Chain(4))
        >>> try:
        ...     symmetries.Sector(group, irrep="A3")
        ... except symmetries.SymmetryError as error:
        ...     print(error.expected)
        one of A, B
    """
