"""Derivatives through a loop that waits for a measurement: what each tool says about one small program.

    pip install -e . pennylane pennylane-catalyst qiskit qiskit-algorithms tensorcircuit-ng
    python benchmarks/programs_peers.py                                # every tool that is installed, one process each
    python benchmarks/programs_peers.py --python OTHER/bin/python      # where the other tools want another JAX

The program turns a control qubit by Ry(theta) until it measures 1; after every 0 it turns another qubit by Rx(phi). The
mean of Z of that qubit has a closed form. Each tool is asked in the way its documentation suggests, and what it answers
or raises is printed as it is.
"""

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

THETA, PHI = 1.0, 0.7
ROUNDS = 12  # where a tool has no loops, they are written out
SOURCE = """operation Wait(theta : Double, phi : Double) : Double {
    use (q, control) = (Qubit(), Qubit());
    Ry(theta, control);
    while M(control) == Zero { Rx(phi, q); Ry(theta, control); }
    Reset(control);
    MResetZ(q) == One ? -1.0 | 1.0
}"""


def closed_form(theta: float, phi: float) -> float:
    """Mean of Z: rounds are geometric with p = sin^2(theta / 2), each turns the qubit by phi."""
    p = math.sin(theta / 2) ** 2
    return p * (1 - (1 - p) * math.cos(phi)) / (1 - 2 * (1 - p) * math.cos(phi) + (1 - p) ** 2)


def truth() -> tuple[float, float, float]:
    h = 1e-5
    slopes = [
        (closed_form(THETA + h * a, PHI + h * b) - closed_form(THETA - h * a, PHI - h * b)) / (2 * h)
        for a, b in ((1, 0), (0, 1))
    ]
    return closed_form(THETA, PHI), *slopes


def say(what, run) -> None:
    """Print what `run` returns, or the first line of what it raises."""
    try:
        answer = run()
        text = ", ".join(f"{float(x):.6g}" for x in answer) if isinstance(answer, tuple) else str(answer)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [""]
        text = f"{type(error).__name__}: {lines[0].strip()[:160]}"
    print(json.dumps({"question": what, "answer": text}), flush=True)


def gradket() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    import diffquantum

    value = diffquantum.expectation(diffquantum.load(SOURCE))
    point = jax.numpy.array([THETA, PHI])
    say("value, loop as it is", lambda: (value(point),))
    say("d/dtheta, d/dphi, loop as it is", lambda: tuple(jax.grad(value)(point)))


def pennylane() -> None:
    import jax
    import pennylane as qml

    jax.config.update("jax_enable_x64", True)

    def circuit(theta, phi):
        qml.RY(theta, wires=1)
        measured = qml.measure(1)

        @qml.while_loop(lambda m: m == 0)
        def again(m):
            qml.RX(phi, wires=0)
            qml.RY(theta, wires=1)
            return qml.measure(1)

        again(measured)
        return qml.expval(qml.PauliZ(0))

    def unrolled(rounds):
        def circuit(theta, phi):
            qml.RY(theta, wires=1)
            waiting = qml.measure(1, reset=True) == 0
            for _ in range(rounds):
                qml.cond(waiting, qml.RX)(phi, wires=0)
                qml.RY(theta, wires=1)
                now = qml.measure(1, reset=True)
                waiting = waiting & (now == 0)
            return qml.expval(qml.PauliZ(0))

        return circuit

    exact = qml.QNode(circuit, qml.device("default.qubit"))
    say("value, loop as it is", lambda: (exact(THETA, PHI),))
    deferred = qml.QNode(unrolled(5), qml.device("default.qubit"), diff_method="backprop", mcm_method="deferred")
    say("d/dtheta, d/dphi, 5 rounds written out", lambda: tuple(jax.grad(deferred, (0, 1))(THETA, PHI)))
    device = qml.device("default.qubit", seed=1)
    shots = qml.QNode(unrolled(5), device, diff_method="parameter-shift", mcm_method="one-shot")
    shots = qml.set_shots(shots, 300)
    say("the same from 300 shots, one-shot, parameter-shift", lambda: tuple(jax.grad(shots, (0, 1))(THETA, PHI)))


def catalyst() -> None:
    import catalyst
    import pennylane as qml

    def node(shots):
        @qml.set_shots(shots)
        @qml.qnode(qml.device("lightning.qubit", wires=2))
        def circuit(theta, phi):
            qml.RY(theta, wires=1)
            measured = catalyst.measure(1)

            @catalyst.while_loop(lambda m: m == 0)
            def again(m):
                qml.RX(phi, wires=0)
                qml.RY(theta, wires=1)
                return catalyst.measure(1)

            again(measured)
            return qml.expval(qml.PauliZ(0))

        return circuit

    say("value from 2000 shots, loop as it is", lambda: (qml.qjit(node(2000))(THETA, PHI),))
    for method in ("auto", "fd"):
        gradient = qml.qjit(lambda a, b, m=method: catalyst.grad(node(None), argnums=[0, 1], method=m)(a, b))
        say(f"d/dtheta, d/dphi, method={method!r}", lambda g=gradient: tuple(g(THETA, PHI)))


def tensorcircuit() -> None:
    import jax
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex128")

    def one(theta, phi, status):
        circuit = tc.Circuit(2)
        circuit.ry(1, theta=theta)
        for k in range(ROUNDS):
            measured = circuit.cond_measure(1, status=status[k])
            waiting = 1.0 - measured
            circuit.rx(0, theta=waiting * phi)
            circuit.ry(1, theta=waiting * theta)
        return tc.backend.real(circuit.expectation_ps(z=[0]))

    def mean(theta, phi, uniforms):
        return jax.vmap(lambda u: one(theta, phi, u))(uniforms).mean()

    uniforms = jax.random.uniform(jax.random.key(1), (1000, ROUNDS))
    say(f"value from 1000 runs, {ROUNDS} rounds written out", lambda: (jax.jit(mean)(THETA, PHI, uniforms),))
    gradient = jax.jit(jax.grad(mean, (0, 1)))
    say("d/dtheta, d/dphi of the same", lambda: tuple(gradient(THETA, PHI, uniforms)))


def qiskit() -> None:
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    from qiskit.circuit import Parameter
    from qiskit.primitives import StatevectorEstimator
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_algorithms.gradients import (
        LinCombEstimatorGradient,
        ParamShiftEstimatorGradient,
        ReverseEstimatorGradient,
    )

    theta, phi = Parameter("theta"), Parameter("phi")
    bit = ClassicalRegister(1)
    circuit = QuantumCircuit(QuantumRegister(2), bit)
    circuit.ry(theta, 1)
    circuit.measure(1, bit[0])
    with circuit.while_loop((bit, 0)):
        circuit.rx(phi, 0)
        circuit.ry(theta, 1)
        circuit.measure(1, bit[0])
    z, point = SparsePauliOp("IZ"), [PHI, THETA]  # parameters in the order of their names
    estimator = StatevectorEstimator()
    say("value, loop as it is", lambda: (estimator.run([(circuit, z, point)]).result()[0].data.evs,))
    for rule in (ParamShiftEstimatorGradient, LinCombEstimatorGradient):
        run = lambda r=rule: tuple(r(estimator).run([circuit], [z], [point]).result().gradients[0])  # noqa: E731
        say(f"gradient, {rule.__name__}", run)
    say(
        "gradient, ReverseEstimatorGradient",
        lambda: tuple(ReverseEstimatorGradient().run([circuit], [z], [point]).result().gradients[0]),
    )


TOOLS = {
    "gradket": (gradket, "gradket"),
    "PennyLane": (pennylane, "pennylane"),
    "Catalyst": (catalyst, "pennylane-catalyst"),
    "TensorCircuit-NG": (tensorcircuit, "tensorcircuit-ng"),
    "Qiskit": (qiskit, "qiskit"),
}


def ask(tool: str) -> None:
    """One tool, in this process."""
    warnings.simplefilter("ignore")
    run, package = TOOLS[tool]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        print(json.dumps({"version": importlib.metadata.version(package)}), flush=True)
    try:
        run()
    except ImportError as error:
        print(json.dumps({"question": "import", "answer": f"not installed: {error}"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", choices=TOOLS, help="one tool, in this process")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the other tools")
    parser.add_argument("--seconds", type=float, default=600.0, help="time limit of one tool")
    arguments = parser.parse_args()
    if arguments.tool:
        ask(arguments.tool)
        return
    value, by_theta, by_phi = truth()
    print(f"closed form: value {value:.6f}, d/dtheta {by_theta:.6f}, d/dphi {by_phi:.6f}")
    for tool in TOOLS:
        python = sys.executable if tool == "gradket" else arguments.python
        call = [python, os.path.abspath(__file__), "--tool", tool]
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            try:
                out, errors = child.communicate(timeout=arguments.seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                out, errors = child.communicate()
                errors += f"no answer within {arguments.seconds:.0f} s"
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        version = next((line["version"] for line in lines if "version" in line), "")
        if child.returncode:
            lines.append({"question": "the process", "answer": (errors.strip().splitlines() or ["died"])[-1]})
        for line in lines:
            if "question" in line:
                print(f"| {tool} {version} | {line['question']} | {line['answer']} |", flush=True)


if __name__ == "__main__":
    main()
