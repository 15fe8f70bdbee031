"""Frozen dataclasses that hold NumPy arrays and can still be compared and hashed."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar, dataclass_transform

import numpy as np

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def descriptor(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose arrays are copied, closed to writing, and compared by content.

    The hash is computed once. Equal content means equal objects, so a descriptor may be a constant of a compiled
    function.
    """
    check = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = np.array(value)
                value.setflags(write=False)
                object.__setattr__(self, field.name, value)
        if check is not None:
            check(self)

    def __eq__(self: Any, other: Any) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or hash(self) != hash(other):
            return False
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self: Any) -> int:
        known = self.__dict__.get("_hash")
        if known is None:
            known = hash((type(self).__name__, *(_key(getattr(self, field.name)) for field in fields(self))))
            object.__setattr__(self, "_hash", known)
        return known

    for method in (__post_init__, __eq__, __hash__):
        setattr(cls, method.__name__, method)
    return dataclass(frozen=True, eq=False)(cls)


def _same(one: Any, two: Any) -> bool:
    return np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two


def _key(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return value.shape, (value + value.dtype.type(0)).tobytes()  # -0.0 == 0.0, so both must hash alike
