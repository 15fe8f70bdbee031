"""Amplitude amplification with a weak measurement in its loop: the best measurement strength, exactly and from shots.

    python examples/amplitude_amplification.py [--small] [--out DIR]

A search for one of N^2 items: after each Grover turn, a controlled rotation by t copies a little of "found" to a flag
qubit, and the loop ends when the flag reads One. How many turns does it take on average? The table compares with the
angles published by Fang, Ying and Wu, TOSEM 33 (2023), arXiv 2211.04507 (their parameter is 2t).
"""

import argparse
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib
import optax

import diffquantum
import drivers

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SOURCE = """
operation Turns(t : Double, a : Double) : Int {
    use (q, flag) = (Qubit(), Qubit());
    mutable n = 0;
    mutable found = false;
    Ry(a, q);
    repeat {
        n += 1;
        Z(q); Ry(-a, q); Z(q); Ry(a, q);
        Controlled Ry([q], (t, flag));
        set found = MResetZ(flag) == One;
    } until found;
    Reset(q);
    n
}
"""
PUBLISHED = {10: 2.8684, 15: 2.3079, 20: 1.9617, 25: 1.9205, 30: 1.6814}  # N: 2t

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
parser.add_argument("--out", default="runs/amplitude_amplification")
arguments = parser.parse_args()
out = pathlib.Path(arguments.out)
out.mkdir(parents=True, exist_ok=True)

# one program for all sizes: a is a parameter like t, and only t is moved
program = diffquantum.load(SOURCE)
turns = diffquantum.expectation(program)


def angle(size):
    """The Grover angle of one in N^2 items."""
    return 2 * jnp.arcsin(1 / size)


@jax.jit
def newton(t, size):
    """One step towards the minimum in t, and the turns per N before it."""

    def mean(t):
        return turns(jnp.stack([t, angle(size)])) / size

    return t - jax.grad(mean)(t) / jnp.abs(jax.hessian(mean)(t)), mean(t)


print(" N   published 2t   turns/N   best 2t   turns/N")
best = {}
for size in list(PUBLISHED)[: 1 if arguments.small else None]:
    t, before = jnp.array(PUBLISHED[size] / 2), None
    for _ in range(12):
        moved, value = newton(t, float(size))
        before = value if before is None else before
        if abs(moved - t) < 1e-12:
            break
        t = moved
    best[size] = (float(t), float(value))
    print(f"{size:2}      {PUBLISHED[size]:.4f}     {float(before):.5f}    {2 * t:.4f}   {float(value):.5f}")
    assert value <= before

# the same from shots: each step runs the derivative program of t, its pilot counted, at N = 10
path, shots = [0.9], 5_000
if not arguments.small:
    fixed = diffquantum.load(SOURCE, fixed={"a": float(angle(10))})
    sampled = diffquantum.expectation(fixed, shots=shots)
    fit = drivers.ProgramFit(sampled, optax.adam(0.1)).run(jnp.array([0.9]), steps=40, key=jax.random.key(1))
    print(f"\nN = 10 from {shots} shots a step: 2t = {2 * float(fit.state[0]):.3f}, turns/N = {fit.energy / 10}")
    path += [float(x[0]) for x in fit.history["theta"]]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
grid = jnp.linspace(0.35, 1.8, 80)
many = jax.jit(jax.vmap(lambda t, size: turns(jnp.stack([t, angle(size)])) / size, (0, None)))
for size, (t, value) in best.items():
    (line,) = left.plot(2 * grid, many(grid, float(size)), label=f"N = {size}")
    left.plot([2 * t], [value], "o", color=line.get_color())
    left.plot(
        [PUBLISHED[size]], [jnp.interp(PUBLISHED[size] / 2, grid, many(grid, float(size)))], "x", color=line.get_color()
    )
left.set(xlabel="2t", ylabel="mean turns / N", ylim=(0.62, 1.0), title="exact; o best, x published")
left.legend()
right.plot([2 * t for t in path], label="from shots")
right.axhline(2 * best[10][0], color="black", linewidth=0.8, label="exact optimum")
right.set(xlabel="step", ylabel="2t", title=f"N = 10, {shots} shots a step")
right.legend()
figure.savefig(out / "amplitude_amplification.png", dpi=110)
print("picture in", out / "amplitude_amplification.png")
