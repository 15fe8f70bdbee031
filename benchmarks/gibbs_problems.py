"""Public problems of thermal states and Hamiltonian learning: found values beside reference values, one table.

    python benchmarks/gibbs_problems.py            # all of them, ten CPU minutes or so
    python benchmarks/gibbs_problems.py P1 P4 P9   # some

Reference values: tests/reference/gibbs.json and the literals here (free fermions, exact diagonalisation).
"""

import itertools
import json
import math
import pathlib
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

import qml
from qml.gibbs import (
    KOBE,
    Circuit,
    DataObjective,
    LatentGibbs,
    PauliGibbs,
    ShotData,
    candidate_terms,
    cooling,
    engine,
    evolving,
    inverse_mirror,
    ising_chain,
    random_starts,
    select,
    thermal_curves,
    window_couplings,
)  # fmt: skip
from qml.gibbs.family import measured
from qml.gibbs.learn import score_and_fisher
from qml.gibbs.shots import basis_codes

jax.config.update("jax_enable_x64", True)

REFERENCE = json.loads((pathlib.Path(__file__).parents[1] / "tests" / "reference" / "gibbs.json").read_text())
TWELVE = {"X0 Y4": 0.5783, "Z3 Z4": 0.4289, "Y0 Y2": -0.3635, "X0 X4": -0.4935, "Y0 X1": 0.4029, "X3 Z5": 0.7312}
TWELVE |= {"Y4": -0.3672, "X2 Z5": -0.4008, "Z4 X5": -0.694, "Z1 X5": -0.3976, "Z0 Y2": 0.3974, "Z3": 0.289}


def word(sites, letters):
    return "".join(letters.get(i, "I") for i in range(sites))


def ising(sites, periodic, h):
    lattice = qml.lattice.Chain(sites, periodic=periodic)
    return qml.operator.Ising(qml.hilbert.Spin(sites), lattice, j=-1.0, h=h)


def thermal(h, beta):
    return PauliGibbs(h.terms, beta * jnp.array(list(h.terms.values())).real, hilbert=h.hilbert)


def local(name):
    sites, row = int(name[2]), REFERENCE["P6_P7" if name in REFERENCE["P6_P7"] else "P5"][name]
    lattice = qml.lattice.Chain(sites, periodic=False)
    return PauliGibbs.local(qml.hilbert.Spin(sites), lattice).with_theta(jnp.array(row["theta"])), row


def numbers(text):
    return [float(part.split("=")[1]) for part in text.split() if "=" in part]


def p1():
    """TFIM thermodynamics, 72 rows."""
    worst = 0.0
    for name, row in REFERENCE["P1"].items():
        sites, h, beta = numbers(name)
        model = thermal(ising(int(sites), "pbc" in name, h), beta)
        found = model.numbers()
        energy = float(found.marginals @ model.theta) / beta
        capacity = float(model.theta @ model.hvp(model.theta))
        have = [float(found.log_partition), energy, float(found.entropy), capacity]
        want = [row[k] for k in ("log_partition", "energy", "entropy", "heat_capacity")]
        worst = max(worst, *(abs(a - b) / max(1.0, abs(b)) for a, b in zip(have, want)))
    yield "log Z, E, S, C of 72 rows", 1e-10, worst


def p2():
    """XXZ chains, 16 rows."""
    worst = 0.0
    for name, row in REFERENCE["P2"].items():
        sites, delta, beta = numbers(name)
        space, middle = qml.hilbert.Spin(int(sites)), int(sites) // 2 - 1
        h = qml.operator.XXZ(space, qml.lattice.Chain(int(sites), periodic=False), j=1.0, delta=delta)
        model, total = thermal(h, beta), 0.5 * qml.operator.total(space, "Z")
        bond = {word(int(sites), {middle: a, middle + 1: a}): 0.25 for a in "XYZ"}
        state = model.numbers()
        slope = {k: float(v) for k, v in zip(model.terms, state.marginals)}
        have = [
            float(state.log_partition), float(model.theta @ state.marginals) / beta, float(state.entropy),
            beta * float(model.expect(total @ total).mean) / sites, sum(c * slope[w] for w, c in bond.items()),
        ]  # fmt: skip
        keys = ("log_partition", "energy", "entropy", "chi_zz_per_site", "ss_mid_bond")
        worst = max(worst, *(abs(a - row[k]) for a, k in zip(have, keys)))
    yield "log Z, E, S, chi, S.S of 16 rows", 1e-10, worst


def p3():
    """Information matrices in (J, h)."""
    worst, order = 0.0, np.inf
    for name, row in REFERENCE["P3"].items():
        sites, beta, _, h = numbers(name)
        model = thermal(ising(int(sites), False, h), beta)
        group = np.array([[w.count("Z") == 2, w.count("X") == 1] for w in model.terms], float) * -beta
        found = [group.T @ np.asarray(model.metric(kind)) @ group for kind in ("sld", "wy", "bkm", "sym")]
        worst = max(worst, *(np.abs(m - row[k]).max() for m, k in zip(found, ("sld", "wy", "bkm", "sym"))))
        order = min(order, *(np.linalg.eigvalsh(b - a)[0] for a, b in itertools.pairwise(found)))
    yield "four metrics, 6 rows", 1e-9, worst
    yield "order SLD <= WY <= BKM <= sym (lowest level, negated)", 1e-11, -order


def p4():
    """Derivatives at the degenerate Heisenberg point."""
    row = REFERENCE["P4"]
    paulis = []
    for a in "XYZ":
        operators = qml.operator.PauliSum({word(6, {i: a, (i + 1) % 6: a}): 1.0 for i in range(6)})
        paulis.append(np.asarray(operators.to_dense()))
    paulis = jnp.asarray(np.array(paulis))
    function = lambda t: qml.linalg.log_partition(jnp.tensordot(t.astype(complex), paulis, 1))  # noqa: E731
    point = 0.25 * jnp.ones(3)
    third = jax.jit(jax.jacfwd(jax.jacfwd(jax.grad(function))))(point)
    gradient, hessian = jax.jit(jax.grad(function))(point), jax.jit(jax.hessian(function))(point)
    yield "log Z", 1e-10, abs(float(function(point)) - row["log_partition"])
    yield "gradient", 1e-10, float(np.abs(np.abs(gradient) - row["gradient"]).max())
    yield "Hessian", 1e-10, float(np.abs(hessian - np.array(row["hessian"])).max())
    found = {"xxx": third[0, 0, 0], "xxy": third[0, 0, 1], "xyz": third[0, 1, 2]}
    yield "third derivatives", 1e-6, max(abs(float(v) - row["third"][k]) for k, v in found.items())


def p5():
    """Couplings from exact marginals."""
    for name, limit in (("n=6 scale=1.0", 10), ("n=4 scale=2.0", 14)):
        model, row = local(name)
        found = inverse_mirror(model.with_theta(jnp.zeros(len(model.terms))), jnp.array(row["marginals"]))
        yield f"{name}: largest error of a coupling", 1e-8, float(jnp.abs(found.theta - model.theta).max())
        yield f"{name}: Newton steps", limit, int(found.steps)


def p6():
    """Shot noise in uniformly random bases: laws, and 200 repetitions of 3e5 shots of three sites."""
    for name, row in REFERENCE["P6_P7"].items():
        model, _ = local(name)
        bases = ["".join(b) for b in itertools.product("XYZ", repeat=model.hilbert.n_sites)]
        codes = jnp.asarray(basis_codes(bases))
        index, law = engine.setting_index(codes), np.clip(np.asarray(measured(model, codes)), 0, None) / len(bases)
        _, fisher = score_and_fisher(model.strings, model.theta, jnp.asarray(law), index)
        for kind, metric in (("mle", fisher), ("sld_bound", model.metric("sld"))):
            found = np.sqrt(np.trace(np.linalg.inv(metric)) / len(model.terms))
            yield f"{name}: predicted RMSE sqrt(N), {kind}", 1e-9, abs(found / row[f"rmse_sqrtN_{kind}"] - 1)
        if model.hilbert.n_sites > 3:
            continue
        rng, errors, covered, rows = np.random.default_rng(0), [], [], list(itertools.product(range(27), range(8)))
        bits = np.array([[int(b) for b in f"{x:03b}"] for _, x in rows])
        fit, full = jax.jit(_scoring), ShotData(bases, bits, np.ones(len(rows)), np.array([k for k, _ in rows]))
        assert full.letters == tuple(bases)
        for _ in range(200):
            counts = rng.multinomial(300_000, law.ravel() / law.sum())
            shots = eqx.tree_at(lambda s: s.counts, full, jnp.asarray(counts))  # one compiled program for all
            found = fit(DataObjective(shots), model.with_theta(jnp.zeros(len(model.terms))))
            errors.append(np.asarray(found.theta - model.theta))
            covered.append(np.abs(errors[-1]) < 1.96 * np.sqrt(np.diagonal(found.covariance)))
        ratio = np.sqrt(np.mean(np.square(errors)) * 300_000) / row["rmse_sqrtN_mle"]
        yield f"{name}: RMSE over prediction less 1, 200 repetitions", 0.1, abs(ratio - 1)
        yield f"{name}: coverage of 95 % less 0.95", 0.02, abs(np.mean(covered) - 0.95)


def _scoring(objective, model):
    one, zero = jnp.ones(()), jnp.zeros(())
    model = jax.lax.fori_loop(0, 25, lambda _, m: objective.advance(m, (), one, zero)[0], model)
    return objective.finish(model, ())


def p8():
    """Published cooling: best of four and of eight by loss, 100 and then 20 steps; 160 starts of the default kind."""
    family, betas = LatentGibbs(KOBE(4, 2), Circuit.layered(4, 7)), np.linspace(0.5, 2.25, 4)
    run = cooling(family, random_starts(family, jax.random.key(0), 160), ising(4, True, 1.0), betas)
    for beta, divergence, limit in zip(betas, run.divergences, (0.012, 0.005, 0.002, 0.0005)):
        for count in (4, 8):
            best = np.asarray(divergence[-1]).reshape(-1, count).min(axis=1)
            label = f"{np.mean(best <= limit):.0%} of {len(best)} keys, error {best.std() / len(best) ** 0.5:.5f}"
            yield f"D at beta {beta:.3f}, best of {count}, mean ({label})", limit, best.mean()
    cold = cooling(family, random_starts(family, jax.random.key(1), 40), ising(4, True, 1.0), [2.25], steps=(100, 1))
    yield "D at beta 2.25 from random starts, median of 40", 0.003, float(np.median(cold.divergences[0][-1]))


def p9():
    """Published evolution: energies, divergences of the exact sequence, and of the one that is learned."""
    h = ising(4, True, 1.0)
    matrix = np.asarray(h.to_dense(), complex)
    zz = np.diag(np.diag(matrix))
    step = scipy.linalg.expm(-1j * zz) @ scipy.linalg.expm(-1j * (matrix - zz))
    states = [scipy.linalg.expm(-matrix) / np.trace(scipy.linalg.expm(-matrix))]
    for _ in range(3):
        states.append(step @ states[-1] @ step.conj().T)
    logs = [scipy.linalg.logm(s) for s in states]
    between = lambda a, b: np.trace(states[a] @ (logs[a] - logs[b])).real  # noqa: E731
    energies = [np.trace(s @ matrix).real for s in states]
    exact = [-4.75614986295, -1.33765607048, -2.36054831003, -2.57971430484]
    yield "energies", 1e-10, max(abs(a - b) for a, b in zip(energies, exact))
    yield "D(k, k+1)", 1e-9, max(abs(between(k, k + 1) - 3.41849379247) for k in range(3))
    away = [3.41849379247, 2.39560155292, 2.17643555811]
    yield "D(0, k)", 1e-9, max(abs(between(0, k + 1) - away[k]) for k in range(3))
    family = LatentGibbs(KOBE(4, 2), Circuit.layered(4, 7))
    run = evolving(family, random_starts(family, jax.random.key(0), 4), states[0], jnp.asarray(step), 3)
    found = [float(run.best(k).expect(h).mean) for k in range(4)]
    yield (
        "learned one from the other: largest error of an energy (reported)",
        np.inf,
        max(abs(a - b) for a, b in zip(found, exact)),
    )


def p10():
    """Stochastic log Z of the critical chain beside free fermions: errors and error bars over the predicted deviation.

    The prediction is that of as many plain real random vectors, sqrt(2 Z(2 beta) / R) / Z(beta).
    """
    vectors, warm, cold = 32, (0.5, 1), (0.5, 1, 2, 4)
    for n, betas, steps, levels in ((16, cold, 60, 4), (20, cold, 60, 4), (24, warm, 29, 0)):
        logs = {
            b: float(ising_chain(-jnp.ones(n - 1), -jnp.ones(n), b).log_partition)
            for b in {*betas, *(2 * b for b in betas)}
        }
        found = thermal_curves(
            ising(n, False, 1.0), betas, key=jax.random.key(n), vectors=vectors, steps=steps, levels=levels
        ).log_partition
        sigma = np.sqrt([2 / vectors * np.exp(logs[2 * b] - 2 * logs[b]) for b in betas])
        errors = np.abs(np.asarray(found.mean) - [logs[b] for b in betas])
        label = f"n={n}, beta={', '.join(f'{b:g}' for b in betas)}, {vectors} vectors"
        yield f"{label}: error over the predicted deviation", 3.0, float(np.max(errors / sigma))
        yield f"{label}: error bar over the predicted deviation", 1.3, float(np.max(np.asarray(found.error) / sigma))
        yield f"{label}: error over the error bar", 4.5, float(np.max(errors / np.asarray(found.error)))


def p11():
    """Twelve of 153 terms from shots in random bases: 1 - F1 of five repetitions; shots until all twelve are sure."""
    strings = {}
    for name, value in TWELVE.items():
        strings[word(6, {int(part[1:]): part[0] for part in name.split()})] = value
    truth = PauliGibbs(strings, jnp.array(list(strings.values())))
    bases = ["".join(b) for b in itertools.product("XYZ", repeat=6)]
    law = np.clip(np.asarray(measured(truth, jnp.asarray(basis_codes(bases)))), 0, None)
    scores = []
    for seed in range(5):
        table = np.random.default_rng(seed).multinomial(10_000, (law / law.sum()).ravel()).reshape(law.shape)
        rows = np.argwhere(table)
        bits = rows[:, 1][:, None] >> np.arange(5, -1, -1)[None, :] & 1
        shots = ShotData(bases, bits, table[table > 0], rows[:, 0])
        found = set(select(PauliGibbs(candidate_terms(truth.hilbert)), shots).model.terms)
        scores.append(2 * len(found & set(strings)) / (len(found) + len(strings)))
    yield "1 - F1 with 1e4 shots, mean of five", 0.02, 1 - np.mean(scores)
    terms = candidate_terms(truth.hilbert)
    model = PauliGibbs(terms, jnp.array([strings.get(w, 0.0) for w in terms]))
    codes, known, law = jnp.asarray(basis_codes(bases)), np.abs(model.theta) > 0, law / law.sum()
    _, fisher = score_and_fisher(model.strings, model.theta, jnp.asarray(law), engine.setting_index(codes))
    table = np.rint(law * 1e12).astype(np.int64)
    rows = np.argwhere(table)
    shots = ShotData(bases, rows[:, 1][:, None] >> np.arange(5, -1, -1)[None, :] & 1, table[table > 0], rows[:, 0])
    bread, spread = np.linalg.inv(model.metric()), np.asarray(shots.moments(model.strings)[1]) * 1e12
    ours = {
        "likelihood": np.linalg.inv(fisher),
        "maximum entropy": bread @ spread @ bread,
    }
    for (name, covariance), want in zip(ours.items(), (7167, 8661), strict=True):
        found = np.max(25 * np.diagonal(covariance)[known] / model.theta[known] ** 2)
        yield f"shots for |z| >= 5 of all twelve, {name}: from {want}", 1.0, abs(math.ceil(found) - want)


def p12():
    """Long critical chains: free fermions, and couplings from windows."""
    found = ising_chain(-jnp.ones(99), -jnp.ones(100), 1.0)
    have = [float(found.log_partition), float(found.zz.mean()), float(found.x.mean())]
    want = [141.219292841, 0.558510996, 0.560965385]
    yield "n=100 beta=1: log Z", 1e-8, abs(have[0] - want[0])
    yield "n=100 beta=1: mean ZZ and X", 1e-8, max(abs(a - b) for a, b in zip(have[1:], want[1:]))
    long = ising_chain(-jnp.ones(999), -jnp.ones(1000), 2.0)
    yield "n=1000 beta=2: log Z per site", 1e-6, abs(float(long.log_partition) - 2612.67026439) / 1000
    marginals = {f"Z{i} Z{i + 1}": float(v) for i, v in enumerate(found.zz)}
    marginals |= {f"X{i}": float(v) for i, v in enumerate(found.x)}
    learned = window_couplings(marginals, width=8)
    yield "n=100 beta=1, windows of 8: largest error of a coupling", 1e-5, float(jnp.abs(learned.theta + 1).max())


PROBLEMS = {"P1": p1, "P2": p2, "P3": p3, "P4": p4, "P5": p5, "P6/P7": p6, "P8": p8, "P9": p9, "P10": p10, "P11": p11,
            "P12": p12}  # fmt: skip


def main(chosen):
    known = [part for name in PROBLEMS for part in name.split("/")]
    if unknown := set(chosen) - set(known):
        raise SystemExit(f"There is no problem {', '.join(sorted(unknown))}. Known: {', '.join(known)}")
    print("| problem | quantity | limit | found | met | CPU s |\n| --- | --- | --- | --- | --- | --- |")
    for name, problem in PROBLEMS.items():
        if chosen and not set(name.split("/")) & set(chosen):
            continue
        begin = time.process_time()
        for quantity, limit, found in problem():
            spent, begin = time.process_time() - begin, time.process_time()
            met = "yes" if found <= limit else "NO"
            print(f"| {name} | {quantity} | {limit:g} | {found:.3g} | {met} | {spent:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
