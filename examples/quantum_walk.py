"""A search by a quantum walk on a 4 x 4 torus whose coin is learned: exactly, and from shots.

    python examples/quantum_walk.py [--small] [--out DIR]

A trial puts the walker everywhere, and takes two steps with a coin of two qubits; between them the coin is turned by
two angles. If the walker is found at the marked corner the search ends, else all begins anew: a loop without a bound.
The objective is the mean of min(trials, 4) / 4; see Fang, Ying and Wu, TOSEM 33 (2023), arXiv 2211.04507, for the task.
With the ancillas of its gates with five controls it has nine qubits; the exact semantics holds those that are in use.
"""

import argparse
import pathlib
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib
import numpy as np
import optax

import diffquantum
import drivers

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SOURCE = """
operation Flip(a : Qubit, b : Qubit, marks : Qubit[], last : Qubit) : Unit {
    X(a); X(b);
    Controlled Z(marks, last);
    CZ(a, b);
    X(a); X(b); H(a); H(b);
}
operation Move(c : Qubit, high : Qubit, low : Qubit) : Unit {
    CCNOT(c, low, high); CNOT(c, low);
    X(c);
    CNOT(c, low); CCNOT(c, low, high);
    X(c);
}
operation Trials(first : Double, second : Double) : Int {
    use (a, b, x, y, v, w) = (Qubit(), Qubit(), Qubit(), Qubit(), Qubit(), Qubit());
    mutable n = 0;
    mutable found = false;
    repeat {
        if n < 4 { n += 1; }
        H(x); H(y); H(v); H(w);
        Flip(a, b, [x, y, v, w, a], b);
        Move(a, x, y); Move(b, v, w);
        Rx(first, a); Rx(second, b);
        H(a); H(b);
        Flip(a, b, [a, b, x, y, v], w);
        Move(a, x, y); Move(b, v, w);
        let (i, j, k, l) = (MResetZ(x), MResetZ(y), MResetZ(v), MResetZ(w));
        set found = i == One and j == One and k == One and l == One;
        Reset(a); Reset(b);
    } until found;
    n
}
"""

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
parser.add_argument("--out", default="runs/quantum_walk")
arguments = parser.parse_args()
out = pathlib.Path(arguments.out)
out.mkdir(parents=True, exist_ok=True)

began = time.perf_counter()
program = diffquantum.load(SOURCE, entry="Trials")
trials = diffquantum.expectation(program)


@jax.jit
def step(x, memory):
    """One step of Adam on the exact gradient, and the objective before it."""
    value, slope = jax.value_and_grad(lambda x: trials(x) / 4)(x)
    moves, memory = optimizer.update(slope, memory)
    return x + moves, memory, value


start = jnp.array([2.0, 2.5])
optimizer = optax.adam(0.1)
x, memory, path = start, optimizer.init(start), [np.asarray(start)]
for _ in range(20 if arguments.small else 150):
    x, memory, value = step(x, memory)
    path.append(np.asarray(x))
path = np.array(path)
print(f"exact: objective {float(trials(start)) / 4:.6f} -> {float(trials(x)) / 4:.8f} at {x.round(5)}")
print(f"       known: 0.68359375 at (pi, pi), a success chance of 1/4; {time.perf_counter() - began:.1f} s in all")
if not arguments.small:
    assert abs(float(trials(x)) / 4 - 0.68359375) < 1e-6

# from shots: each step runs the derivative program, its pilot counted. Few shots and long steps that grow shorter get
# near sooner than many shots: the objective is flat at its minimum, and steps that shrink average the noise away
sampled, shots, steps = [np.asarray(start)], 1_000, 30
if not arguments.small:
    began = time.perf_counter()
    noisy = diffquantum.expectation(program, shots=shots)
    shrinking = optax.adam(optax.cosine_decay_schedule(0.3, steps))
    fit = drivers.ProgramFit(noisy, shrinking).run(start, steps=steps, key=jax.random.key(1))
    sampled += list(np.asarray(fit.history["theta"]))
    found = float(trials(fit.state)) / 4
    print(f"shots: {steps} steps of {shots} for the gradient, pilot counted, and {shots} for the value:")
    print(
        f"       objective {found:.5f}, {found - 0.68359375:.1e} above the optimum, at {fit.state.round(3)};", end=" "
    )
    print(f"{time.perf_counter() - began:.0f} s")
    assert found - 0.68359375 < 5e-3

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
grid = jnp.linspace(0, 2 * jnp.pi, 21 if arguments.small else 61)
many = jax.jit(lambda a: jax.lax.map(lambda b: trials(jnp.stack([a, b])) / 4, grid))
shades = left.pcolormesh(grid, grid, np.array([many(a) for a in grid]).T, cmap="viridis")
figure.colorbar(shades, ax=left, label="mean of min(trials, 4) / 4")
left.plot(*path.T, "-", color="orange", label="exact gradient")
if len(sampled) > 1:
    left.plot(*np.array(sampled).T, "r.-", linewidth=0.7, markersize=3, label=f"{shots} shots a step")
left.plot([np.pi], [np.pi], "k*", markersize=10)
left.set(xlabel="first angle", ylabel="second angle", title="the objective, exactly, and two ways down")
left.legend(loc="lower left")
of = jax.jit(lambda xs: jax.lax.map(lambda x: trials(x) / 4, xs))
right.plot(of(jnp.asarray(path)), label="exact gradient")
if len(sampled) > 1:
    right.plot(of(jnp.asarray(np.array(sampled))), "r", label=f"derivative program, {shots} shots a step")
right.axhline(0.68359375, color="black", linewidth=0.8, label="optimum")
right.set(xlabel="step of Adam", ylabel="objective (exact)")
right.legend()
figure.savefig(out / "quantum_walk.png", dpi=110)
print("picture in", out / "quantum_walk.png")
