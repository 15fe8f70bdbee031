r"""Which variables need values and which need only averages.

*Control* variables steer the program; their values are followed one by one. *Payload* variables only flow, as
polynomials, into what is returned; of them the density semantics carries moments
$E[\text{monomial} \cdot \rho]$, so a counter of an unbounded loop costs one more matrix and not one per count.
"""

import dataclasses

from diffquantum.check import control_variables, slice_back
from diffquantum.ir import (
    Assign,
    Binary,
    Const,
    Expression,
    Index,
    Measure,
    Parameter,
    Program,
    Select,
    Unary,
    Var,
    variables,
    walk,
)
from diffquantum.tidy import fold

Monomial = tuple[str, ...]  # names in order, repeated for powers
Polynomial = dict[Monomial, Expression]  # coefficients are expressions of control variables and parameters
LARGEST = 48  # products of payload variables
MOMENTS = 128  # moments in all

_ONE = Const(1.0)
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


class NotPolynomial(Exception):
    """These payload variables enter something that is not a polynomial."""

    def __init__(self, names: frozenset[str]):
        self.names = names
        super().__init__(", ".join(sorted(names)))


@dataclasses.dataclass(frozen=True)
class Payload:
    """How the variables of a program are carried.

    Args:
        control: variables whose values are followed.
        monomials: the moments carried; the first is the empty one, the density matrix itself.
        outputs: the polynomial of each output.
        types: "bool", "int" or "float" of each variable.
    """

    control: frozenset[str]
    monomials: tuple[Monomial, ...]
    outputs: tuple[Polynomial, ...]
    types: dict[str, str]

    def update(self, target: str, value: Expression) -> dict[tuple[int, int], Expression]:
        """Coefficients of the new moments (row) by the old ones (column) when `target` is set to `value`."""
        out: dict[tuple[int, int], Expression] = {}
        for i, monomial in enumerate(self.monomials):
            for term, coefficient in self._after(monomial, target, value).items():
                out[i, self.monomials.index(term)] = coefficient
        return out

    def _after(self, monomial: Monomial, target: str, value: Expression) -> Polynomial:
        if target not in monomial:
            return {monomial: _ONE}
        algebra = _Algebra(self.control, self.types)
        out: Polynomial = {(): _ONE}
        for name in monomial:
            out = algebra.times(out, algebra.read(value) if name == target else {(name,): _ONE})
        return out


def analyse(program: Program, outputs: tuple[Expression, ...]) -> Payload:
    """Decide which variables are followed by value and which moments are needed for the means of `outputs`.

    A payload variable that enters a comparison, a division, or too many moments becomes a control variable.
    """
    types = infer_types(program)
    control = control_variables(program)
    while True:
        try:
            algebra = _Algebra(control, types)
            polynomials = tuple(algebra.read(e) for e in outputs)
            monomials = _closure(program, Payload(control, (), polynomials, types))
            return Payload(control, monomials, polynomials, types)
        except NotPolynomial as problem:
            control = slice_back(program, control | problem.names)


def _closure(program: Program, payload: Payload) -> tuple[Monomial, ...]:
    """All moments that the moments of the outputs are computed from, in any place of the program."""
    found: list[Monomial] = [()]
    todo = [m for p in payload.outputs for m in p]
    statements = [s for s in walk(program.body) if isinstance(s, Assign | Measure)]
    while todo:
        monomial = todo.pop()
        if monomial in found:
            continue
        found.append(monomial)
        products = sum(len(m) > 1 for m in found)
        if products > LARGEST or len(found) > MOMENTS or len(monomial) > 6:
            raise NotPolynomial(frozenset(monomial))
        for statement in statements:
            if statement.target in monomial and statement.target not in payload.control:
                if isinstance(statement, Measure):
                    todo.append(tuple(n for n in monomial if n != statement.target))
                else:
                    todo.extend(payload._after(monomial, statement.target, statement.value))
    return tuple(sorted(found, key=lambda m: (len(m), m)))


class _Algebra:
    """Polynomials in payload variables; bools satisfy b * b = b."""

    def __init__(self, control: frozenset[str], types: dict[str, str]):
        self.control, self.types = control, types

    def times(self, a: Polynomial, b: Polynomial) -> Polynomial:
        out: Polynomial = {}
        for m, c in a.items():
            for n, d in b.items():
                names = sorted(m + n)
                kept = [x for i, x in enumerate(names) if i == 0 or names[i - 1] != x or self.types.get(x) != "bool"]
                _accumulate(out, tuple(kept), _times(c, d))
        return out

    def sum(self, *terms: tuple[float, Polynomial]) -> Polynomial:
        out: Polynomial = {}
        for factor, polynomial in terms:
            for m, c in polynomial.items():
                _accumulate(out, m, _times(Const(factor), c))
        return {m: c for m, c in out.items() if c != Const(0.0)}

    def read(self, expression: Expression) -> Polynomial:
        """The polynomial of an expression."""
        payload = variables(expression) - self.control
        if not payload:
            return {(): fold(Unary("float", expression))}
        match expression:
            case Var(name):
                return {(name,): _ONE}
            case Unary("neg", x):
                return self.sum((-1.0, self.read(x)))
            case Unary("float", x):
                return self.read(x)
            case Unary("not", x) if self.type(x) == "bool":
                return self.sum((1.0, {(): _ONE}), (-1.0, self.read(x)))
            case Binary("add", x, y):
                return self.sum((1.0, self.read(x)), (1.0, self.read(y)))
            case Binary("sub", x, y):
                return self.sum((1.0, self.read(x)), (-1.0, self.read(y)))
            case Binary("mul", x, y):
                return self.times(self.read(x), self.read(y))
            case Binary("div", x, y) if self.type(expression) == "float" and not variables(y) - self.control:
                return self.times(self.read(x), {(): fold(Binary("div", _ONE, fold(Unary("float", y))))})
            case Binary(op, x, y) if self.type(x) == self.type(y) == "bool":
                return self.logic(op, self.read(x), self.read(y), payload)
            case Select(condition, yes, no):
                return self.choose(condition, yes, no)
        raise NotPolynomial(payload)

    def logic(self, op: str, x: Polynomial, y: Polynomial, payload: frozenset[str]) -> Polynomial:
        both = self.times(x, y)
        match op:
            case "and" | "min":
                return both
            case "or" | "max":
                return self.sum((1.0, x), (1.0, y), (-1.0, both))
            case "xor" | "ne":
                return self.sum((1.0, x), (1.0, y), (-2.0, both))
            case "eq":
                return self.sum((1.0, {(): _ONE}), (-1.0, x), (-1.0, y), (2.0, both))
        raise NotPolynomial(payload)

    def choose(self, condition: Expression, yes: Expression, no: Expression) -> Polynomial:
        a, b = self.read(yes), self.read(no)
        if variables(condition) - self.control:
            c = self.read(condition)
            return self.sum((1.0, self.times(c, a)), (1.0, b), (-1.0, self.times(c, b)))
        zero = Const(0.0)
        return {m: fold(Select(condition, a.get(m, zero), b.get(m, zero))) for m in {**a, **b}}

    def type(self, expression: Expression) -> str:
        return type_of(expression, self.types)


def _accumulate(out: Polynomial, monomial: Monomial, coefficient: Expression) -> None:
    known = out.get(monomial)
    out[monomial] = coefficient if known is None else fold(Binary("add", known, coefficient))


def _times(a: Expression, b: Expression) -> Expression:
    if a == _ONE:
        return b
    return a if b == _ONE else fold(Binary("mul", a, b))


def type_of(expression: Expression, types: dict[str, str]) -> str:
    """ "bool", "int", "float", or "" where nothing is known."""
    match expression:
        case Const(value):
            return type(value).__name__
        case Parameter():
            return "float"
        case Var(name):
            return types.get(name, "")
        case Unary("not", _):
            return "bool"
        case Unary("trunc", _):
            return "int"
        case Unary("neg" | "abs", x):
            return type_of(x, types)
        case Unary():
            return "float"
        case Binary(op) if op in _COMPARE:
            return "bool"
        case Binary(_, x, y) | Select(_, x, y):
            return _join(type_of(x, types), type_of(y, types))
        case Index(table):
            kinds = {type(v).__name__ for v in table}
            return kinds.pop() if len(kinds) == 1 else "float"
    return ""


def _join(a: str, b: str) -> str:
    order = ("", "bool", "int", "float")
    return order[max(order.index(a), order.index(b))]


def infer_types(program: Program) -> dict[str, str]:
    """The type of every variable that is set somewhere."""
    types: dict[str, str] = {}
    while True:
        before = dict(types)
        for statement in walk(program.body):
            if isinstance(statement, Measure):
                types[statement.target] = _join(types.get(statement.target, ""), "bool")
            elif isinstance(statement, Assign):
                known = types.get(statement.target, "")
                types[statement.target] = _join(known, type_of(statement.value, types))
        if types == before:
            return types
