r"""Programs as linear maps, and the Heisenberg picture: the symbolic adjoint, which carries observables backwards.

A program is a term of a small algebra of linear maps on states, where a state is a density matrix for each value of the
classical memory:

| construct | map | its adjoint, the weakest precondition |
| --- | --- | --- |
| gate, projector, Kraus operator $K$ | $\rho \to K \rho K^\dagger$ | $O \to K^\dagger O K$ |
| `x = e` | move each memory | $O(m) \to O(m[x := e(m)])$: substitution |
| `x = M(q)` | $\sum_b (x := b)\, P_b \cdot P_b$ | $\sum_b P_b\, O(m[x := b])\, P_b$ |
| `A; B` | $B \circ A$ | $A^\dagger \circ B^\dagger$ |
| `if c {A} else {B}` | $A\,[c] + B\,[\neg c]$ | $[c]\,A^\dagger + [\neg c]\,B^\dagger$ |
| `A; while c {B; A}` | $[\neg c] A (1 - B [c] A)^{-1}$ | $(1 - A^\dagger [c] B^\dagger)^{-1} A^\dagger [\neg c]$ |

`term.H` is the adjoint by these rules alone, before any number is known. A counter is not enumerated: observables and
states are polynomials in such variables, and `n = n + 1` substitutes in the polynomial.
"""

import itertools
from typing import Any

import numpy as np

from diffquantum.check import check_theta
from diffquantum.errors import UnsupportedError
from diffquantum.estimate.sampled import pauli_terms
from diffquantum.ir import (
    Assign,
    Block,
    Call,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Program,
    Reset,
    Statement,
    Unary,
    While,
)
from diffquantum.probing import kept
from diffquantum.simulate.density import LOST, Exact, never_ends
from diffquantum.simulate.gates import pauli
from diffquantum.simulate.moments import analyse
from diffquantum.simulate.noise import Noise
from diffquantum.simulate.terms import Conjugate, Guard, Memory, Put, Star, Sum, Term, Then, World
from diffquantum.tidy import fold
from diffquantum.transform.simplify import number
from qml.operator import PauliSum

# ---------------------------------------------------------------------------------------------------- programs as terms


def channel(program: Program, noise: Noise | None = None) -> Term:
    r"""A program as a linear map, a term of the algebra above; its `.H` is the Heisenberg picture, by rules alone.

    $$\mathrm{tr}(O\,P(\rho)) = \mathrm{tr}(P^\dagger(O)\,\rho)$$

    Args:
        program: a program without calls, as `load` gives it.
        noise: what follows every gate.

    Returns:
        A term: `str` shows it, `.H` is its adjoint, `carried_back` makes numbers of it.

    Raises:
        UnsupportedError: the program calls functions.

    Example:
        >>> import diffquantum
        >>> text = "operation Wait(t : Double, q : Qubit[]) : Unit { while M(q[0]) == One { Ry(t, q[0]); } }"
        >>> program = diffquantum.load(text, qubits=1)
        >>> print(diffquantum.channel(program).parts[-1], "and", diffquantum.channel(program).parts[-1].H)
        [not(r0)] and [not(r0)]
        >>> print(diffquantum.channel(program).H.parts[2])
        star(ry^(theta[0], 0) ; [r0] ; ({r0 =: False} ; zero^(0) + {r0 =: True} ; one^(0)))

    Source: adjoints of linear maps without points (Elsman and others, arXiv 2207.00847); weakest preconditions of
    quantum while programs (D'Hondt and Panangaden, 2006).
    """
    return _block(program.body, noise)


def _block(block: Block, noise: Noise | None) -> Then:
    return Then(tuple(t for s in block for t in _flat(_statement(s, noise))))


def _flat(term: Term) -> tuple[Term, ...]:
    return term.parts if isinstance(term, Then) else (term,)


def _statement(statement: Statement, noise: Noise | None) -> Term:
    """The rule of each construct."""
    match statement:
        case Gate(name, qubits, angle):
            return Then((Conjugate(name, qubits, angle), *(_noisy(q, noise) for q in qubits if noise is not None)))
        case Measure(qubit, target, reset):
            one = Conjugate("lower" if reset else "one", (qubit,))
            return Sum(
                (
                    Then((Conjugate("zero", (qubit,)), Put(target, Const(False)))),
                    Then((one, Put(target, Const(True)))),
                )
            )
        case Reset(qubit):
            return Sum((Conjugate("zero", (qubit,)), Conjugate("lower", (qubit,))))
        case Assign(target, value):
            return Put(target, value)
        case If(condition, then, otherwise):
            no = Guard(fold(Unary("not", condition)))
            yes = Then((Guard(condition), *_block(then, noise).parts))
            return Sum((yes, Then((no, *_block(otherwise, noise).parts))))
        case While(before, condition, body):
            test = _block(before, noise).parts
            turn = Then((*test, Guard(condition), *_block(body, noise).parts))
            return Then((Star(turn), *test, Guard(fold(Unary("not", condition)))))
        case Call():
            raise UnsupportedError(
                "A call is not a statement that has a term.",
                got=statement,
                expected="a program whose functions are written out where they are called",
                try_="load the program from Q#, which does so",
            )
    raise TypeError(statement)


def _noisy(qubit: Expression, noise: Noise | None) -> Term:
    assert noise is not None
    matrices = (tuple(map(tuple, k.astype(complex).tolist())) for k in noise.kraus() if np.any(k))
    return Sum(tuple(Conjugate("kraus", (qubit,), None, k) for k in matrices))


def world(program: Program, theta: Any) -> World:
    """What turns the term of a program into numbers at some parameters `[params]`."""
    theta = np.asarray(theta, float)
    check_theta(program, theta)
    return World(program, analyse(program, (number(program),)), np.asarray(kept(program, theta)))


def carried_back(program: Program, observable: Any, theta: Any, noise: Noise | None = None) -> np.ndarray:
    """The operator on the input that has the mean of a program's output, by the symbolic adjoint.

    As `weakest_precondition`, but for any program, and on all of its qubits: its mean in |0...0> is the value.

    Args:
        program: a program.
        observable: a `PauliSum` on its register; `None` for a program that returns a number.
        theta: the parameters `[params]`.
        noise: what follows every gate.

    Returns:
        A matrix `[2^n, 2^n]`, qubit 0 leftmost.

    Raises:
        ShapeError: the number of parameters is wrong.
        TerminationError: a loop does not end, or takes many thousand turns.
        UnsupportedError: a variable that steers a loop takes too many values, or probing does not hold at theta.

    Example:
        >>> import diffquantum
        >>> from diffquantum.heisenberg import carried_back
        >>> turn = diffquantum.load("operation Turn(t : Double) : Result { use q = Qubit(); Ry(t, q); MResetZ(q) }")
        >>> carried_back(turn, None, [0.5]).real.round(3).tolist()
        [[0.061, 0.24], [0.24, 0.939]]
    """
    here = world(program, theta)
    matrix = np.zeros((2**program.qubits,) * 2, complex)
    strings, coefficients = pauli_terms(program, observable) or (("",), np.ones(1))
    for string, coefficient in zip(strings, np.asarray(coefficients)):
        letters = dict(zip(program.register, string))
        matrix += coefficient * pauli("".join(letters.get(q, "I") for q in range(program.qubits)))
    monomials, (output,) = here.payload.monomials, here.payload.outputs

    def wanted(memory: Memory) -> np.ndarray:
        factors = [here.number(output.get(m, Const(0.0)), memory) for m in monomials]
        return np.array(factors)[:, None, None] * matrix[None]

    def one(memory: Memory) -> np.ndarray:
        return np.eye(len(monomials))[0][:, None, None] * np.eye(len(matrix))[None]

    backwards = channel(program, noise).H
    ended = np.real(np.diag(backwards(one, here)(())[0]))
    inputs = [sum(2 ** (program.qubits - 1 - q) for q in some) for some in _subsets(program.register)]
    if np.max(np.abs(ended[inputs] - 1.0)) > LOST:
        raise never_ends(1.0, float(np.min(ended[inputs])))
    return backwards(wanted, here)(())[0]


def _subsets(register: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [some for k in range(len(register) + 1) for some in itertools.combinations(register, k)]


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
