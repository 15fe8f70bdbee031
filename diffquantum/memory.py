"""Memory of QIR as variables: single numbers, arrays of them, and constant tables."""

import dataclasses

from diffquantum.ir import Assign, Binary, Const, Expression, Index, Select, Var
from diffquantum.opcodes import choose, unsupported
from diffquantum.tidy import fold


@dataclasses.dataclass(frozen=True)
class Slot:
    """Memory of `count` scalars, kept in the variables `name` or `name_0 name_1 ...`."""

    name: str
    count: int | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A global constant array."""

    values: tuple[bool | int | float, ...]


@dataclasses.dataclass(frozen=True)
class Element:
    """The address of one entry of an array."""

    base: Slot | Table
    index: Expression


Value = Expression | Slot | Table | Element


def store(place: Value, value: Expression) -> list:
    """The statements that write a value."""
    match place:
        case Slot(slot, None):
            return [Assign(slot, value)]
        case Element(Slot(slot, int(count)), index):
            if isinstance(index, Const):
                return [Assign(f"{slot}_{index.value}", value)]
            names = [f"{slot}_{i}" for i in range(count)]
            return [Assign(n, Select(Binary("eq", index, Const(i)), value, Var(n))) for i, n in enumerate(names)]
    raise unsupported("a store to a constant")


def load(place: Value) -> Expression:
    """The value that is read."""
    match place:
        case Slot(slot, None):
            return Var(slot)
        case Element(Slot(slot, int(count)), index):
            return choose(index, [Var(f"{slot}_{i}") for i in range(count)])
        case Element(Table(values), index):
            return fold(Index(values, index))
    raise unsupported("a load from an unknown place")
