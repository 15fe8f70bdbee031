"""Differentiate a Q# program that repeats until it succeeds: exactly, and by the randomised estimator.

python examples/q_sharp_loop.py [--small]
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import optax

import diffquantum
import drivers

SOURCE = """
operation RusZ(theta : Double, phi : Double) : Result {
    use (q, r) = (Qubit(), Qubit());
    Ry(theta, r);
    while M(r) == Zero {
        Rx(phi, q);
        Ry(theta, r);
    }
    Reset(r);
    MResetZ(q)
}
"""

small = "--small" in sys.argv
program = diffquantum.load(SOURCE, entry="RusZ")
theta = jnp.array([1.0, 0.7])

exact = diffquantum.expectation(program)
value, gradient = jax.value_and_grad(exact)(theta)
print("exact value    ", value)
print("exact gradient ", gradient)
print("loop           ", exact.termination(theta))

sampled = diffquantum.expectation(program, shots=1_000 if small else 100_000, loops=diffquantum.Roulette())
print("sampled        ", sampled.gradient(theta, jax.random.key(0)))

print("\nThe derivative program with respect to phi, ready for a quantum computer:\n")
print("\n".join(diffquantum.derivative(program, "phi").to_qsharp().splitlines()[:12]), "\n    ...")

fit = drivers.ProgramFit(exact, optax.adam(0.05)).run(theta, steps=5 if small else 200)
print("\nminimised:", exact(fit.state), "at", fit.state)
