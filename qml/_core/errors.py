"""Errors with four parts: what is wrong, what we got, what we expected, what to try."""

from typing import Any, NoReturn

from symmetries import GradketError, SymmetryError

__all__ = [
    "ConfigError",
    "ConvergenceError",
    "DataError",
    "GradketError",
    "MissingExtraError",
    "PrecisionError",
    "ShapeError",
    "SpaceError",
    "SymmetryError",
    "need",
    "unknown_name",
]


class ShapeError(GradketError):
    """An array has the wrong shape, or two sizes that must agree do not."""


class SpaceError(GradketError):
    """A configuration, operator or rule does not belong to the Hilbert space it is used with."""


class PrecisionError(GradketError):
    """A 64-bit number was asked for while JAX runs in 32-bit mode."""


class ConvergenceError(GradketError):
    """An exact solver stopped before it reached its tolerance."""


class DataError(GradketError):
    """Measured data, a file or a run directory is malformed, truncated or infeasible."""


class ConfigError(GradketError):
    """A configuration has an unknown key, a missing key or a value out of range."""


class MissingExtraError(GradketError):
    """An optional dependency is not installed."""


def need(module: str, extra: str) -> Any:
    """Import an optional dependency, or say which extra brings it.

    Args:
        module: dotted name of the module.
        extra: the extra of this distribution that installs it.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: the module is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"This needs the optional package {module.split('.')[0]!r}, which is not installed.",
            got=str(error),
            expected=f"an installed {module.split('.')[0]}",
            try_=f'pip install "gradket[{extra}]"',
        ) from None


def unknown_name(kind: str, name: object, known: object, error: type[GradketError] = ConfigError) -> NoReturn:
    """Raise the standard error for a name that is not in a list of known names, with the nearest ones."""
    import difflib

    names = [str(k) for k in known]  # type: ignore[attr-defined]
    near = difflib.get_close_matches(str(name), names, n=3)
    raise error(
        f"There is no {kind} named {name!r}.",
        got=repr(name),
        expected=f"one of {', '.join(names)}",
        try_=f"{near[0]!r}" if near else f"a name of the list, e.g. {names[0]!r}" if names else "see the documentation",
    )
