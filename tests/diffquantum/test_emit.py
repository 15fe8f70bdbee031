"""Emitted Q#: the real compiler takes it, its shots agree, and reading it back gives the same program."""

import numpy as np
import pytest

import diffquantum
from diffquantum.compiler import context
from diffquantum.emit import to_qsharp
from diffquantum.infix import Infix, identifier, literal
from diffquantum.ir import (
    Assign,
    Binary,
    Const,
    Gate,
    If,
    Index,
    Measure,
    Parameter,
    Program,
    Reset,
    Select,
    Unary,
    Var,
    While,
)
from diffquantum.simulate.density import Exact
from diffquantum.tidy import compute
from diffquantum.transform import Roulette, derivative
from tests.helpers import programs as lib

LAW = Roulette.mixture(table=4)


def everything():
    for name, program in lib.NAMES.items():
        yield name, None, program
        for j in range(len(program.parameters)):
            yield name, j, derivative(program, j, LAW)


@pytest.mark.parametrize(("name", "j", "program"), list(everything()), ids=lambda x: getattr(x, "name", x))
def test_round_trip(name, j, program):
    """Text, compiler, QIR, program: the same exact mean."""
    theta = lib.THETA[name]
    back = diffquantum.load(to_qsharp(program))
    assert back.parameters == program.parameters
    want = Exact(program).means(theta)
    np.testing.assert_allclose(Exact(back).means(theta), want, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("j", [0, 1])
def test_simulator_of_the_compiler(j):
    """The derivative of T02 run by the Q# simulator: 20 000 shots."""
    from qdk.simulation import run_qir

    d = derivative(lib.RUS, j, Roulette.mixture(0.88, 0.2, 24))
    with context() as compiler:
        compiler.eval(to_qsharp(d))
        x = np.array(run_qir(compiler.compile(f"{d.name}(1.0, 0.7)"), shots=20_000, seed=3), float)
    error = x.std() / np.sqrt(len(x))
    assert abs(x.mean() - lib.reference()["T02_RusZ"]["gradient"][j]) < 4.5 * error < 1


def test_text_is_readable():
    text = to_qsharp(derivative(lib.RUS_STATE, "p", Roulette((0.5, 0.25))))
    for part in (
        "operation RusZ_d_p(t : Double, p : Double, qs : Qubit[]) : Double {",
        "while M(q1) == Zero {",
        "if not fired {",
        "Rx(Std.Math.PI() / 2.0, qs[0]);",
        "fired ? weight | 0.0",
    ):
        assert part in text
    assert "thrown" not in text


def test_repeat_fixup_branches_and_many_outputs():
    """A program with every kind of statement; its parts come back with the same exact means."""
    q0, q1, q2 = (Const(i) for i in range(3))
    loop = While(
        (Gate("ry", (q0,), Parameter(0)), Measure(q0, "a", reset=True), Measure(q1, "b")),
        Unary("not", Binary("or", Var("a"), Var("b"))),
        (
            Gate("rx", (q1,), Unary("neg", Binary("mul", Parameter(1), Const(1e-1)))),
            Assign("n", Binary("add", Var("n"), Const(1))),
        ),
    )
    body = (
        Assign("n", Const(0)),
        Assign("x", Const(1.0)),
        Gate("h", (q2,)),
        Gate("rzz", (q1, q2), Const(0.3)),
        loop,
        If(Var("a"), (Gate("sx", (q2,)),), (If(Var("b"), (Gate("s_adj", (q2,)), Gate("h", (q2,))), ()),)),
        Assign("x", Binary("add", Var("x"), Binary("mul", Const(-2.0), Unary("float", Var("a"))))),
        Gate("ccx", (q0, q1, q2)),
        Measure(q2, "c"),
        Measure(q1, "unused"),
    )
    outputs = (Var("x"), Var("c"), Binary("xor", Var("a"), Var("b")), Unary("float", Var("n")))
    program = Program("Many", ("t", "p"), 3, body, outputs, "tuple")
    text = to_qsharp(program)
    assert "repeat {" in text and "fixup {" in text and "} elif " in text
    theta = [1.0, 0.4]
    back = diffquantum.load(text)
    np.testing.assert_allclose(Exact(back).means(theta), Exact(program).means(theta), atol=1e-10)


def test_computed_result_and_results():
    body = (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "a"), Measure(Const(1), "b"), Reset(Const(0)))
    program = Program("Not", ("t",), 2, body, (Unary("not", Var("a")),), "result")
    assert Exact(diffquantum.load(to_qsharp(program))).means([0.8])[0] == pytest.approx(np.cos(0.4) ** 2, abs=1e-12)
    program = Program("Bits", ("t",), 2, body, (Var("b"), Var("a")), "results")
    back = diffquantum.load(to_qsharp(program))
    assert back.kind == "results"
    np.testing.assert_allclose(Exact(back).means([0.8]), [0, np.sin(0.4) ** 2], atol=1e-12)


def test_qubits_chosen_by_numbers():
    body = (
        Assign("i", Const(0)),
        Gate("ry", (Const(2),), Parameter(0)),
        While(
            (),
            Binary("lt", Var("i"), Const(2)),
            (
                Gate("cx", (Index((2, 0, 1), Var("i")), Index((0, 1, 2), Var("i")))),
                Assign("i", Binary("add", Var("i"), Const(1))),
            ),
        ),
        *(Measure(Const(q), f"m{q}", reset=True) for q in range(3)),
    )
    outputs = (Binary("and", Var("m0"), Var("m1")),)
    program = Program("Chosen", ("t",), 3, body, outputs, "bool")
    back = diffquantum.load(to_qsharp(program))
    np.testing.assert_allclose(Exact(back).means([0.9]), [np.sin(0.45) ** 2], atol=1e-12)
    np.testing.assert_allclose(Exact(program).means([0.9]), [np.sin(0.45) ** 2], atol=1e-12)


def test_register_program():
    text = to_qsharp(lib.RUS_STATE)
    back = diffquantum.load(text, qubits=1)
    assert back.register == (0,) and back.kind == "unit"


@pytest.fixture(scope="module")
def interpreter():
    """One Q# interpreter for expressions, each in a block of its own."""
    with context(target=False) as simulator:
        yield simulator


NUMBERS = {"n": 3, "m": -5, "x": 0.7, "y": -1.3, "a": True, "b": False}


@pytest.mark.parametrize(
    "e",
    [
        Binary("sub", Var("n"), Binary("sub", Var("m"), Var("n"))),
        Binary("mul", Binary("add", Var("x"), Var("y")), Unary("neg", Var("y"))),
        Binary("div", Var("x"), Binary("mul", Var("y"), Const(-2.0))),
        Binary("mod", Var("m"), Const(3)),
        Binary("mod", Var("y"), Var("x")),
        Binary("max", Var("n"), Var("m")),
        Binary("pow", Var("x"), Const(3)),
        Binary("and", Binary("or", Var("n"), Const(4)), Const(6)),
        Binary("xor", Var("n"), Binary("shl", Const(1), Const(4))),
        Unary("not", Binary("eq", Var("a"), Binary("lt", Var("x"), Var("y")))),
        Binary("or", Binary("and", Var("a"), Var("b")), Binary("xor", Var("a"), Var("b"))),
        Binary("and", Binary("or", Var("a"), Var("b")), Binary("ne", Var("n"), Const(3))),
        Select(Var("a"), Select(Var("b"), Const(1.0), Var("x")), Const(-2.5)),
        Binary("add", Var("n"), Var("x")),
        Binary("add", Unary("float", Var("a")), Unary("float", Var("n"))),
        Binary("add", Var("n"), Unary("trunc", Var("y"))),
        Unary("abs", Var("m")),
        Unary("abs", Var("y")),
        Unary("exp", Binary("add", Var("x"), Var("y"))),
        Unary("atan", Unary("sqrt", Var("x"))),
        Unary("log", Unary("neg", Var("y"))),
        Index((0.25, 1e-30, 3.0, -1.5), Var("n")),
        Binary("mul", Const(1e300), Const(1e-7)),
    ],
    ids=str,
)
def test_expressions_mean_the_same_in_q_sharp(e, interpreter):
    """The text of an expression, evaluated by the Q# interpreter."""
    types = {name: type(value) for name, value in NUMBERS.items()}
    infix = Infix(types, {name: name for name in NUMBERS}, (), frozenset(), set(NUMBERS))
    from diffquantum.transform.simplify import type_of

    text = infix.write(e, type_of(e, types))
    lines = [f"let {name} = {literal(value)};" for name, value in NUMBERS.items()]
    lines += [f"let {name} = [{', '.join(map(literal, table))}];" for (_, table), name in infix.tables.items()]
    got = interpreter.eval("{" + " ".join(lines) + text + "}")
    assert got == pytest.approx(plain(e), rel=1e-14) and type(got) is type(plain(e))


def plain(e):
    match e:
        case Var(name):
            return NUMBERS[name]
        case Const(value):
            return value
        case Select(condition, yes, no):
            return plain(yes if plain(condition) else no)
        case Index(table, index):
            return table[plain(index)]
        case Unary(op, x):
            return compute(op, plain(x))
        case Binary(op, x, y):
            return compute(op, plain(x), plain(y))


def test_names_and_literals():
    taken = {"use"}
    assert [identifier(n, taken) for n in ("use", "a.b", "1x", "a_b")] == ["use_2", "a_b", "v_1x", "a_b_2"]
    assert [literal(x) for x in (True, 3, 0.1, 1e-30, 1e22, -2.0)] == ["true", "3", "0.1", "1.0e-30", "1.0e+22", "-2.0"]
