"""Observables as measurements at the end of a program: what a device can run."""

import dataclasses
from collections.abc import Sequence

from diffquantum.ir import Binary, Const, Expression, Gate, Measure, Program, Select, Statement, Var
from diffquantum.simulate.draws import commuting_groups
from diffquantum.transform.simplify import ZERO, add, fresh, multiply, names, number

BASIS = {"X": ("h",), "Y": ("s_adj", "h"), "Z": ()}


def measured(
    program: Program, strings: Sequence[str], coefficients: Sequence[float]
) -> tuple[tuple[Program, float], ...]:
    r"""Programs that measure their register and return numbers, whose means add up to that of an observable.

    One program measures all strings that agree wherever both are not I. What the program itself returns multiplies the
    observable, as everywhere.

    Args:
        program: a program with a register.
        strings: Pauli strings on the register.
        coefficients: as many real numbers.

    Returns:
        Pairs of a program and $\sum |c|$ over its strings, the share of shots that it should get. Strings of I alone go
        with the first program.

    Example:
        >>> from diffquantum.ir import Const, Gate, Parameter, Program
        >>> from diffquantum.transform.measured import measured
        >>> turn = Program("Turn", ("t",), 2, (Gate("ry", (Const(0),), Parameter(0)),), register=(0, 1))
        >>> [(p.name, size) for p, size in measured(turn, ("ZI", "IZ", "XX"), (1.0, 2.0, 0.5))]
        [('Turn_ZZ', 3.0), ('Turn_XX', 0.5)]
    """
    total: dict[str, float] = {}
    for s, c in zip(strings, coefficients, strict=True):
        total[s] = total.get(s, 0.0) + float(c)
    plain = total.pop("I" * len(program.register), 0.0)
    groups = commuting_groups(tuple(total)) or ((),)
    out = []
    for i, group in enumerate(groups):
        wanted = {s: total[s] for s in group}
        size = sum(map(abs, wanted.values()))
        out.append((_group(program, wanted, plain if i == 0 else 0.0), size))
    return tuple(out)


def _group(program: Program, wanted: dict[str, float], plain: float) -> Program:
    """The program with its register measured in the basis that some strings share."""
    taken = set(names(program))
    letters = ["".join(s[i] for s in wanted).replace("I", "")[:1] for i in range(len(program.register))]
    bits: dict[int, str] = {}
    ends: list[Statement] = []
    for i, (qubit, letter) in enumerate(zip(program.register, letters)):
        if letter:
            taken.add(bit := fresh(f"bit_{i}", taken))
            bits[i] = bit
            ends += [Gate(name, (Const(qubit),)) for name in BASIS[letter]]
            ends.append(Measure(Const(qubit), bit))
    value: Expression = Const(plain) if plain else ZERO
    for string, c in wanted.items():
        odd: Expression | None = None
        for i, letter in enumerate(string):
            if letter != "I":
                odd = Var(bits[i]) if odd is None else Binary("xor", odd, Var(bits[i]))
        assert odd is not None
        value = add(value, Select(odd, Const(-c), Const(c)))
    whole = multiply(number(program), value)
    basis = "".join(letter or "I" for letter in letters)
    return dataclasses.replace(
        program, name=f"{program.name}_{basis}", body=(*program.body, *ends), outputs=(whole,), kind="double",
        register=(),
    )  # fmt: skip
