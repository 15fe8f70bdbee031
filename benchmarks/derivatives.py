"""Derivative estimators: variance a shot against the published random insertion, and shots a CPU second against qdk.

    python benchmarks/derivatives.py                     # the table of variances, no rival package needed
    python benchmarks/peers.py trajectories-rus-qir      # one comparison with the simulators of Q#

*Published*: insertion at occurrence k with chance 1/(S k ln(k + e)^1.25), S = 4.7912, no baseline; its shipped programs
have S = 2.4885, too small for the law to sum to one, which halves the variance of short loops and is wrong for long
ones. Its second moments are estimated by importance sampling from the same runs. *gradket*: the error bars of
`diffquantum.estimate.gradient`, the pilot counted as shots.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

NORM, SHIPPED = 4.7912, 2.488516
SOURCE = """
operation Count(t : Double) : Int {
    use r = Qubit(); mutable n = 0; Ry(t, r); while M(r) == Zero { Ry(t, r); n += 1; } Reset(r); n
}
operation Rus(t : Double, p : Double, qs : Qubit[]) : Unit {
    use r = Qubit(); Ry(t, r); while M(r) == Zero { Rx(p, qs[0]); Ry(t, r); } Reset(r);
}
operation RusZ(t : Double, p : Double) : Result {
    use (q, r) = (Qubit(), Qubit()); Ry(t, r); while M(r) == Zero { Rx(p, q); Ry(t, r); } Reset(r); MResetZ(q)
}
operation Inc(c : Qubit[], x : Qubit[]) : Unit is Adj + Ctl {
    Controlled X(c + [x[0], x[1]], x[2]); Controlled X(c + [x[0]], x[1]); Controlled X(c, x[0]);
}
operation Step(t : Double, x : Qubit[], c : Qubit, f : Qubit) : Bool {
    Ry(t, c);
    within { X(c); } apply { Adjoint Inc([c], x); }
    Inc([c], x);
    within { X(x[0]); X(x[1]); } apply { Controlled X([x[0], x[1]], f); }
    MResetZ(f) == One
}
operation WalkTime(t : Double) : Int {
    use x = Qubit[3]; use c = Qubit(); use f = Qubit(); mutable n = 0; mutable d = false;
    X(x[0]);
    repeat { n += 1; set d = Step(t, x, c, f); } until d;
    ResetAll(x); Reset(c); n
}
operation WalkEnd(t : Double) : Result {
    use x = Qubit[3]; use c = Qubit(); use f = Qubit(); mutable d = false;
    X(x[0]);
    repeat { set d = Step(t, x, c, f); } until d;
    let end = MResetZ(x[2]);
    ResetAll(x); Reset(c); end
}
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One derivative.

    Args:
        name: what is differentiated.
        entry: the operation.
        theta: the parameters.
        parameter: which one.
        starts: before the first occurrence of each site, how many occurrences a run has had.
        goal: least ratio to the published estimator.
    """

    name: str
    entry: str
    theta: tuple[float, ...]
    parameter: int
    starts: tuple[int, ...]
    goal: float


TABLE = (
    Case("repeat until success, Z, angle 0.7", "Rus", (1.0, 0.7), 1, (0,), 1.8),
    Case("the same with long loops", "Rus", (0.5, 0.7), 1, (0,), 1.8),
    Case("count", "Count", (1.0,), 0, (0, 1), 20.0),
    Case("the same with long loops", "Count", (0.5,), 0, (0, 1), 20.0),
    Case("quantum walk, which end", "WalkEnd", (1.0,), 0, (0,), 3.0),
    Case("quantum walk, time", "WalkTime", (1.0,), 0, (0,), 3.0),
)


def row(case: Case, shots: int, seeds: int) -> dict:
    """Variances a shot of one case."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import diffquantum
    from diffquantum.estimate import ExitMean, Roulette, Score, gradient
    from diffquantum.estimate.sampled import pauli_terms
    from diffquantum.simulate.shots import sample
    from diffquantum.transform.placed import placed
    from qml.operator import PauliSum

    program = diffquantum.load(SOURCE, entry=case.entry, qubits=1 if case.entry == "Rus" else None)
    observable = PauliSum({"Z": 1.0}) if program.register else None
    theta = jnp.array(case.theta)

    def variance(rule: object, shots: int, seeds: int) -> float:
        run = jax.jit(lambda key: gradient(program, observable, theta, key, shots, rule, parameters=(case.parameter,)))
        found = [run(key) for key in jax.random.split(jax.random.key(7), seeds)]
        return float(np.mean([s.variance[0] for s in found]))

    whole = placed(program, (case.parameter,))
    rng = np.random.default_rng(1)
    terms = pauli_terms(program, observable)
    given = {s.place: jnp.zeros(4000, int) for s in whole.sites} | {whole.turn: jnp.zeros(4000)}
    plain = sample(whole.program, theta, jax.random.key(0), 4000, observable=terms, given=given)
    longest = max(float(np.mean(np.asarray(n))) for n in plain.outputs[1 : 1 + len(whole.sites)])
    ratio = math.sqrt(1 - 1 / max(longest + 1, 2.0))
    site = rng.integers(len(whole.sites), size=shots)
    place = np.where([whole.sites[s].looped for s in site], rng.geometric(1 - ratio, size=shots), 1)
    chance = np.where([whole.sites[s].looped for s in site], (1 - ratio) * ratio ** (place - 1.0), 1.0) / len(
        whole.sites
    )
    given = {s.place: jnp.asarray(np.where(site == i, place, 0)) for i, s in enumerate(whole.sites)}
    given[whole.turn] = jnp.asarray(rng.choice([-1.0, 1.0], size=shots) * np.pi / 2)
    out = sample(
        whole.program, theta, jax.random.key(2), shots, observable=pauli_terms(program, observable), given=given
    )
    f = np.asarray(out.outputs[0]) * (1.0 if out.observable is None else np.asarray(out.observable))
    count = np.stack([np.asarray(n) for n in out.outputs[1 : 1 + len(whole.sites)]])[site, np.arange(shots)]
    sign = np.sign(np.asarray(given[whole.turn]))
    mean = np.mean((count >= place) * sign * f / chance)
    k = place + np.array(case.starts)[site]
    square = np.mean((count >= place) * f**2 / chance * k * np.log(k + np.e) ** 1.25)
    exact = diffquantum.expectation(program, observable)
    slope = float(jax.grad(exact)(theta)[case.parameter])
    published, shipped = NORM * square - slope**2, SHIPPED * square - slope**2
    ours = {
        rule: variance(r, shots, seeds)
        for rule, r in (("stratified", Roulette()), ("random", Roulette(stratified=False)))
    }
    best = ours["stratified"]
    others = {"score": variance(Score(), shots, 1)}
    if case.entry in ("Rus", "Count"):
        others["mean over exits"] = variance(ExitMean(), 2, 1)
    return {
        "case": case.name,
        "theta": case.theta,
        "derivative": slope,
        "by places": float(mean),
        "published": published,
        "as shipped": shipped,
        **ours,
        **others,
        "differences up to": crossover(program, observable, case.theta, case.parameter, best),
        "gain": published / best,
        "gain over shipped": shipped / best,
        "goal": case.goal,
    }


def crossover(program: object, observable: object, theta: tuple[float, ...], parameter: int, variance: float) -> float:
    """The number of shots up to which the best central difference, its step chosen in hindsight, has the smaller error.

    Of order 2, 4 or 6, the farthest point 1.5 away, or where loops stop to end there 80 % of the way; shots shared out
    by the sizes of the coefficients. Bias and variance of the difference are exact, from means and mean squares.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    import diffquantum
    from diffquantum.estimate.rules import STENCILS
    from diffquantum.ir import Binary
    from diffquantum.transform.simplify import number

    mean = diffquantum.expectation(program, observable)
    one = number(program)
    square = None
    if observable is None:
        squared = dataclasses.replace(program, outputs=(Binary("mul", one, one),), kind="double")
        square = diffquantum.expectation(squared)
    here = jnp.array(theta)
    slope = float(jax.grad(mean)(here)[parameter])
    many = jax.jit(jax.vmap(mean))
    many_squares = None if square is None else jax.jit(jax.vmap(square))
    most = 1.5 if parameter else 0.8 * theta[0]  # at angle 0 the loops never end
    bias, scatter = [], []
    for stencil in STENCILS.values():
        for h in np.geomspace(1e-3, most, 30) / len(stencil):
            moves = [(k + 1) * h * s for k in range(len(stencil)) for s in (1, -1)]
            ends = here[None, :] + jnp.zeros((len(moves), len(theta))).at[:, parameter].set(jnp.array(moves))
            values = np.array(many(ends))
            squares = 1.0 if square is None else np.array(many_squares(ends))
            weights = np.repeat(stencil, 2) * np.tile([1, -1], len(stencil)) / h
            bias.append(weights @ values - slope)
            scatter.append(np.sum(np.abs(weights)) * (np.abs(weights) @ (squares - values**2)))
    bias, scatter = np.array(bias), np.array(scatter)
    shots = np.geomspace(10, 1e14, 600)
    best = np.min(bias[None, :] ** 2 + scatter[None, :] / shots[:, None], axis=1)
    better = np.flatnonzero(best < variance / shots)
    return float(shots[better[-1]]) if len(better) else 0.0


def _simulator(build: Callable) -> Callable:
    def case():
        import jax
        import jax.numpy as jnp
        import numpy as np
        from peers import Pair

        import diffquantum
        from diffquantum.estimate import value

        program = diffquantum.load(SOURCE, entry="RusZ")
        theta, shots = jnp.array([1.0, 0.7]), 200_000
        keys = iter(range(1, 1000))
        rival = build(shots)

        def ours():
            return value(program, None, theta, jax.random.key(next(keys)), shots).mean

        def difference() -> float:
            return abs(float(np.mean([str(x) == "One" for x in rival()])) - float(ours()))

        return Pair(rival, ours, difference, f"{shots} shots of repeat until success; difference is statistical")

    case.__doc__ = build.__doc__
    return case


def interpreter(shots: int) -> Callable:
    """Shots of a repeat-until-success program against the interpreter of Q#."""
    import qdk

    context = qdk.Context()
    context.eval(SOURCE)
    return lambda: context.run("RusZ(1.0, 0.7)", shots)


def qir_simulator(shots: int) -> Callable:
    """Shots of a repeat-until-success program against the QIR simulator of qdk."""
    import qdk
    from qdk.simulation import run_qir

    context = qdk.Context(target_profile=qdk.TargetProfile.Adaptive)
    context.eval(SOURCE)
    qir = context.compile("RusZ(1.0, 0.7)")
    return lambda: run_qir(qir, shots=shots, type="cpu")


CASES = {
    "trajectories-rus-interpreter": ("qdk", _simulator(interpreter)),
    "trajectories-rus-qir": ("qdk", _simulator(qir_simulator)),
}


def main() -> None:
    """The table of variances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--case", type=int, help="one row only")
    arguments = parser.parse_args()
    import jax

    jax.config.update("jax_enable_x64", True)
    for case in TABLE if arguments.case is None else [TABLE[arguments.case]]:
        print(json.dumps(row(case, arguments.shots, arguments.seeds)), flush=True)


if __name__ == "__main__":
    main()
