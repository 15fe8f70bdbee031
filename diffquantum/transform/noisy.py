"""Noise as part of the program: coins and ancillas after every gate, for shots, derivatives and emitted text."""

import dataclasses
import math

from diffquantum.ir import Block, Const, Expression, Gate, If, Measure, Program, Reset, Var, While
from diffquantum.simulate.noise import Noise
from diffquantum.transform.simplify import fresh, names


def noisy(program: Program, noise: Noise) -> Program:
    r"""The program with noise after every gate, on each qubit that the gate acts on.

    A depolarised qubit gets a random Pauli matrix, drawn by coins: $\tfrac{1}{4} \sum_P P \rho P = \tfrac12
    \mathrm{tr}(\rho)$. A damped one shares its excitation with an ancilla that is then reset: Kraus sampling, as
    statements of the program. So shots, derivatives and emitted text of noisy programs need nothing of their own.

    Args:
        program: without calls.
        noise: what follows every gate.

    Returns:
        A program with the same parameters and outputs, and up to two more qubits, both |0> at the end.

    Example:
        >>> from diffquantum.ir import Const, Gate, Measure, Program, Var
        >>> from diffquantum.simulate.density import Exact
        >>> from diffquantum.simulate.noise import Noise
        >>> from diffquantum.transform.noisy import noisy
        >>> body = (Gate("x", (Const(0),)), Measure(Const(0), "m"))
        >>> program = Program("Flip", (), 1, body, outputs=(Var("m"),), kind="result")
        >>> Exact(noisy(program, Noise(depolarising=0.2))).means([]).round(12).tolist()
        [0.9]

    Source: amplitude damping by an ancilla, Nielsen and Chuang, section 8.3.5.
    """
    taken = set(names(program))
    flags: list[str] = []
    for name in ("noise", "noise_x", "noise_z"):
        flags.append(fresh(name, taken))
        taken.add(flags[-1])
    coin = Const(program.qubits)
    ancilla = Const(program.qubits + bool(noise.depolarising))

    def after(qubit: Expression) -> Block:
        out: list = []
        if noise.depolarising:
            happens, x, z = flags
            half = Gate("ry", (coin,), Const(math.pi / 2))
            some = (half, Measure(coin, x, True), half, Measure(coin, z, True))
            flips = (If(Var(x), (Gate("x", (qubit,)),)), If(Var(z), (Gate("z", (qubit,)),)))
            out += [
                Gate("ry", (coin,), Const(2 * math.asin(math.sqrt(noise.depolarising)))),
                Measure(coin, happens, True),
                If(Var(happens), (*some, *flips)),
            ]
        if noise.damping:
            angle = math.asin(math.sqrt(noise.damping))
            taking = Gate("cx", (qubit, ancilla))
            out += [Gate("ry", (ancilla,), Const(angle)), taking, Gate("ry", (ancilla,), Const(-angle)), taking]
            out += [Gate("cx", (ancilla, qubit)), Reset(ancilla)]
        return tuple(out)

    def block(statements: Block) -> Block:
        return tuple(s for statement in statements for s in rule(statement))

    def rule(statement) -> Block:
        match statement:
            case Gate(_, qubits):
                return (statement, *(s for q in qubits for s in after(q)))
            case If(condition, then, otherwise):
                return (If(condition, block(then), block(otherwise)),)
            case While(before, condition, body):
                return (While(block(before), condition, block(body)),)
            case _:
                return (statement,)

    more = bool(noise.depolarising) + bool(noise.damping)
    return dataclasses.replace(program, qubits=program.qubits + more, body=block(program.body))
