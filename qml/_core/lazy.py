"""Names of a package whose modules are imported when they are first asked for."""

import contextlib
import gc
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any


def lazily(package: str, names: Mapping[str, str], rooms: Collection[str] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        names: what it offers, and the module of the package that has it.
        rooms: modules that it offers as they are.

    Example:
        >>> from qml._core.lazy import lazily
        >>> lazily("math", {})("pi")
        Traceback (most recent call last):
        ...
        AttributeError: module 'math' has no attribute 'pi'
    """

    def get(name: str) -> Any:
        if name not in names and name not in rooms:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with uncollected():
            module = importlib.import_module(f"{package}.{names.get(name, name)}")
        return getattr(module, name) if name in names else module

    return get


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: imports and traces make so many objects that it would take a tenth of them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
