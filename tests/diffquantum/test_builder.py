"""Programs written in Python: the same representation, the same values, Q# that compiles."""

import numpy as np
import pytest

import diffquantum
from diffquantum import Builder, DifferentiationError, ProgramError
from diffquantum.emit import to_qsharp
from diffquantum.emit_openqasm import to_openqasm
from diffquantum.ir import Gate, Measure, While
from tests.diffquantum.cases import REFERENCE, Propagation, loop


def rus():
    b = Builder("T02_RusZ", ["t", "p"], qubits=2)
    t, p = b.parameters
    b.ry(t, 1)
    with b.loop():
        b.leave_if(b.measure(1))
        b.rx(p, 0)
        b.ry(t, 1)
    b.reset(1)
    return b.build(b.measure(0, reset=True))


def count():
    b = Builder("T01_GeoCount", ["t"])
    (t,) = b.parameters
    n = b.variable(0)
    b.ry(t, 0)
    with b.loop():
        b.leave_if(b.measure(0))
        b.ry(t, 0)
        b.set(n, n + 1)
    b.reset(0)
    return b.build(n)


@pytest.mark.parametrize(("make", "theta"), [(rus, [1.0, 0.7]), pytest.param(count, [1.0], marks=pytest.mark.slow)])
def test_same_as_compiled(make, theta):
    """The statements of the compiled program, the published value, and text that reads back."""
    program = make()
    compiled = loop(program.name)
    assert [type(s) for s in program.body] == [type(s) for s in compiled.body]
    assert [g.site for g in program.sites] == [g.site for g in compiled.sites]
    mean = Propagation(program, theta, 1e-14).means()[0]
    assert abs(mean - REFERENCE[program.name]["value"]) < 1e-10
    for text in (to_qsharp(program), to_openqasm(program)):
        assert abs(Propagation(diffquantum.load(text), theta, 1e-14).means()[0] - mean) < 1e-12


def test_the_representation_itself():
    """The loop of T02 is the compiled one, but for names."""
    (mine,) = [s for s in rus().body if isinstance(s, While)]
    (other,) = [s for s in loop("T02_RusZ").body if isinstance(s, While)]
    assert (
        mine.body == other.body
        and isinstance(mine.before[0], Measure)
        and mine.before[0].qubit == other.before[0].qubit
    )


def test_control_flow_and_arithmetic():
    """Branches, a while loop of variables, choices and comparisons, by hand."""
    b = Builder("Mixed", ["t"], qubits=2)
    (t,) = b.parameters
    n, x = b.variable(0), b.variable(1.0)
    with b.while_(n < 3):
        b.ry(t / (n + 1), 0)
        bit = b.measure(0, reset=True)
        with b.if_(bit):
            b.set(x, x * 2.0)
        with b.else_():
            b.set(x, 1.0 - x / 4.0)
        b.set(n, n + 1)
    b.h(1)
    b.cx(1, 0)
    b.rzz(0.3, 0, 1)
    even = b.choose((n % 2 == 1) & ~(n != 3), 10.0, -1.0)
    program = b.build(x + even, bit | (n <= 2))
    assert program.kind == "tuple"
    total, last = 0.0, 0.0
    p = [np.sin(0.9 / k / 2) ** 2 for k in (1, 2, 3)]
    for bits in np.ndindex(2, 2, 2):
        weight, value = 1.0, 1.0
        for one, q in zip(bits, p):
            weight *= q if one else 1 - q
            value = 2 * value if one else 1 - value / 4
        total += weight * (value + 10)
        last += weight * bits[2]
    np.testing.assert_allclose(Propagation(program, [0.9]).means(), [total, last], atol=1e-12)


def test_state():
    b = Builder("State", ["t"], qubits=2)
    b.gate("swap", 0, 1)
    b.rxx(b.parameters[0], 0, 1)
    assert b.build().register == (0, 1) and b.build(register=[1]).register == (1,)
    assert b.build().body[0] == Gate("swap", b.build().body[0].qubits)


def test_refused():
    b = Builder("Bad", ["t"])
    with pytest.raises(ProgramError, match="not known while"):
        bool(b.parameters[0] < 1.0)
    with pytest.raises(ProgramError, match="no variable"):
        b.set(b.parameters[0], 1.0)
    with pytest.raises(ProgramError, match="without an if_"), b.else_():
        pass
    with pytest.raises(ProgramError, match="0 leave_if"), b.loop():
        b.x(0)
    b.leave_if(b.measure(0))
    with pytest.raises(ProgramError, match="outside"):
        b.build()
    steered = Builder("Steered", ["t"])
    with steered.if_(steered.parameters[0] > 1.0):
        steered.x(0)
    with pytest.raises(DifferentiationError):
        steered.build()
    with pytest.raises(ProgramError, match="qubit 3"):
        far = Builder("Far")
        far.x(3)
        far.build()
