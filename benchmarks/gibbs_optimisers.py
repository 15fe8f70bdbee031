"""Optimisers of a latent thermal state on the ring of four sites, ten random starts at once; prints Markdown tables.

    python benchmarks/gibbs_optimisers.py                 # the table, a few minutes
    python benchmarks/gibbs_optimisers.py --sequence      # continuation in beta, best of four

Transverse Ising ring, h = 1; energies with all parities of up to two sites (10 parameters), seven layers of X^a, Z^b
and CZ^c (77 angles), drawn from N(0, 0.1); exact expectations. D is the relative entropy to the thermal state.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import qml
from qml.gibbs import KOBE, Circuit, LatentGibbs, levenberg_marquardt, natural_gradient, published_mirror

jax.config.update("jax_enable_x64", True)

SITES, LAYERS, SEEDS, STEPS = 4, 7, 10, 100
HAMILTONIAN = qml.operator.Ising(qml.hilbert.Spin(SITES), qml.lattice.Chain(SITES), j=-1.0, h=1.0)
FAMILY = LatentGibbs(KOBE(SITES, 2), Circuit.layered(SITES, LAYERS))

RULES = {
    "Levenberg-Marquardt": levenberg_marquardt(),
    "natural gradient 0.1": natural_gradient(0.1, damping=1e-2),
    "published mirror descent, f = 0.5": published_mirror(0.1, mix=0.5),
    "published mirror descent, f = 0": published_mirror(0.1, mix=0.0),
    "Adam 0.1": optax.adam(0.1),
    "Adam 0.02": optax.adam(0.02),
    "SGD 0.02": optax.sgd(0.02),
}


def run(rule, beta, steps, params):
    """Relative entropies before every step and after the last one, and the last parameters."""
    log_partition = jax.nn.logsumexp(-beta * jnp.linalg.eigvalsh(HAMILTONIAN.to_dense()))
    rule = optax.with_extra_args_support(rule)

    def loss(params):
        model = FAMILY.with_params(params)
        return beta * model.expect(HAMILTONIAN).mean - model.entropy() + log_partition

    def step(loop, _):
        params, memory = loop
        value, gradient = jax.value_and_grad(loss)(params)
        change, memory = rule.update(
            gradient, memory, params, model=FAMILY.with_params(params), value=value, value_fn=loss
        )
        return (optax.apply_updates(params, change), memory), value

    (params, _), values = jax.lax.scan(step, (params, rule.init(params)), None, length=steps)
    return jnp.append(values, loss(params)), params


def starts(count, seed):
    return jax.vmap(lambda key: FAMILY.random(key).params)(jax.random.split(jax.random.key(seed), count))


def table(seed):
    print("| beta | rule | D at 10 | at 30 | at 100 | best, worst at 100 | seeds <= 0.03 at 100 | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for beta in (0.5, 2.25):
        for name, rule in RULES.items():
            go = jax.jit(jax.vmap(lambda params, rule=rule, beta=beta: run(rule, beta, STEPS, params)[0]))
            go = go.lower(starts(SEEDS, seed)).compile()
            begin = time.process_time()
            values = np.asarray(go(starts(SEEDS, seed)))
            spent = time.process_time() - begin
            median, last = np.median(values, axis=0), values[:, -1]
            print(
                f"| {beta} | {name} | {median[10]:.3f} | {median[30]:.4f} | {median[100]:.4f} | "
                f"{last.min():.4f}, {last.max():.4f} | {np.sum(last <= 0.03)} of {SEEDS} | {spent:.0f} |",
                flush=True,
            )


def sequence(seed):
    """100 steps at the first temperature from four starts, then 20 at each further one; energies scaled in between."""
    betas = np.linspace(0.5, 2.25, 4)
    params, go = starts(4, seed), {}
    print("| beta | D at the start (best of 4) | D after | steps |")
    print("| --- | --- | --- | --- |")
    for k, beta in enumerate(betas):
        steps = 100 if k == 0 else 20
        if k:
            params = {**params, "theta": params["theta"] * beta / betas[k - 1]}
        if steps not in go:
            go[steps] = jax.jit(
                jax.vmap(lambda p, b, steps=steps: run(levenberg_marquardt(), b, steps, p), in_axes=(0, None))
            )
        values, params = go[steps](params, beta)
        best = int(np.argmin(values[:, -1]))
        print(f"| {beta:.3f} | {values[best, 0]:.4f} | {values[best, -1]:.5f} | {steps} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequence", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    (sequence if arguments.sequence else table)(arguments.seed)
