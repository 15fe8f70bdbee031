"""Rival and gradket on the same input, in one process, called alternately; one JSON line a case.

    pip install -e ".[bench]"
    python benchmarks/peers.py --list
    python benchmarks/peers.py vmc-step-tfim64 --repeats 7
    taskset -c 0 python benchmarks/peers.py all          # one pinned core: read "cpu"
    OPENBLAS_NUM_THREADS=1 python benchmarks/peers.py all   # two cores: read "wall"

`ratio` is the rival's median process-CPU time over ours (above 1: gradket is faster); `wall_ratio` that of wall time.
`max_abs_difference` compares the results, so that a fast wrong answer shows.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from derivatives import CASES as DERIVATIVES
from direct_sampling import CASES as DIRECT
from evolution import CASES as EVOLUTION
from gibbs_states import CASES as GIBBS
from local_energies import CASES as LOCAL
from metric import CASES as METRIC
from networks import CASES as NETWORKS
from samplers import CASES as SAMPLERS

PAUSE = 0.05  # seconds after each call

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NETKET_NO_ASCII_LOGO", "1")
os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")


class Pair(NamedTuple):
    """One comparison: two thunks that do the same work, and the largest difference of their answers."""

    rival: Callable[[], object]
    ours: Callable[[], object]
    difference: Callable[[], float]
    how: str


def _tfim64():
    """TFIM chain of 64 sites, real RBM of density 1, the same parameters and the same 1008 samples on both sides."""
    import jax
    import jax.numpy as jnp
    import netket as nk
    from flax import nnx

    import qml

    sites, samples, chains = 64, 1008, 16
    space = nk.hilbert.Spin(0.5, sites)
    graph = nk.graph.Chain(sites)
    theirs_h = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
    theirs = nk.vqs.MCState(
        nk.sampler.MetropolisLocal(space, n_chains=chains),
        nk.models.RBM(alpha=1, param_dtype=float),
        n_samples=samples,
        n_discard_per_chain=0,
        seed=1,
        sampler_seed=2,
    )
    hilbert = qml.hilbert.Spin(sites)
    ours_h = qml.operator.Ising(hilbert, qml.lattice.Chain(sites), j=-1.0, h=1.0)
    model = qml.ansatz.RBM(hilbert, alpha=1, dtype=float, rngs=nnx.Rngs(0))
    ours = qml.MCState(model, hilbert, samples=samples, chains=chains, key=jax.random.key(2), burn=0)
    numbers = theirs.parameters
    ours = ours.with_params(
        {
            "visible_bias": numbers["visible_bias"],
            "hidden_bias": numbers["Dense"]["bias"],
            "kernel": numbers["Dense"]["kernel"],
        }
    )
    x = jnp.asarray(theirs.samples).reshape(-1, sites)
    return theirs, theirs_h, ours, ours_h, x


def vmc_step() -> Pair:
    """One whole VMC step: sampling, local energies, minSR, update."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import netket as nk
    import optax

    import drivers
    import qml

    theirs, theirs_h, ours, ours_h, x = _tfim64()
    shift, rate = 0.01, 0.01
    driver = nk.driver.VMC_SR(
        theirs_h, nk.optimizer.Sgd(rate), variational_state=theirs, diag_shift=shift, use_ntk=True, on_the_fly=True
    )
    numbers = jax.tree.map(jnp.copy, theirs.parameters)
    precondition = qml.estimate.SR(shift=shift)
    vmc = drivers.VMC(ours_h, optax.sgd(rate), precondition=precondition)
    carry = [vmc.init(ours, jax.random.key(5))]
    step = eqx.filter_jit(lambda driver, carry: driver.step(carry))

    def rival():
        driver.run(1, show_progress=False, out=None)
        return theirs.parameters

    def mine():
        carry[0], info = step(vmc, carry[0])
        return info

    def difference() -> float:
        from netket._src.ngd.srt_onthefly import srt_onthefly
        from netket.optimizer.solver import cholesky

        rows = qml.estimate.Samples(x, jnp.full(len(x), 1 / len(x)), ours.log_psi(x), len(x))
        local = qml.estimate.local_values(ours.ansatz, ours.params, ours_h, x)
        direction = precondition.direction(ours.ansatz, ours.params, rows, local)
        update, *_ = srt_onthefly(
            theirs._apply_fun, local, numbers, {}, x, diag_shift=shift, solver_fn=cholesky, mode="real", chunk_size=None
        )
        pairs = (
            (update["Dense"]["kernel"], direction.update["kernel"]),
            (update["Dense"]["bias"], direction.update["hidden_bias"]),
            (update["visible_bias"], direction.update["visible_bias"]),
        )
        return max(float(jnp.abs(a / 2 - b).max()) for a, b in pairs)  # NetKet solves S x = 2 F

    how = "TFIM 64, RBM alpha=1, 1008 samples, 16 chains; rival VMC_SR(use_ntk, on_the_fly); difference: SR update"
    return Pair(rival, mine, difference, how)


def local_energy() -> Pair:
    """Local energies of 1008 configurations."""
    import jax
    import jax.numpy as jnp

    import qml

    theirs, theirs_h, ours, ours_h, x = _tfim64()
    kernel = jax.jit(lambda params, h: qml.estimate.local_values(ours.ansatz, params, h, x))

    def rival():
        return theirs.local_estimators(theirs_h)

    def mine():
        return kernel(ours.params, ours_h)

    def difference() -> float:
        return float(jnp.abs(rival().reshape(-1) - mine()).max())

    return Pair(rival, mine, difference, "TFIM 64, RBM alpha=1, local energies of the same 1008 configurations")


def sampling() -> Pair:
    """One production run of the sampler: 63 sweeps of 16 chains."""
    import jax
    import jax.numpy as jnp

    theirs, _, ours, _, _ = _tfim64()
    draw = jax.jit(lambda state: state.sample())
    box = [ours]

    def rival():
        theirs.reset()
        return theirs.samples

    def mine():
        box[0], samples = draw(box[0])
        return samples.x

    def difference() -> float:
        a = jnp.concatenate([jnp.asarray(rival()).reshape(-1, 64) for _ in range(20)]).astype(float)
        b = jnp.concatenate([mine() for _ in range(20)]).astype(float)
        zz = [jnp.mean(s * jnp.roll(s, 1, axis=1)) for s in (a, b)]
        return float(jnp.abs(zz[0] - zz[1]))

    how = "TFIM 64, RBM alpha=1, 16 chains x 63 sweeps; difference: <Z Z> over 20 draws each (statistical)"
    return Pair(rival, mine, difference, how)


def _lanczos(model: str, sites: int) -> Callable[[], Pair]:
    where = "TFIM chain" if model == "tfim" else "Heisenberg chain, Sz = 0"

    def case() -> Pair:
        import netket as nk
        from one_shot import operators

        import qml

        theirs, ours = operators(model, sites, "NetKet"), operators(model, sites, "gradket")

        def rival():
            return nk.exact.lanczos_ed(theirs, k=1)

        def mine():
            return qml.exact.ground_state(ours).energies

        how = f"{where}, {sites} sites, compiled; lanczos_ed at its defaults (no vector), ours with vector and residual"
        return Pair(rival, mine, lambda: abs(float(rival()[0]) - float(mine()[0])), how)

    case.__doc__ = f"Lowest level of the {where}, {sites} sites, programs compiled before; see one_shot.py."
    return case


def _connected_j1j2(rival_kind: str, batch: int) -> Pair:
    """All matrix elements of some configurations of J1-J2 on 10x10: states and elements, ours without padded zeros."""
    import jax
    import jax.numpy as jnp
    import netket as nk
    import numpy as np

    import qml
    from qml.operator.compact import capacity_for

    length, (j1, j2) = 10, (1.0, 0.5)
    graph = nk.graph.Square(length, max_neighbor_order=2)
    space = nk.hilbert.Spin(0.5, length**2)
    theirs = nk.operator.Heisenberg(space, graph, J=[j1, j2], sign_rule=[False, False])
    theirs = (theirs.to_pauli_strings() if rival_kind == "pauli" else theirs).to_jax_operator()
    lattice = qml.lattice.Square(length, length)
    # NetKet's Heisenberg is in Pauli matrices: four times S.S
    ours = qml.operator.J1J2(qml.hilbert.Spin(length**2), lattice, j1=4 * j1, j2=4 * j2)
    x = qml.hilbert.Spin(length**2, magnetisation=0).random_state(jax.random.key(0), batch)
    capacity = capacity_for(ours, x)
    padded = jax.jit(lambda operator, x: operator.get_conn_padded(x))
    packed = jax.jit(lambda operator, x: (operator.diagonal(x), operator.compacted(x, capacity)))

    def rival():
        return padded(theirs, x)

    def mine():
        return packed(ours, x)

    def elements(rows, states, values) -> tuple[np.ndarray, np.ndarray]:
        """Keys (row, state) and elements of one code, sorted, without zeros."""
        keep = np.flatnonzero(np.asarray(values))
        bits = np.packbits(np.asarray(states)[keep] > 0, axis=1)
        keys = np.concatenate([np.asarray(rows, ">u4")[keep, None].view(np.uint8), bits], axis=1)
        order = np.lexsort(keys.T[::-1])
        return keys[order], np.asarray(values)[keep][order]

    def difference() -> float:
        (states, values), (diagonal, found) = rival(), mine()
        rows = np.repeat(np.arange(batch), values.shape[1])
        a = elements(rows, np.asarray(states).reshape(len(rows), -1), np.asarray(values).reshape(-1))
        rows = np.concatenate([np.arange(batch), np.asarray(found.rows)])
        b = elements(
            rows, jnp.concatenate([x, found.states]), np.concatenate([np.asarray(diagonal), np.asarray(found.elements)])
        )
        same = a[0].shape == b[0].shape and np.array_equal(a[0], b[0])
        return float(np.max(np.abs(a[1] - b[1]))) if same and bool(found.fits) else float("inf")

    used = int(jnp.sum(mine()[1].rows < batch))
    how = (
        f"J1-J2 {length}x{length}, {batch} configurations of zero magnetisation, {used} non-zero off-diagonal; "
        f"{type(theirs).__name__}.get_conn_padded has {rival()[1].size} slots, ours {capacity} and the diagonal apart; "
        "difference: the sorted set of (row, configuration, element)"
    )
    return Pair(rival, mine, difference, how)


def connected_local(batch: int = 256) -> Pair:
    """Connected elements of J1-J2 10x10, against LocalOperatorJax."""
    return _connected_j1j2("local", batch)


def connected_pauli(batch: int = 256) -> Pair:
    """Connected elements of J1-J2 10x10, against PauliStringsJax."""
    return _connected_j1j2("pauli", batch)


CASES: dict[str, tuple[str, Callable[[], Pair]]] = {
    "vmc-step-tfim64": ("NetKet", vmc_step),
    "local-energy-tfim64": ("NetKet", local_energy),
    "sampling-tfim64": ("NetKet", sampling),
    "lanczos-tfim16": ("NetKet", _lanczos("tfim", 16)),
    "lanczos-tfim18": ("NetKet", _lanczos("tfim", 18)),
    "lanczos-heisenberg18": ("NetKet", _lanczos("heisenberg", 18)),
    "connected-j1j2-10x10": ("NetKet", connected_local),
    "connected-j1j2-10x10-pauli": ("NetKet", connected_pauli),
    "connected-j1j2-10x10-1008": ("NetKet", functools.partial(connected_local, 1008)),
    "connected-j1j2-10x10-pauli-1008": ("NetKet", functools.partial(connected_pauli, 1008)),
    **NETWORKS,
    **LOCAL,
    **SAMPLERS,
    **DIRECT,
    **GIBBS,
    **METRIC,
    **DERIVATIVES,
    **EVOLUTION,
}


def measure(pair: Pair, repeats: int) -> dict:
    """Call both alternately; medians of process-CPU and wall time."""
    import jax

    times = {"rival": ([], []), "ours": ([], [])}
    for name in times:
        jax.block_until_ready(getattr(pair, name)())
    for _ in range(repeats):
        for name, (cpu, wall) in times.items():
            c, w = time.process_time(), time.perf_counter()
            jax.block_until_ready(getattr(pair, name)())
            wall.append(time.perf_counter() - w)
            time.sleep(PAUSE)  # threads that still free memory belong to this call, not to the next
            cpu.append(time.process_time() - c)
    rival, ours = ({"cpu": statistics.median(c), "wall": statistics.median(w)} for c, w in times.values())
    return {
        "rival_seconds": rival,
        "our_seconds": ours,
        "ratio": rival["cpu"] / ours["cpu"],
        "wall_ratio": rival["wall"] / ours["wall"],
    }


def run_case(name: str, repeats: int) -> dict:
    """Build, measure and compare one case."""
    import importlib.metadata

    rival, build = CASES[name]
    pair = build()
    difference = pair.difference()
    numbers = measure(pair, repeats)
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "case": name,
        "rival": f"{rival} {importlib.metadata.version(rival.lower())}",
        "ours": "gradket",
        "ratio": numbers.pop("ratio"),
        "max_abs_difference": difference,
        "how": pair.how,
        **numbers,
        "cores": affinity,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
        "repeats": repeats,
    }


def _summary(build: Callable[[], Pair]) -> str:
    inner = build.func if isinstance(build, functools.partial) else build
    more = f" ({build.args[0]} configurations)" if isinstance(build, functools.partial) else ""
    return (inner.__doc__ or "").strip().rstrip(".") + more


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=[*CASES, "all"])
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.list or arguments.case is None:
        for name, (rival, build) in CASES.items():
            print(f"{name:28} {rival:8} {_summary(build)}")
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    for name in CASES if arguments.case == "all" else [arguments.case]:
        with contextlib.suppress(KeyboardInterrupt):
            print(json.dumps(run_case(name, arguments.repeats)), flush=True)


if __name__ == "__main__":
    import pathlib
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
