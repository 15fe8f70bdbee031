"""Optimisers of a latent thermal state on the ring of four sites, ten random starts at once; prints Markdown tables.

    python benchmarks/gibbs_optimisers.py                 # the table, a few minutes
    python benchmarks/gibbs_optimisers.py --sequence      # continuation in beta, best of four, ten keys
    python benchmarks/gibbs_optimisers.py --real-time     # each evolved state learned from the one before

Transverse Ising ring, h = 1; energies with all parities of up to two sites (10 parameters), seven layers of X^a, Z^b
and CZ^c (77 angles), drawn from N(0, 0.1); exact expectations. D is the relative entropy to the thermal state.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg

import qml
from qml.gibbs import KOBE, Circuit, LatentGibbs, levenberg_marquardt, natural_gradient, published_mirror
from qml.gibbs.sequences import cooling, evolving, random_starts

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
    betas, found = np.linspace(0.5, 2.25, 4), []
    keys = jax.random.split(jax.random.key(seed), 10)
    whole = jax.tree.map(lambda *a: jnp.concatenate(a), *[random_starts(FAMILY, key, 4) for key in keys])
    run = cooling(FAMILY, whole, HAMILTONIAN, betas)
    for first, last in ((d[0], d[-1]) for d in run.divergences):
        best = np.argmin(np.asarray(last).reshape(10, 4), axis=1)
        found.append([np.asarray(d).reshape(10, 4)[np.arange(10), best] for d in (first, last)])
    print("| beta | D at the start (median of ten) | D after: median | mean(error) | best, worst of ten | steps |")
    print("| --- | --- | --- | --- | --- | --- |")
    for k, (beta, (first, last)) in enumerate(zip(betas, found)):
        print(
            f"| {beta:.3f} | {np.median(first):.4f} | {np.median(last):.5f} | {last.mean():.5f}({last.std() / 3:.5f}) "
            f"| {last.min():.5f}, {last.max():.5f} | {100 if k == 0 else 20} |",
            flush=True,
        )


def real_time(seed):
    """beta = 1, three steps exp(-i Hz) exp(-i Hx); every target is made from the state learned before."""
    matrix = np.asarray(HAMILTONIAN.to_dense(), complex)
    field = -np.asarray(qml.operator.total(qml.hilbert.Spin(SITES), "X").to_dense())
    step = scipy.linalg.expm(-1j * (matrix - field)) @ scipy.linalg.expm(-1j * field)
    weight = scipy.linalg.expm(-matrix)
    exact = [weight / np.trace(weight)]
    for _ in range(3):
        exact.append(step @ exact[-1] @ step.conj().T)
    levels = np.linalg.eigvalsh(exact[0])
    entropy = -float(np.sum(levels * np.log(levels)))
    print("| step | start | D of the fit to its target | D to the exact state | fidelity | energy | exact |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for recursive in (True, False):
        starts = random_starts(FAMILY, jax.random.key(seed), 4)
        run = evolving(FAMILY, starts, exact[0], jnp.asarray(step), 3, recursive=recursive)
        for k, state in enumerate(exact):
            model = run.best(k)
            rho = np.asarray(model.density())
            away = float(model.modular(jnp.asarray(state)) + model.log_partition()) - entropy
            root = scipy.linalg.sqrtm(state)
            fidelity = np.trace(scipy.linalg.sqrtm(root @ rho @ root)).real ** 2
            energies = [np.trace(m @ matrix).real for m in (rho, state)]
            print(
                f"| {k} | {'learned' if recursive else 'exact'} | {np.min(run.divergences[k][-1]):.4f} | {away:.4f} | "
                f"{fidelity:.4f} | {energies[0]:.4f} | {energies[1]:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequence", action="store_true")
    parser.add_argument("--real-time", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    (sequence if arguments.sequence else real_time if arguments.real_time else table)(arguments.seed)
