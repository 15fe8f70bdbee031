"""Small programs with unbounded loops, written statement by statement, with exact values and gradients."""

import json
import math
import pathlib

from diffquantum.ir import (
    Assign,
    Binary,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Parameter,
    Program,
    Reset,
    Unary,
    Var,
    While,
)

Q0, Q1 = Const(0), Const(1)


def rotation(name: str, qubit: int, angle: Expression) -> Gate:
    return Gate(name, (Const(qubit),), angle)


def is_zero(variable: str) -> Unary:
    return Unary("not", Var(variable))


def repeat_until_success(
    t: Expression, p: Expression, observe: bool = False, name: str = "RusZ", count: int = 2
) -> Program:
    """Turn qubit 0 about X until qubit 1, turned about Y, is found in One; then look at qubit 0."""
    loop = While((Measure(Q1, "m"),), is_zero("m"), (rotation("rx", 0, p), rotation("ry", 1, t)))
    body = (rotation("ry", 1, t), loop, Reset(Q1))
    names = ("t", "p")[:count]
    if observe:
        return Program(name, names, 2, body, register=(0,))
    return Program(name, names, 2, (*body, Measure(Q0, "z", reset=True)), (Var("z"),), "result")


T, P = Parameter(0), Parameter(1)

GEOMETRIC = Program(
    "GeoCount",
    ("t",),
    1,
    (
        Assign("n", Const(0)),
        rotation("ry", 0, T),
        While(
            (Measure(Q0, "m"),), is_zero("m"), (rotation("ry", 0, T), Assign("n", Binary("add", Var("n"), Const(1))))
        ),
        Reset(Q0),
    ),
    (Var("n"),),
    "int",
)
RUS = repeat_until_success(T, P)
RUS_STATE = repeat_until_success(T, P, observe=True)
CHAIN = repeat_until_success(Binary("add", Unary("sin", T), Const(1.0)), Binary("mul", T, T), name="Chain", count=1)
RUIN = Program(
    "Ruin",
    ("t",),
    1,
    (
        Assign("x", Const(2)),
        While(
            (),
            Binary("and", Binary("gt", Var("x"), Const(0)), Binary("lt", Var("x"), Const(5))),
            (
                rotation("ry", 0, T),
                Measure(Q0, "m", reset=True),
                If(
                    Var("m"),
                    (Assign("x", Binary("add", Var("x"), Const(1))),),
                    (Assign("x", Binary("sub", Var("x"), Const(1))),),
                ),
            ),
        ),
    ),
    (Binary("eq", Var("x"), Const(5)),),
    "bool",
)
DISCOUNT = Program(
    "Discount",
    ("t", "g"),
    1,
    (
        Assign("w", Const(1.0)),
        rotation("ry", 0, T),
        While((Measure(Q0, "m"),), is_zero("m"), (rotation("ry", 0, T), Assign("w", Binary("mul", Var("w"), P)))),
        Reset(Q0),
    ),
    (Var("w"),),
    "double",
)
CIRCUIT = Program(  # no loop: two rotations, <ZZ> = cos a cos b + ... on a Bell-like pair
    "Circuit",
    ("a", "b"),
    2,
    (rotation("ry", 0, T), Gate("cx", (Q0, Q1)), rotation("rx", 1, P), Gate("rzz", (Q0, Q1), Binary("mul", T, P))),
    register=(0, 1),
)

NAMES = {
    "T01_GeoCount": GEOMETRIC,
    "T02_RusZ": RUS,
    "T04_Ruin": RUIN,
    "T10_Chain": CHAIN,
    "T12_Discount": DISCOUNT,
}


def closed_form(name: str, theta: list[float]) -> float:
    """The exact value, from a formula."""
    t = theta[0]
    p = math.sin(t / 2) ** 2
    match name:
        case "T01_GeoCount":
            return 1 / math.tan(t / 2) ** 2
        case "T02_RusZ":
            a, c = 1 - p, math.cos(theta[1])
            return (1 - p * (1 - a * c) / (1 - 2 * a * c + a * a)) / 2
        case "T04_Ruin":
            r = (1 - p) / p
            return (1 - r**2) / (1 - r**5)
        case "T10_Chain":
            return closed_form("T02_RusZ", [math.sin(t) + 1, t * t])
        case "T12_Discount":
            return p / (1 - theta[1] * (1 - p))
    raise KeyError(name)


def closed_gradient(name: str, theta: list[float]) -> list[float]:
    """Its gradient, by a six-point difference of the formula, to about 1e-11."""
    out = []
    for j in range(len(theta)):
        h = 1e-2
        moved = [[*theta[:j], theta[j] + s * h, *theta[j + 1 :]] for s in (1, -1, 2, -2, 3, -3, 4, -4)]
        f = [closed_form(name, x) for x in moved]
        d = [f[2 * i] - f[2 * i + 1] for i in range(4)]
        out.append((4 / 5 * d[0] - 1 / 5 * d[1] + 4 / 105 * d[2] - 1 / 280 * d[3]) / h)
    return out


THETA = {
    "T01_GeoCount": [1.0],
    "T02_RusZ": [1.0, 0.7],
    "T04_Ruin": [1.3],
    "T10_Chain": [0.9],
    "T12_Discount": [1.0, 0.9],
}


def reference() -> dict:
    """Known values and gradients by program name."""
    path = pathlib.Path(__file__).parents[1] / "reference" / "programs.json"
    return json.loads(path.read_text())["programs"]
