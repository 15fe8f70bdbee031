"""The Q# simulator as a witness: its shots against the exact means of the program that was read."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffquantum.compiler import PARAMETER, Source, context, double, evaluate
from diffquantum.errors import UnsupportedError
from diffquantum.ir import Const, Measure, Program, Var
from diffquantum.simulate.density import Exact

LIMIT = 4.5  # standard errors


def crosscheck(
    program: Program, source: Source, call: str, shots: int, seed: int = 1, measured: bool = True
) -> np.ndarray:
    """Compare shots of the Q# simulator with the exact means.

    Args:
        program: the program read from the text.
        source: the Q# text.
        call: an expression of what it returns, or of the measured register; parameters are calls as for the compiler.
        shots: number of shots.
        seed: seed of the simulator and of the parameters.
        measured: whether `call` measures the register of the program, if it has one.

    Returns:
        The z-score of each output, at one random point.

    Raises:
        UnsupportedError: the two do not agree, so the compiler or the reader misunderstands the program.
    """
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.3, 0.95, len(program.parameters))
    if program.register and measured:
        program = _measured(program)
    exact = Exact(program).means(theta)
    for i, value in enumerate(theta):
        call = call.replace(f"{PARAMETER}({i})", double(value))
    with context(target=False, project=source.project) as simulator:
        evaluate(simulator, source)
        far = seed + 2**32  # shot i has the seed of the first one plus i
        for number, trial in ((shots, seed), (4 * shots, far)):  # few shots of a long tail may mislead
            samples = simulator.run(call, number, seed=trial)
            values = np.array([list(flat(s)) for s in samples], float).reshape(number, len(exact))
            mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(number)
            z = (mean - exact) / np.maximum(spread, np.sqrt(np.abs(exact) + 1) / number)
            if np.max(np.abs(z), initial=0.0) <= LIMIT:
                return z
    raise UnsupportedError(
        f"The simulator of Q# and the program read from {program.name} do not agree.",
        got=f"means {mean} +- {spread} of {number} shots at {theta}",
        expected=f"{exact}",
        try_="report this operation: the compiler or its reader has a defect",
    )


def _measured(program: Program) -> Program:
    """The program with its register measured at the end, as what it returns."""
    names = tuple(f"q{i}" for i in range(len(program.register)))
    ends = tuple(Measure(Const(q), name) for q, name in zip(program.register, names))
    outputs = tuple(map(Var, names))
    return dataclasses.replace(program, body=program.body + ends, outputs=outputs, kind="results", register=())


def flat(sample: Any) -> Iterator[float]:
    """The numbers in what one shot returned; One counts 1."""
    if isinstance(sample, list | tuple):
        for part in sample:
            yield from flat(part)
    elif isinstance(sample, bool | int | float):
        yield float(sample)
    else:
        yield float(str(sample).endswith("One"))
