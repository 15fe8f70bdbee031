r"""Shift rules for any spectrum, and the gadget for any generator.

$f(x) = \mathrm{tr}(O\, e^{-ixG} \rho\, e^{ixG})$ is a trigonometric polynomial whose frequencies are the gaps of $G$.
With shifts $s_i$ and coefficients $c_i$ such that $2 \sum_i c_i \sin(\omega s_i) = \omega$ for every gap $\omega$,
$f'(x) = \sum_i c_i\, [f(x + s_i) - f(x - s_i)]$.
"""

import math
from collections.abc import Sequence

import numpy as np

from diffquantum.ir import ROTATIONS, Block, Const, Expression, Gate
from qml._core.errors import ConfigError


def shift_rule(gaps: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    r"""Shifts and coefficients of the derivative for a generator with given gaps.

    For one gap $\omega$ it is the two-term rule, $s = \pi / 2\omega$, $c = \omega / 2$; for the gaps $1, \ldots, R$ the
    equidistant one, with $\sum |c|$ as small as it can be.

    Args:
        gaps: the differences of eigenvalues that occur, positive; of $R_P(x) = e^{-ixP/2}$ it is `(1,)`, of a
            controlled one `(0.5, 1)`.

    Returns:
        Shifts $s_i$ and coefficients $c_i$, as many as different gaps.

    Raises:
        ConfigError: no gap, one that is not positive, or gaps that no shifts tell apart.

    Example:
        >>> from diffquantum.transform.rules import shift_rule
        >>> shift_rule((1.0,))
        ((1.5707963267948966,), (0.5,))

    Source: Wierichs, Izaac, Wang and Lin, Quantum 6, 677 (2022), arXiv 2107.12390.
    """
    omega = np.unique(np.asarray(gaps, float))
    if len(omega) == 0 or not np.all(np.isfinite(omega)) or omega[0] <= 0:
        raise ConfigError(
            "The gaps of a generator are positive numbers.",
            got=tuple(gaps),
            expected="differences of its eigenvalues, without 0",
            try_="shift_rule((1.0,)), for a Pauli rotation",
        )
    count, unit = len(omega), omega[0]
    steps = omega / unit
    if np.allclose(steps, np.arange(1, count + 1)):
        shifts = (2 * np.arange(1, count + 1) - 1) * math.pi / (2 * count * unit)
    else:
        shifts = (2 * np.arange(1, count + 1) - 1) * math.pi / (2 * count * np.max(omega)) * (count / (count + 0.5))
    matrix = 2 * np.sin(np.outer(omega, shifts))
    if np.linalg.cond(matrix) > 1e8:
        raise ConfigError(
            "These gaps are too close for a shift rule.",
            got=tuple(gaps),
            expected="gaps that differ by more than 1e-8 of the largest",
            try_="gates taken apart into Pauli rotations",
        )
    found = np.linalg.solve(matrix, omega)
    return tuple(shifts.tolist()), tuple(found.tolist())


def commutator(target: Sequence[int], copy: Sequence[int], switch: int, sign: int) -> Block:
    r"""The gadget for any generator: $e^{\mp i \frac\pi4 S}$ with the swap $S$ of some qubits with a prepared copy.

    With the copy in the state $\sigma$ the derivative of $e^{-ixG}$, $G = \lambda \sigma + c$, is
    $f'(x) = \lambda\, (f_+ - f_-)$, $f_\pm$ being the mean with the gadget of that sign put at the gate:
    $\mathrm{tr}_2\, e^{-i\alpha S} (\rho \otimes \sigma)\, e^{i\alpha S} - (\alpha \to -\alpha) =
    -i \sin(2\alpha)\, [\sigma, \rho]$. A mixed $\sigma$ is drawn: each eigenvector with its eigenvalue as the chance.

    Args:
        target: the qubits of the gate.
        copy: as many qubits in the state $\sigma$; what they hold afterwards is not needed.
        switch: one more qubit, |0> before and after.
        sign: +1 or -1.

    Returns:
        The statements.

    Raises:
        ConfigError: qubits that do not pair up, or a sign that is none.

    Example:
        >>> from diffquantum.transform.rules import commutator
        >>> len(commutator((0,), (1,), 2, +1))
        9

    Source: Lloyd, Mohseni and Rebentrost, Nature Phys. 10, 631 (2014), for the exchange with a prepared state.
    """
    qubits = (*target, *copy, switch)
    if len(target) != len(copy) or len(set(qubits)) != len(qubits) or sign not in (1, -1):
        raise ConfigError(
            "The gadget exchanges the qubits of the gate with as many others.",
            got=f"target={tuple(target)}, copy={tuple(copy)}, switch={switch}, sign={sign}",
            expected="different qubits, as many in copy as in target, and sign 1 or -1",
            try_="commutator((0,), (1,), 2, +1)",
        )
    return _swapped(tuple(map(Const, target)), tuple(map(Const, copy)), Const(switch), sign)


def _swapped(target: Sequence[Expression], copy: Sequence[Expression], c: Expression, sign: int) -> Block:
    swaps: list[Gate] = []
    for a, b in zip(target, copy, strict=True):
        swaps += [Gate("cx", (b, a)), Gate("ccx", (c, a, b)), Gate("cx", (b, a))]
    turn = Gate("rx", (c,), Const(sign * math.pi / 2))  # the switch is |+> : on S = -1 the turn goes the other way
    return (Gate("h", (c,)), *swaps, turn, *swaps, Gate("h", (c,)))


def exchange(gate: Gate, copy: int, switch: int, sign: int) -> Block:
    r"""The gadget for a rotation $e^{-i\phi P/2}$: then $f'(\phi) = f_+ - f_-$.

    In the basis where $P$ is Z on the last qubit, the state $(1 + P)/2$ is |0>: one qubit is enough as a copy.

    Args:
        gate: the rotation.
        copy: a qubit in |0>; what it holds afterwards is not needed.
        switch: one more qubit, |0> before and after.
        sign: +1 or -1.

    Returns:
        The statements.

    Example:
        >>> from diffquantum.ir import Const, Gate, Parameter
        >>> from diffquantum.transform.rules import exchange
        >>> [s.name for s in exchange(Gate("rx", (Const(0),), Parameter(0)), 1, 2, +1)]
        ['h', 'h', 'cx', 'ccx', 'cx', 'rx', 'cx', 'ccx', 'cx', 'h', 'h']

    Source: as `commutator`.
    """
    last = gate.qubits[-1]
    there: list[Gate] = []
    for letter, q in zip(ROTATIONS[gate.name], gate.qubits):
        there += [Gate(name, (q,)) for name in {"X": ("h",), "Y": ("s_adj", "h"), "Z": ()}[letter]]
    there += [Gate("cx", (q, last)) for q in gate.qubits[:-1]]
    back = [Gate(_INVERSE.get(g.name, g.name), g.qubits) for g in reversed(there)]
    return (*there, *_swapped((last,), (Const(copy),), Const(switch), sign), *back)


_INVERSE = {"s_adj": "s"}
