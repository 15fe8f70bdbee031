"""Loading of Q#: signatures, arguments, errors with line and column, the simulator as a witness."""

import dataclasses

import numpy as np
import pytest

import diffquantum
from diffquantum import DifferentiationError, SourceError, UnsupportedError
from diffquantum.compiler import Source
from diffquantum.ir import Assign, Binary, Const, Gate
from diffquantum.signature import operations
from diffquantum.simulate.crosscheck import crosscheck
from diffquantum.simulate.density import Exact
from tests.diffquantum.cases import FEATURES, LOOPS, feature, loop

COIN = "operation Coin(t : Double) : Result { use q = Qubit(); Ry(t, q); MResetZ(q) }"


def test_signatures():
    text = """namespace A { // operation Comment(x : Int) : Unit {}
        @EntryPoint()
        operation First(t : Double, pair : (Int, Double[]),
            f : (Double => Unit)) : (Result[], Int) is Adj + Ctl { Message("operation Fake(x : Int) : Unit {"); }
        function Second<'T>(x : 'T[]) : 'T { x[0] } }"""
    first, second = operations(text)
    assert first.name == "A.First" and first.returns == "(Result[],Int)"
    assert (first.line, first.column) == (3, 19)
    assert first.arguments == (("t", "Double"), ("pair", "(Int,Double[])"), ("f", "(Double=>Unit)"))
    assert second.arguments == (("x", "'T[]"),) and second.returns == "'T"


def test_parameters_by_name_and_order():
    assert loop("T02_RusZ").parameters == ("t", "p")
    assert feature("Calls").parameters == ("t", "s")
    assert diffquantum.load(COIN).name == "Coin"
    assert diffquantum.load(str(LOOPS), entry="T01_GeoCount").kind == "int"


def test_arrays():
    text = FEATURES.read_text()
    program = diffquantum.load(text, entry="Layer", parameters=2, qubits=2)
    assert program.parameters == ("theta_0", "theta_1") and program.kind == "int" and program.register == ()


def test_several_arrays_and_a_register():
    """Lengths by name; what an operation returns besides the state of its qubits, which stay a register if asked."""
    text = """operation Both(a : Double[], b : Double[], qs : Qubit[], basis : Pauli) : Double {
        for x in a { Ry(x, qs[0]); } for x in b { Rx(x, qs[1]); } Measure([basis], qs[0..0]) == One ? 2.0 | 0.0 }"""
    settings = {"parameters": {"a": 1, "b": 2}, "qubits": {"qs": 2}, "fixed": {"basis": "Z"}}
    program = diffquantum.load(text, check_shots=1000, **settings)
    assert program.parameters == ("a_0", "b_0", "b_1") and program.register == ()
    kept = diffquantum.load(text, register=True, check_shots=1000, **settings)
    assert kept.register == (0, 1) and kept.kind == "double"
    assert abs(Exact(kept).means([0.8, 0.1, 0.2])[0] - 2 * np.sin(0.4) ** 2) < 1e-12
    with pytest.raises(SourceError, match="lengths of the Double"):
        diffquantum.load(text, parameters={"a": 1}, qubits={"qs": 2})


def test_project(tmp_path):
    """A folder with qsharp.json: namespaces from folders; errors name the file and line."""
    (tmp_path / "src" / "Sub").mkdir(parents=True)
    (tmp_path / "qsharp.json").write_text("{}")
    library = tmp_path / "src" / "Sub" / "Lib.qs"
    library.write_text("operation Turn(t : Double, q : Qubit) : Unit { Ry(t, q); }\nexport Turn;\n")
    main = "import Sub.Lib.Turn;\noperation Run(t : Double) : Result { use q = Qubit(); Turn(t, q); MResetZ(q) }\n"
    (tmp_path / "src" / "Main.qs").write_text(main)
    program = diffquantum.load(tmp_path, entry="Run", check_shots=1000)
    assert program.name == "Run" and abs(Exact(program).means([0.8])[0] - np.sin(0.4) ** 2) < 1e-12
    assert diffquantum.load(tmp_path / "qsharp.json", entry="Main.Run") == program
    library.write_text(library.read_text() + "operation Bad(q : Qubit) : Unit { Ry(u, q); }\n")
    with pytest.raises(SourceError, match=r"Lib\.qs:3:38") as caught:
        diffquantum.load(tmp_path, entry="Run")
    assert "spelling" in caught.value.try_


@pytest.mark.slow
def test_time_limit():
    """A loop of constants that never ends keeps the compiler for ever; errors and programs pass through."""
    endless = COIN.replace("Ry(t, q);", "mutable n = 0; while n < 5 { Ry(t, q); }")
    with pytest.raises(SourceError, match="more than 6 s") as caught:
        diffquantum.load(endless, time_limit=6.0)
    assert "does not end" in caught.value.try_ and caught.value.line == 1
    with pytest.raises(SourceError, match="`u` not found") as caught:
        diffquantum.load(COIN.replace("Ry(t, q)", "Ry(u, q)"), time_limit=100.0)
    assert caught.value.what.count("source:1:") == 1 and caught.value.line == 1
    assert diffquantum.load(COIN, time_limit=100.0) == diffquantum.load(COIN)


def test_mutable_results():
    """A variable of results keeps its value when the qubit is measured again."""
    text = """operation Last(t : Double) : Int { use q = Qubit(); mutable (c, old) = (Zero, One); mutable n = 0;
        Ry(t, q); c = M(q);
        while c == Zero { old = c; Ry(t, q); c = M(q); n += old == c ? 10 | 1; }
        Reset(q); n }"""
    diffquantum.load(text, check_shots=2000)


def test_fixed():
    """Constant arguments by name: Int, Bool, and Double as a constant; with their effect on the value."""
    program = diffquantum.load(FEATURES, entry="Shots", fixed={"count": 2, "flip": True, "shift": 1e-7})
    assert program.parameters == ("t",)
    p = np.cos((0.8 + 1e-7) / 2) ** 2  # after the flip the first shot is One with cos^2
    first, kept = p, np.cos((0.8 + 1e-7) / 2) ** 2
    again = first * (1 - kept) + (1 - first) * kept
    assert abs(Exact(program).means([0.8])[0] - (first + again)) < 1e-12
    both = diffquantum.load(FEATURES, entry="Shots", fixed={"count": 1, "flip": False})
    assert both.parameters == ("t", "shift")
    assert abs(Exact(both).means([0.5, 0.3])[0] - np.sin(0.4) ** 2) < 1e-12


@pytest.mark.parametrize("value", [1e-7, -2.5e300, 3.0, 1 / 3, 123456789.125])
def test_doubles_reach_the_compiler_unchanged(value):
    program = diffquantum.load(
        "operation Echo(t : Double, x : Double) : Double { x + 0.0 * t }", fixed={"x": value}, entry="Echo"
    )
    assert Exact(program).means([0.3])[0] == value


@pytest.mark.parametrize(
    "name",
    ["T02_RusZ", *(pytest.param(n, marks=pytest.mark.slow) for n in ("T04_Ruin", "T09_ExpPair")), "T12_Discount"],
)
def test_simulator_agrees(name):
    """20,000 shots of the Q# simulator, fixed seed, within 4.5 standard errors."""
    program = diffquantum.load(LOOPS, entry=name, check_shots=20_000)
    assert program == loop(name)


@pytest.mark.slow
def test_simulator_agrees_on_a_register():
    assert diffquantum.load(FEATURES, entry="Entangle", qubits=3, check_shots=20_000).register == (0, 1, 2)


def test_crosscheck_can_fail():
    program = loop("T02_RusZ")
    tampered = dataclasses.replace(program, body=(*program.body[:-1], Gate("h", (Const(0),)), program.body[-1]))
    with pytest.raises(UnsupportedError, match="do not agree"):
        crosscheck(tampered, Source(program.source), "T02_RusZ(GradketParameter(0), GradketParameter(1))", 20_000)


def test_syntax_error_has_a_place():
    text = "operation Coin(t : Double) : Result {\n    use q = Qubit();\n    Ry(t*, q);\n    MResetZ(q)\n}"
    with pytest.raises(SourceError, match="syntax error") as caught:
        diffquantum.load(text, entry="Coin")
    assert (caught.value.line, caught.value.column) == (3, 10) and "Ry(t*, q)" in str(caught.value)


def test_error_of_a_file_names_it(tmp_path):
    path = tmp_path / "broken.qs"
    path.write_text(COIN.replace("Ry(t, q)", "Ry(u, q)"))
    with pytest.raises(SourceError, match=r"broken\.qs:1:\d+"):
        diffquantum.load(path)


def test_panic_of_the_compiler(capfd):
    """A power of a parameter makes the compiler panic; that is an error like any other."""
    with pytest.raises(SourceError, match="stopped") as caught:
        diffquantum.load(COIN.replace("Ry(t, q)", "Ry(t^2.0, q)"))
    assert "products" in caught.value.try_
    capfd.readouterr()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entry": "Missing"}, "no operation named 'Missing'"),
        ({}, "No entry operation"),
        ({"entry": "T01_GeoCount", "parameters": 2}, "number of parameters"),
        ({"entry": "T01_GeoCount", "qubits": 1}, "number of qubits"),
        ({"entry": "T01_GeoCount", "fixed": {"x": 1.0}}, "no argument named 'x'"),
        ({"entry": "T01_GeoCount", "fixed": {"t": "one"}}, "t : Double"),
        ({"entry": "Inc"}, "2 arrays of Qubit"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(SourceError, match=message):
        diffquantum.load(LOOPS, **settings)


def test_missing_sizes_and_values():
    with pytest.raises(SourceError, match="length of theta"):
        diffquantum.load(FEATURES, entry="Layer", qubits=2)
    with pytest.raises(SourceError, match="length of q"):
        diffquantum.load(FEATURES, entry="Layer", parameters=2)
    with pytest.raises(SourceError, match="needs a value for count"):
        diffquantum.load(FEATURES, entry="Shots")
    with pytest.raises(SourceError, match="no such Q# file"):
        diffquantum.load("nowhere.qs")


def test_parameter_in_a_condition():
    text = COIN.replace("Ry(t, q);", "if t > 1.0 { X(q); }")
    with pytest.raises(DifferentiationError, match="decides a branch") as caught:
        diffquantum.load(text)
    assert "t gt 1.0" in str(caught.value)


def test_not_for_this_profile():
    text = COIN.replace("Ry(t, q);", "for i in 0..3 { Ry(t, q); if M(q) == One { return One; } }")
    with pytest.raises(SourceError, match="dynamic"):
        diffquantum.load(text)


def test_unsupported_intrinsic():
    text = "operation Odd(q : Qubit) : Unit { body intrinsic; }\n" + COIN.replace("Ry(t, q);", "Ry(t, q); Odd(q);")
    with pytest.raises(UnsupportedError, match="the function Odd"):
        diffquantum.load(text, entry="Coin")


def test_recursion():
    """Tail recursion is a loop; other recursion is refused."""
    assert any(type(s).__name__ == "While" for s in loop("T13_Recursive").body)
    text = """operation Twice(t : Double, q : Qubit) : Unit {
        Ry(t, q); if M(q) == One { X(q); Twice(t, q); Rx(t, q); } }
    operation Start(t : Double) : Result { use q = Qubit(); Twice(t, q); MResetZ(q) }"""
    with pytest.raises(UnsupportedError, match="calls itself"):
        diffquantum.load(text, entry="Start")


def test_sites():
    sites = loop("T08_Zeno").sites
    assert [(g.name, g.site) for g in sites] == [("rx", 0), ("rz", 1), ("rz", 2)]
    assert sum(isinstance(s, Assign) and isinstance(s.value, Binary) for s in loop("T01_GeoCount").body) == 0
