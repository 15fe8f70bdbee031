"""Checks of programs: what is well formed, what is differentiable, what steers."""

import dataclasses

import pytest

from diffquantum import DifferentiationError, ProgramError
from diffquantum.check import check, control_variables, describe, parameter_sites, parameter_variables, with_sites
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
from tests.diffquantum.cases import loop

T, ZERO = Parameter(0), Const(0)
RY = Gate("ry", (ZERO,), T)


def program(*body, outputs=(), qubits=2):
    return Program("p", ("t",), qubits, body, tuple(outputs), "tuple")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ((Gate("rq", (ZERO,), T),), "unknown gate"),
        ((Gate("cx", (ZERO,)),), "to 1 qubits"),
        ((Gate("cx", (ZERO, ZERO)),), "same qubit twice"),
        ((Gate("ry", (ZERO,)),), "no angle"),
        ((Gate("h", (ZERO,), T),), "an angle"),
        ((Gate("h", (Const(2),)),), "qubit 2 of 2"),
        ((Measure(Const(-1), "m"),), "qubit -1"),
        ((Reset(Const(5)),), "qubit 5"),
        ((Assign("x", Var("y")),), "'y' before it is set"),
        ((Assign("x", Var("y")), Assign("y", ZERO)), "'y' before it is set"),
        ((If(Var("m"), (), ()), Measure(ZERO, "m")), "'m' before it is set"),
        ((Gate("ry", (ZERO,), Parameter(1)),), "parameter 1 of 1"),
        ((Assign("x", Unary("cube", ZERO)),), "unknown operation"),
    ],
)
def test_not_well_formed(body, message):
    with pytest.raises(ProgramError, match=message):
        check(program(*body))


def test_output_never_set():
    with pytest.raises(ProgramError, match="'z' before it is set"):
        check(program(RY, outputs=(Var("z"),)))


def test_loops_may_read_what_a_later_statement_sets():
    body = While((Measure(ZERO, "m"),), Unary("not", Var("m")), (Assign("x", Var("m")),))
    assert check(program(RY, body, outputs=(Var("x"),)))


@pytest.mark.parametrize(
    "statement",
    [
        If(Binary("gt", Var("x"), Const(1.0)), (RY,), ()),
        While((), Binary("gt", Var("x"), Const(1.0)), (RY,)),
        Gate("h", (Unary("trunc", Var("x")),)),
        Assign("y", Select(Binary("lt", Var("x"), Const(0.0)), Const(1), Const(2))),
        Assign("y", Index((1.0, 2.0), Unary("trunc", Var("x")))),
        Assign("y", Unary("trunc", Var("x"))),
        Assign("y", Binary("eq", Var("x"), Const(0.0))),
    ],
)
def test_not_differentiable(statement):
    with pytest.raises(DifferentiationError, match="not differentiable"):
        check(program(Assign("x", Binary("mul", T, Const(2.0))), statement))


def test_parameters_in_angles_and_outputs_are_fine():
    body = (Assign("x", Binary("mul", T, T)), Gate("ry", (ZERO,), Unary("sin", Var("x"))))
    assert parameter_variables(check(program(*body, outputs=(Var("x"),)))) == {"x"}


def test_control_and_payload():
    """A counter that is only returned is payload; one that is compared is not; results that decide are control."""
    assert control_variables(loop("T01_GeoCount")) == {"r0"}
    assert "x0" not in control_variables(loop("T12_Discount"))
    assert "n0" in control_variables(loop("T04_Ruin"))
    chain = program(
        Measure(ZERO, "m"), Assign("a", Var("m")), Assign("b", Var("a")), Assign("c", Var("a")), If(Var("b"), (RY,), ())
    )
    assert control_variables(chain) == {"m", "a", "b"}


def test_sites():
    text = program(
        RY, Gate("rx", (ZERO,), Const(0.5)), Gate("h", (ZERO,)), While((RY,), Var("m"), (Measure(ZERO, "m"), RY))
    )
    assert [g.site for g in parameter_sites(text)] == [0, 1, 2]
    numbered = with_sites(text)
    assert numbered.body[1].site is None and numbered.body[3].body[1].site == 2
    assert numbered.sites == parameter_sites(text) and with_sites(numbered) == numbered
    assert dataclasses.replace(numbered, name="q").sites == numbered.sites


def test_describe():
    assert (
        describe(Select(Var("m"), Binary("mul", T, Const(2)), Index((1, 2), Var("n"))))
        == "(m ? (theta[0] mul 2) | [1, 2][n])"
    )
