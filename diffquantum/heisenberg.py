r"""Programs in the Heisenberg picture: the observable is carried backwards through loops, to the input."""

import itertools
from typing import Any

import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.estimate.sampled import pauli_terms
from diffquantum.ir import Program
from diffquantum.simulate.density import Exact
from diffquantum.simulate.noise import Noise
from diffquantum.transform.simplify import number
from qml.operator import PauliSum


def weakest_precondition(program: Program, observable: Any, theta: Any, noise: Noise | None = None) -> PauliSum:
    r"""The observable on the input of a program that has the mean of an observable on its output.

    $$\mathrm{tr}(O\,P(\rho)) = \mathrm{tr}(P^\dagger(O)\,\rho)$$

    It holds for every state $\rho$ of the register, all other qubits starting in |0>. All of it is one solve with the
    transposed system of the program.

    Args:
        program: a program with a register.
        observable: a `PauliSum` on the register.
        theta: the parameters `[params]`.
        noise: what follows every gate.

    Returns:
        A `PauliSum` on the register.

    Raises:
        UnsupportedError: no register, or the program reaches too many directions to store.
        TerminationError: a loop does not end from every input at these parameters.

    Example:
        >>> import diffquantum, qml
        >>> text = "operation Turn(t : Double, qs : Qubit[]) : Unit { Ry(t, qs[0]); }"
        >>> program = diffquantum.load(text, qubits=1)
        >>> before = diffquantum.weakest_precondition(program, qml.operator.PauliSum({"Z": 1.0}), [0.5])
        >>> before.to_dense().real.round(1).tolist()
        [[0.9, -0.5], [-0.5, -0.9]]

    Source: weakest preconditions of quantum while programs (D'Hondt and Panangaden, 2006).
    """
    if not program.register:
        raise UnsupportedError(
            f"The operation {program.name} has no register, so it has no input.",
            got="no Qubit arguments",
            expected="an operation on qubits it is given",
            try_="operation Prepare(theta : Double[], qs : Qubit[]) : Unit",
        )
    terms = pauli_terms(program, observable)
    assert terms is not None
    strings, coefficients = terms
    exact = Exact(program, (number(program),), noise=noise, strings=strings, inputs=True)
    if exact.system is None:
        raise UnsupportedError(
            f"The program {program.name} reaches too many directions for the Heisenberg picture.",
            got=f"{len(exact.graph.qubits)} qubits",
            expected="a smaller register",
            try_="expectation(program, observable) for one input",
        )
    theta = np.asarray(theta, float)
    exact.ending(theta)
    back = exact.backwards(theta, np.asarray(coefficients, float))
    words = ("".join(w) for w in itertools.product("IXYZ", repeat=len(program.register)))
    return PauliSum({w: float(c) for w, c in zip(words, back) if abs(c) > 1e-14} or {"I" * len(program.register): 0.0})
