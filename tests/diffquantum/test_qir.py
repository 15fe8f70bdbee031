"""From control flow graphs and QIR to structured programs, and rewriting without change of meaning."""

import itertools

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from diffquantum.errors import UnsupportedError
from diffquantum.flow import Node, structure
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
    walk,
)
from diffquantum.qir import read
from diffquantum.tidy import compute, fold, substitute, tidy
from tests.diffquantum.cases import feature, loop

# the run-time checks of annotations draw random numbers where strategies build statements
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
X, STEPS, EXAMPLES = Var("x"), 300, 25


class TooLong(Exception):
    pass


def run(block, env, budget):
    """A tiny interpreter of classical statements."""
    for statement in block:
        budget[0] -= 1
        if budget[0] < 0:
            raise TooLong
        match statement:
            case Assign(target, expression):
                env[target] = value(expression, env)
            case If(condition, then, otherwise):
                run(then if value(condition, env) else otherwise, env, budget)
            case While(before, condition, body):
                while True:
                    run(before, env, budget)
                    if not value(condition, env):
                        break
                    run(body, env, budget)
    return env


def value(expression, env):
    result = substitute(expression, {n: Const(v) for n, v in env.items()})
    assert isinstance(result, Const), result
    return result.value


def mixed(number):
    """x = (3 x + number) mod 101: the final x tells the path that was taken."""
    step = Binary("add", Binary("mul", X, Const(3)), Const(number))
    return Assign("x", Binary("mod", step, Const(101)))


def odd(bit):
    return Binary("eq", Binary("mod", Binary("div", X, Const(2**bit)), Const(2)), Const(1))


graphs = st.integers(3, 8).flatmap(
    lambda n: st.lists(
        st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), st.integers(0, 4)), min_size=n, max_size=n
    )
)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(graphs, st.integers(0, 100))
def test_structure_keeps_the_path(edges, start):
    """Random graphs, loops with several exits among them: the nested program visits the same nodes."""
    size = len(edges)
    nodes = {
        str(i): Node((mixed(i),), (str(a), str(b)), odd(bit)) if a != b else Node((mixed(i),), (str(a),))
        for i, (a, b, bit) in enumerate(edges[:-1])
    }
    nodes[str(size - 1)] = Node((mixed(size - 1),))
    try:
        block = structure("0", nodes, (f"go{i}" for i in itertools.count()))
    except UnsupportedError:
        return  # irreducible, or a loop without exit
    env, name = {"x": start}, "0"
    for _ in range(STEPS):
        node = nodes[name]
        run(node.code, env, [10])
        if not node.targets:
            break
        name = node.targets[0 if node.condition is None or value(node.condition, env) else -1]
    else:
        return  # this start runs for ever
    program = tidy(Program("p", (), 0, (Assign("x", Const(start)), *block), (X,), "int"))
    assert run(block, {"x": start}, [20 * STEPS])["x"] == env["x"]
    assert value(program.outputs[0], run(program.body, {}, [20 * STEPS])) == env["x"]


def test_structure_refuses():
    flag = Var("x")
    two = {"a": Node((), ("b", "c"), flag), "b": Node((), ("c", "d"), flag), "c": Node((), ("b",)), "d": Node(())}
    with pytest.raises(UnsupportedError, match="two places"):
        structure("a", two, iter("xyz"))
    with pytest.raises(UnsupportedError, match="no way out"):
        structure("a", {"a": Node((), ("b",)), "b": Node((), ("a",))}, iter("xyz"))


def test_plain_loops_stay_plain():
    """A while loop tests after its measurement; repeat has an empty body; recursion in tail position is a loop."""
    (while_,) = [s for s in loop("T02_RusZ").body if isinstance(s, While)]
    assert [type(s) for s in while_.before] == [Measure] and [type(s) for s in while_.body] == [Gate, Gate]
    assert while_.condition == Unary("not", Var(while_.before[0].target))
    (repeat,) = [s for s in loop("T05_Extractor").body if isinstance(s, While)]
    assert repeat.body == () and isinstance(repeat.before[-1], Measure)
    (tail,) = [s for s in loop("T13_Recursive").body if isinstance(s, While)]
    assert [type(s) for s in (*tail.before, *tail.body)] == [Gate, Measure, Gate]


def test_bounded_loops_use_tables():
    gates = [s for s in walk(loop("T07_WalkTime").body) if isinstance(s, Gate) and s.name == "ccx"]
    assert any(isinstance(q, Index) for g in gates for q in g.qubits)


def test_kinds_and_outputs():
    kinds = {
        "T02_RusZ": "result",
        "T04_Ruin": "bool",
        "T01_GeoCount": "int",
        "T12_Discount": "double",
        "T09_ExpPair": "results",
    }
    assert {name: loop(name).kind for name in kinds} == kinds
    assert len(loop("T09_ExpPair").outputs) == 2
    several = feature("Several")
    assert several.kind == "tuple" and len(several.outputs) == 4
    assert feature("Entangle", qubits=3).kind == "unit"


def test_angles_are_expressions_of_parameters():
    angles = {s.angle for s in walk(loop("T10_Chain").body) if isinstance(s, Gate)}
    t = Parameter(0)
    assert angles == {Binary("add", Unary("sin", t), Const(1.0)), Binary("mul", t, t)}


HEAD = """
@table = internal constant [2 x double] [double 0.5, double 0x3FF8000000000000]
@0 = internal constant [2 x i8] c"r\\00"
declare double @GradketParameter(i64)
declare void @__quantum__qis__{gate}__body(double, ptr)
declare void @__quantum__qis__mresetz__body(ptr, ptr)
declare i1 @__quantum__rt__read_result(ptr)
declare void @__quantum__rt__double_record_output(double, ptr)
define i64 @ENTRYPOINT__main() #0 {{
start:
  %t = call double @GradketParameter(i64 0)
  br label %head
head:
  %n = phi i64 [ 0, %start ], [ %m, %more ]
  %a = phi double [ %t, %start ], [ %b, %more ]
  %b = phi double [ 0.25, %start ], [ %a, %more ]
  call void @__quantum__qis__{gate}__body(double %a, ptr null)
  call void @__quantum__qis__mresetz__body(ptr null, ptr null)
  %r = call i1 @__quantum__rt__read_result(ptr null)
  %c = icmp slt i64 %n, 1
  %go = and i1 %r, %c
  br i1 %go, label %more, label %end
more:
  %m = add i64 %n, 1
  br label %head
end:
  %p = getelementptr [2 x double], ptr @table, i64 0, i64 %n
  %x = load double, ptr %p
  call void @__quantum__rt__double_record_output(double %x, ptr @0)
  ret i64 0
}}
attributes #0 = {{ "entry_point" "required_num_qubits"="1" "required_num_results"="1" }}
"""


def test_phi_nodes():
    """Phi nodes that exchange values are assigned together; tables and hexadecimal numbers are read."""
    program = read(HEAD.format(gate="ry"), "hand", ("t",))
    import numpy as np

    from tests.diffquantum.cases import Propagation

    p, q = np.sin(0.4) ** 2, np.sin(0.125) ** 2  # of the two angles 0.8 and 0.25
    means = Propagation(program, [0.8]).means()
    assert abs(means[0] - (0.5 * (1 - p) + 1.5 * p)) < 1e-12 and q < 1


def test_unknown_gate():
    with pytest.raises(UnsupportedError, match="the gate ru"):
        read(HEAD.format(gate="ru"), "hand", ("t",))


# ---------------------------------------------------------------------------------------------------- rewriting

names = st.sampled_from("abcd")
atoms = st.one_of(names.map(Var), st.integers(-3, 3).map(Const))
numbers = st.recursive(
    atoms,
    lambda e: st.one_of(
        st.tuples(st.sampled_from(("add", "sub", "mul", "max")), e, e).map(lambda t: Binary(*t)),
        st.tuples(e, e, e).map(lambda t: Select(Binary("lt", t[0], t[1]), t[1], t[2])),
    ),
    max_leaves=4,
)
conditions = st.tuples(st.sampled_from(("lt", "eq", "ne", "ge")), numbers, numbers).map(lambda t: Binary(*t))
assignments = st.tuples(names, numbers).map(lambda t: Assign(*t))
statements = st.recursive(
    assignments,
    lambda s: st.tuples(conditions, st.lists(s, max_size=3), st.lists(s, max_size=3)).map(
        lambda t: If(t[0], tuple(t[1]), tuple(t[2]))
    ),
    max_leaves=6,
)


def bounded(body, turns, counter):
    """A loop of a few turns around some statements."""
    step = Assign(counter, Binary("add", Var(counter), Const(1)))
    return (Assign(counter, Const(0)), While((), Binary("lt", Var(counter), Const(turns)), (*body, step)))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(
    st.lists(statements, max_size=4),
    st.lists(statements, max_size=4),
    st.lists(statements, max_size=3),
    st.integers(0, 3),
)
def test_tidy_keeps_the_meaning(before, inside, after, turns):
    start = tuple(Assign(n, Const(i)) for i, n in enumerate("abcd"))
    body = (*start, *before, *bounded(inside, turns, "k"), *after)
    program = Program("p", (), 0, body, tuple(map(Var, "abcd")), "tuple")
    env = run(body, {}, [5000])
    new = tidy(program)
    after_env = run(new.body, {}, [5000])
    assert [value(e, after_env) for e in new.outputs] == [env[n] for n in "abcd"]
    assert tidy(new) == new


@pytest.mark.parametrize(("x", "y"), [(7, 2), (-7, 2), (7, -2), (-7, -2)])
def test_integer_division_truncates(x, y):
    assert compute("div", x, y) == int(x / y) and compute("mod", x, y) == x - y * int(x / y)


def test_fold():
    a = Var("a")
    assert fold(Unary("not", Binary("eq", a, Const(1)))) == Binary("ne", a, Const(1))
    assert fold(Binary("div", Const(1), Const(0))) == Binary("div", Const(1), Const(0))
    assert fold(Binary("eq", a, Const(False))) == Unary("not", a)
    assert fold(Index((4, 5), Const(1))) == Const(5)
    assert isinstance(fold(Index((4, 5), Const(7))), Index)


def test_reset_is_kept():
    assert any(isinstance(s, Reset) for s in loop("T02_RusZ").body)
