"""The Q# programs of the tests, each compiled once, and an independent reference semantics."""

import functools
import json
import pathlib

import numpy as np

import diffquantum
from diffquantum import ir
from diffquantum.simulate.gates import unitary
from diffquantum.tidy import compute

FOLDER = pathlib.Path(__file__).parent / "programs"
CHECKED = 500  # shots that every compiled program is compared with
LOOPS, FEATURES = FOLDER / "loops.qs", FOLDER / "features.qs"
REFERENCE = json.loads((FOLDER.parents[1] / "reference" / "programs.json").read_text())["programs"]

PREPARE = """operation Prepare(theta : Double[], qs : Qubit[]) : Unit {
    use flag = Qubit();
    Ry(theta[1], qs[1]);
    Ry(theta[0], flag);
    while M(flag) == Zero { Ry(theta[1], qs[0]); Rx(0.3, qs[1]); Ry(theta[0], flag); }
    Reset(flag);
    CNOT(qs[0], qs[1]);
}"""


@functools.cache
def loop(name: str) -> ir.Program:
    """A program of `loops.qs`, compared with the interpreter of Q#."""
    return diffquantum.load(LOOPS, entry=name, check_shots=CHECKED)


@functools.cache
def feature(name: str, check_shots: int = CHECKED, **settings) -> ir.Program:
    """A program of `features.qs`, compared with the interpreter of Q#."""
    return diffquantum.load(FEATURES, entry=name, check_shots=check_shots, **settings)


@functools.cache
def expectation(name: str) -> diffquantum.expectation:
    """The exact expectation of a program of `loops.qs`."""
    return diffquantum.expectation(loop(name))


class Propagation:
    """Reference semantics: a density matrix for every value of all variables; loops unrolled until little is left.

    Args:
        program: without calls.
        theta: the parameters.
        lost: probability below which a record is dropped.

    `final` has pairs of variables (a tuple of items) and density matrix.
    """

    def __init__(self, program: ir.Program, theta, lost: float = 1e-13):
        self.program, self.theta, self.lost = program, theta, lost
        state = np.zeros((2**program.qubits,) * 2, complex)
        state[0, 0] = 1.0
        self.final = self.block(program.body, {(): state})

    def means(self) -> np.ndarray:
        """Mean of each output over the records that have ended."""
        outputs = self.program.outputs
        return sum(
            self.weight(rho) * np.array([float(self.value(e, env)) for e in outputs]) for env, rho in self.final.items()
        )

    def mean(self, matrix: np.ndarray) -> float:
        """Mean of a matrix on the leading qubits."""
        rest = 2**self.program.qubits // len(matrix)
        return sum(np.trace(np.kron(matrix, np.eye(rest)) @ rho).real for rho in self.final.values())

    def weight(self, rho: np.ndarray) -> float:
        return float(np.trace(rho).real)

    def value(self, expression: ir.Expression, env: tuple):
        known = dict(env)

        def of(e: ir.Expression):
            match e:
                case ir.Const(value):
                    return value
                case ir.Var(name):
                    return known[name]
                case ir.Parameter(index):
                    return float(self.theta[index])
                case ir.Unary(op, x):
                    return compute(op, of(x))
                case ir.Binary(op, x, y):
                    return compute(op, of(x), of(y))
                case ir.Select(condition, yes, no):
                    return of(yes if of(condition) else no)
                case ir.Index(table, index):
                    return table[int(of(index))]

        return of(expression)

    def apply(self, rho: np.ndarray, matrix: np.ndarray, qubits: list[int]) -> np.ndarray:
        """K rho K^dagger for a matrix K on some qubits."""
        k, shape = len(qubits), (2,) * self.program.qubits
        for _ in range(2):
            tensor = np.moveaxis(rho.reshape(*shape, -1), qubits, range(k))
            full = (matrix @ tensor.reshape(2**k, -1)).reshape(tensor.shape)
            rho = np.moveaxis(full, range(k), qubits).reshape(rho.shape).conj().T
        return rho

    def outcomes(self, rho: np.ndarray, qubit: ir.Expression, env: tuple, reset: bool) -> list:
        kraus = [np.diag([1.0, 0.0]), np.array([[0.0, 1.0], [0.0, 0.0]]) if reset else np.diag([0.0, 1.0])]
        return [self.apply(rho, k, [int(self.value(qubit, env))]) for k in kraus]

    def block(self, block: ir.Block, records: dict) -> dict:
        for statement in block:
            if isinstance(statement, ir.While):
                records = self.loop(statement, records)
                continue
            out: dict = {}
            for env, rho in records.items():
                for after, state in self.statement(statement, env, rho):
                    if self.weight(state) > self.lost:
                        out[after] = out.get(after, 0) + state
            records = out
        return records

    def loop(self, loop: ir.While, going: dict) -> dict:
        done: dict = {}
        while going:
            tested = self.block(loop.before, going)
            stay = {e: bool(self.value(loop.condition, e)) for e in tested}
            for env in tested:
                if not stay[env]:
                    done[env] = done.get(env, 0) + tested[env]
            going = self.block(loop.body, {e: r for e, r in tested.items() if stay[e]})
        return done

    def statement(self, statement: ir.Statement, env: tuple, rho: np.ndarray) -> list:
        match statement:
            case ir.Gate(name, qubits, angle):
                angle = None if angle is None else float(self.value(angle, env))
                return [(env, self.apply(rho, unitary(name, angle), [int(self.value(q, env)) for q in qubits]))]
            case ir.Measure(qubit, target, reset):
                return [(_set(env, target, bool(b)), r) for b, r in enumerate(self.outcomes(rho, qubit, env, reset))]
            case ir.Reset(qubit):
                return [(env, sum(self.outcomes(rho, qubit, env, True)))]
            case ir.Assign(target, value):
                return [(_set(env, target, self.value(value, env)), rho)]
            case ir.If(condition, then, otherwise):
                return list(self.block(then if self.value(condition, env) else otherwise, {env: rho}).items())
        raise TypeError(statement)


def _set(env: tuple, name: str, value) -> tuple:
    return tuple(sorted((dict(env) | {name: value}).items()))
