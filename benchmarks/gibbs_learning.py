"""What learning from shots is worth: squared errors over the bounds, coverage, shots saved, streams; Markdown rows.

    python benchmarks/gibbs_learning.py                                # the rows of docs/benchmarks.md
    python benchmarks/gibbs_learning.py --repeats 1000 --scale 1 --shots 30000

Three sites, all neighbour strings (27 couplings), every shot in a uniformly random local basis; couplings of
tests/reference/gibbs.json. "Over the bound": mean squared error of the couplings over the trace of the inverse Fisher
information (for averages and streams: of the sandwich of maximum entropy). What the linear estimate, whose law is
known, is off by chance in the same repetitions is taken off. Coverage is that of the 95 % intervals.
"""

import argparse
import itertools
import json
import pathlib
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import qml
from qml.gibbs import DataObjective, PauliGibbs, ShotData, StreamObjective, engine
from qml.gibbs.family import measured
from qml.gibbs.learn import score_and_fisher
from qml.gibbs.shots import basis_codes

jax.config.update("jax_enable_x64", True)

REFERENCE = json.loads((pathlib.Path(__file__).parents[1] / "tests" / "reference" / "gibbs.json").read_text())["P6_P7"]
BASES = ["".join(b) for b in itertools.product("XYZ", repeat=3)]
ROWS = np.array(list(itertools.product(range(27), *[range(2)] * 3)))
FULL = ShotData(BASES, ROWS[:, 1:], np.ones(len(ROWS)), ROWS[:, 0])


def truth_of(scale):
    model = PauliGibbs.local(qml.hilbert.Spin(3), qml.lattice.Chain(3, periodic=False), body=2)
    return model.with_theta(jnp.array(REFERENCE[f"n=3 scale={scale:.1f}"]["theta"]))


def law_of(model):
    law = np.clip(np.asarray(measured(model, jnp.asarray(basis_codes(BASES)))), 0, None)
    return law / law.sum()


def shots_of(table):
    return eqx.tree_at(lambda s: s.counts, FULL, table.reshape(-1))


@jax.jit
def fitted(objective, start, data):
    """25 full steps at most, then couplings, their variances and the last move."""

    def step(loop):
        model, data, _, count = loop
        model, data, info = objective.advance(model, data, jnp.ones(()), jnp.zeros(()))
        return model, data, info["natural_gradient"], count + 1

    loop = (start, data, jnp.array(jnp.inf), jnp.array(0))
    model, data, moved, _ = jax.lax.while_loop(lambda loop: (loop[2] > 1e-9) & (loop[3] < 25), step, loop)
    found = objective.finish(model, data)
    return found.theta, jnp.diagonal(found.covariance), moved


def repetitions(scale, shots, method, repeats, seed):
    """Errors, variances and linear estimates `[repeats, couplings]`, and the bounds (Fisher, sandwich)."""
    truth, random = truth_of(scale), np.random.default_rng(seed)
    law, start = law_of(truth), truth.with_theta(jnp.zeros(27))
    index = engine.setting_index(jnp.asarray(basis_codes(BASES)))
    _, fisher = score_and_fisher(truth.strings, truth.theta, jnp.asarray(law * shots), index)
    inverse, bread = np.linalg.inv(fisher), np.linalg.inv(truth.metric())
    rows = []
    for _ in range(repeats):
        data = shots_of(jnp.asarray(random.multinomial(shots, law.ravel()).reshape(law.shape)))
        objective = DataObjective(data, method)
        theta, variance, moved = fitted(objective, start, objective.prepare(start))
        if method == "moments":
            linear = bread @ (np.asarray(truth.marginals()) - np.asarray(data.moments(truth.strings)[0]))
        else:
            linear = inverse @ np.asarray(score_and_fisher(truth.strings, truth.theta, data.table(), index)[0])
        rows.append([np.asarray(theta - truth.theta), np.asarray(variance), linear, np.full(27, float(moved))])
    return (*np.array(rows).transpose(1, 0, 2), np.trace(inverse), truth)


def likelihood(scale, shots, method, repeats, seed):
    begin = time.process_time()
    error, variance, linear, moved, bound, _ = repetitions(scale, shots, method, repeats, seed)
    excess = np.sum(error**2 - linear**2, axis=1) / bound
    plain = np.sum(error**2, axis=1).mean() / bound
    covered = np.mean(np.abs(error) < 1.96 * np.sqrt(variance))
    print(f"| {scale:g} | {shots} | {method} | {repeats} | {plain:.3f} | {1 + excess.mean():.3f}"
          f"({excess.std() / repeats**0.5:.3f}) | {100 * covered:.2f} % | {np.mean(moved < 1e-6):.3f} "
          f"| {time.process_time() - begin:.0f} |", flush=True)  # fmt: skip
    return 1 + excess.mean(), excess.std() / repeats**0.5


def saved(scale, shots, repeats, seed):
    """Ratio of the mean squared errors of maximum entropy and of the default."""
    row = REFERENCE[f"n=3 scale={scale:.1f}"]
    error, _, linear, _, _, _ = repetitions(scale, shots, "moments", repeats, seed)
    bounds = [27 * row[f"rmse_sqrtN_{kind}"] ** 2 / shots for kind in ("maxent", "mle")]
    excess = np.sum(error**2 - linear**2, axis=1) / bounds[0]
    ours, spread = likelihood(scale, shots, "auto", repeats, seed)
    ratio = bounds[0] / bounds[1] * (1 + excess.mean()) / ours
    sigma = ratio * np.hypot(excess.std() / repeats**0.5 / (1 + excess.mean()), spread / ours)
    print(f"scale {scale:g}, {shots} shots: shots saved over maximum entropy {ratio:.3f}({sigma:.3f}), "
          f"for very many {bounds[0] / bounds[1]:.3f}", flush=True)  # fmt: skip


def streams(scale, repeats, seed, corrected):
    """200 batches of 2000 shots, each looked at once."""
    truth, random, begin = truth_of(scale), np.random.default_rng(seed), time.process_time()
    law, start, bread = law_of(truth), truth.with_theta(jnp.zeros(27)), np.linalg.inv(truth.metric())
    rows = []

    stream = StreamObjective([shots_of(jnp.ones(law.shape))] * 200, corrected)
    empty = stream.prepare(start)  # its arrays are replaced, so that repetitions share one compiled program

    @jax.jit
    def run(batches, counts, spread):
        data = eqx.tree_at(lambda d: (d.covariance, d.means, d.shots), empty, (spread, batches, counts))
        found = jax.lax.fori_loop(
            0, 200, lambda _, m: stream.advance(*m, jnp.ones(()), jnp.zeros(()))[:2], (start, data)
        )
        return stream.finish(*found).theta

    seen = np.array([[all(a in ("I", b) for a, b in zip(w, basis)) for w in truth.terms] for basis in FULL.letters])
    for _ in range(repeats):
        tables = random.multinomial(2000, law.ravel(), size=200).reshape(200, *law.shape)
        batches = np.array([shots_of(jnp.asarray(t)).moments(truth.strings)[0] for t in tables])
        mean, spread = shots_of(jnp.asarray(tables.sum(axis=0))).moments(truth.strings)
        theta = run(batches, jnp.asarray(tables.sum(axis=2) @ seen.astype(float)), spread)
        bound = np.trace(bread @ np.asarray(spread) @ bread)
        linear = bread @ (np.asarray(truth.marginals()) - np.asarray(mean))
        rows.append([np.sum((np.asarray(theta) - truth.theta) ** 2) / bound, np.sum(linear**2) / bound])
    found, chance = np.array(rows).T
    excess = found - chance
    print(f"stream, scale {scale:g}, corrected={corrected}, {repeats} repetitions: {found.mean():.3f}, controlled "
          f"{1 + excess.mean():.3f}({excess.std() / repeats**0.5:.3f}), {time.process_time() - begin:.0f} CPU s",
          flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--shots", type=int)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| scale | shots | method | repetitions | over the bound | controlled | coverage | converged | CPU s |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")  # fmt: skip
    if options.scale:
        likelihood(options.scale, options.shots or 30_000, options.method, options.repeats or 200, options.seed)
        return
    for scale, shots, repeats in ((0.5, 30_000, 400), (1.0, 30_000, 800), (0.5, 300_000, 200), (1.0, 300_000, 200)):
        likelihood(scale, shots, "auto", options.repeats or repeats, options.seed)
    for scale in (0.5, 1.0):
        saved(scale, 300_000, options.repeats or 200, options.seed + 1)
        streams(scale, 24, options.seed, True)


if __name__ == "__main__":
    main()
