"""OpenQASM 3 in and out: loops that wait for a measurement, angles as real numbers; round trips by exact value."""

import numpy as np
import pytest

import diffquantum
from diffquantum import SourceError, UnsupportedError
from diffquantum.emit_openqasm import to_openqasm
from diffquantum.ir import Assign, Binary, Call, Const, Gate, If, Index, Measure, Parameter, Program, Select, Unary, Var
from diffquantum.openqasm import to_source
from diffquantum.simulate.gates import unitary
from tests.diffquantum.cases import LOOPS, REFERENCE, Propagation, feature, loop

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
LOOP = """input float a; input angle[20] b;
qubit q; qubit[2] r; bit[2] c;
output bit out;
ry(a) r[1];
c[0] = measure r[1];
while (!c[0]) { rx(b) q; ry(a) r[1]; c[0] = measure r[1]; }
reset r;
out = measure q;
"""
THETA = [0.9, 1.1]


def test_loop():
    """T02 with bits in an array that the loop sets, and an angle as a parameter."""
    program = diffquantum.load(HEAD + LOOP)
    assert program.parameters == ("a", "b") and program.kind == "result" and program.name == "Program"
    assert abs(Propagation(program, [1.0, 0.7]).means()[0] - REFERENCE["T02_RusZ"]["value"]) < 1e-10


@pytest.mark.slow
def test_modifiers_and_gates():
    """Controls, inverses, powers, user gates, subroutines; against the simulator of Q#."""
    text = """input float theta; input float phi; input int k; input array[float[64], 2] more;
    qubit[2] q; qubit r;
    gate turn(a) x1, x2 { ctrl @ rx(a) x1, x2; inv @ s x1; U(a, a/2, -a) x1; gphase(a/2); }
    def kick(float amount, qubit target) -> bit { rx(amount + sin(amount)) target; return measure target; }
    h q; h r;
    inv @ turn(theta) q[0], r; ctrl @ turn(theta) q[0], q[1], r; pow(2) @ turn(theta) q[0], r;
    ctrl(2) @ rx(phi) q[0], q[1], r; negctrl @ turn(theta) q[0], q[1], r;
    cp(theta) q[0], q[1]; u3(theta, phi, 0.2) r; cu(0.1, theta, 0.2, 0.3) q[0], q[1]; crz(-1.5) q[0], r;
    rx(theta * theta) r; rx(-theta) r; rx(theta * k + more[1]) r; u2(theta, more[0]) r; cu3(theta, phi, 1.0) q[0], r;
    barrier q; id r; sxdg r;
    bit[2] c = measure q;
    bit d;
    d = kick(theta, r);
    if (c == 2) { x r; }
    if (c[0] && d) { ry(theta) r; }
    for int i in [0:3] { rz(theta * i) r; h r; }
    uint n = 3;
    while (true) { d = measure r; if (d) { break; } n += 1; h r; }
    reset r;
    """
    program = diffquantum.load(HEAD + text, fixed={"k": 2}, check_shots=5000)
    assert program.parameters == ("theta", "phi", "more_0", "more_1") and len(program.outputs) == 4


@pytest.mark.parametrize(
    "angle", ["7.5", *(pytest.param(a, marks=pytest.mark.slow) for a in ("-0.5", "3.5", "-3*pi/2"))]
)
def test_constant_angles_keep_their_turns(angle):
    """A controlled rotation knows an angle from one that is 2 pi larger."""
    program = diffquantum.load(
        HEAD + f"input float a; qubit[2] q; h q[0]; ry(a) q[1]; ctrl @ rx({angle}) q[0], q[1]; h q[0];"
    )
    value = eval(angle, {"pi": np.pi})
    h, ry = unitary("h", None), unitary("ry", 0.3)
    controlled = np.kron(np.diag([1, 0]), np.eye(2)) + np.kron(np.diag([0, 1]), unitary("rx", value))
    state = np.kron(h, np.eye(2)) @ controlled @ np.kron(h, ry)[:, 0]
    z = np.kron(np.diag([1.0, -1.0]), np.eye(2))
    assert abs(Propagation(program, [0.3]).mean(z) - (state.conj() @ z @ state).real) < 1e-12


@pytest.mark.slow
def test_state_and_file(tmp_path):
    """A program without classical variables prepares a state of all its qubits; a file gives its name."""
    path = tmp_path / "bell.qasm"
    path.write_text(HEAD + "input float a; qubit[2] q; qubit r; rx(a) q[0]; { bit c; c = measure r; } cx q[0], r;")
    program = diffquantum.load(path)
    assert program.register == (0, 1, 2) and program.kind == "unit" and program.name == "bell"


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("input float a; qubit q;\nfoo q;", "undefined symbol: foo", 4),
        ("input float a; qubit q;\n\nrx(a q;", "expected", 5),
    ],
)
def test_errors_have_a_place(text, message, line):
    with pytest.raises(SourceError, match=message) as caught:
        diffquantum.load(HEAD + text)
    assert caught.value.line == line


def test_refused():
    with pytest.raises(SourceError, match="cast"):
        to_source(HEAD + "qubit q; gate g(x) q { rx(0.5 * x) q; }", "P")
    calls = Program("Calls", (), 1, (Call("f", ()),))
    with pytest.raises(UnsupportedError, match="a call"):
        to_openqasm(calls)


FAST = ("T10_Chain",)
ALL = [name for name in REFERENCE if f"operation {name}(" in LOOPS.read_text()]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in ALL])
def test_round_trip(name):
    """Text, reader, program: the same mean, as the reference semantics has it."""
    program = loop(name)
    back = diffquantum.load(to_openqasm(program))
    theta = THETA[: len(program.parameters)]
    assert back.kind == program.kind
    want = Propagation(program, theta, 1e-6).means()
    np.testing.assert_allclose(Propagation(back, theta, 1e-6).means(), want, rtol=1e-12, atol=1e-12)


def test_every_kind_of_expression():
    """Choices, tables, distances, smaller and larger numbers, whole numbers and bits."""
    q0, n, b = Const(0), Var("n"), Var("b")
    body = (
        Assign("n", Const(7)),
        Gate("ry", (q0,), Binary("max", Parameter(0), Unary("abs", Unary("neg", Parameter(1))))),
        Gate("ryy", (q0, Const(1)), Index((0.25, 0.5), Binary("mod", n, Const(2)))),
        Gate("sx_adj", (Binary("div", n, Const(7)),)),
        Measure(q0, "b", reset=True),
        Assign("n", Select(b, Binary("or", n, Const(8)), Binary("shl", Const(1), Const(3)))),
        If(
            Binary("xor", b, Binary("lt", n, Const(9))),
            (Gate("t_adj", (q0,)),),
            (Gate("rxx", (q0, Const(1)), Const(0.3)),),
        ),
        Gate("h", (Const(1),)),
        Measure(Const(1), "c"),
    )
    outputs = (Binary("add", n, Unary("float", b)), Binary("and", b, Unary("not", Var("c"))))
    program = Program("Many", ("x", "y"), 2, body, outputs, "tuple")
    back = diffquantum.load(to_openqasm(program))
    np.testing.assert_allclose(Propagation(back, THETA).means(), Propagation(program, THETA).means(), atol=1e-12)


@pytest.mark.slow
def test_register_round_trip():
    """A register, qubits of its own and a loop: the register comes first again."""
    program = feature("Entangle", qubits=3)
    back = diffquantum.load(to_openqasm(program))
    assert back.kind == "unit" and back.register[:3] == (0, 1, 2)
    z = np.diag([1.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0])
    assert abs(Propagation(back, [0.8]).mean(z) - Propagation(program, [0.8]).mean(z)) < 1e-10
