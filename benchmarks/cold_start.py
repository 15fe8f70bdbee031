"""Cost of starting, each in fresh processes by turns: imports, and everything up to the end of the first VMC step.

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/cold_start.py import cold-start --repeats 3

One JSON line a case: median CPU seconds of the whole process so far, and for `cold-start` the number of XLA
compilations. `floor` is `import jax, flax, optax` alone. The problem: TFIM chain of 64 sites,
real RBM of density 1, 1008 samples, 16 chains.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NETKET_NO_ASCII_LOGO", "1")

CASES = {"import": ("floor", "NetKet", "gradket"), "cold-start": ("NetKet", "gradket")}
SITES, SAMPLES, CHAINS = 64, 1008, 16


def counted() -> list:
    """A list that grows by one for each XLA compilation."""
    import jax

    seen: list = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: seen.append(seconds) if name.endswith("backend_compile_duration") else None
    )
    return seen


def start_import(code: str) -> dict:
    """Import all that the first VMC step needs."""
    if code == "floor":
        import flax.nnx  # noqa: F401
        import optax
    elif code == "NetKet":
        import netket  # noqa: F401
        import optax  # noqa: F401
    else:
        import drivers
        import qml

        _ = (qml.MCState, qml.ansatz.RBM, qml.operator.Ising, qml.lattice.Chain, drivers.VMC, qml.estimate.SR)
    return {}


def start_step(code: str) -> dict:
    """Build the problem and do one step."""
    import jax

    jax.config.update("jax_enable_x64", True)
    seen = counted()
    import optax

    if code == "NetKet":
        import netket as nk

        space, graph = nk.hilbert.Spin(0.5, SITES), nk.graph.Chain(SITES)
        state = nk.vqs.MCState(
            nk.sampler.MetropolisLocal(space, n_chains=CHAINS), nk.models.RBM(alpha=1, param_dtype=float),
            n_samples=SAMPLES,
        )  # fmt: skip
        operator = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
        driver = nk.driver.VMC_SR(operator, optax.sgd(0.01), variational_state=state, diag_shift=0.01)
        driver.run(1, show_progress=False, out=None)
        return {"compilations": len(seen)}
    from flax import nnx

    import drivers
    import qml

    space = qml.hilbert.Spin(SITES)
    operator = qml.operator.Ising(space, qml.lattice.Chain(SITES), j=-1.0, h=1.0)
    model = qml.ansatz.RBM(space, alpha=1, rngs=nnx.Rngs(0))
    state = qml.MCState(model, space, samples=SAMPLES, chains=CHAINS, key=jax.random.key(0))
    driver = drivers.VMC(operator, optax.sgd(0.01), precondition=qml.estimate.SR(shift=0.01))
    found: dict = {}

    def after(record) -> None:
        found.update({"compilations": len(seen), "cpu": time.process_time()})

    driver.run(state, steps=1, progress=False, callbacks=[after])  # then measures the energy: not the first step
    return found


def child(case: str, code: str) -> None:
    """Do it, and print what it took since the process began."""
    found = (start_import if case == "import" else start_step)(code)
    print(json.dumps({"cpu": time.process_time(), **found}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    for case in arguments.cases:
        codes = [c for c in CASES[case] if c != "NetKet" or importlib.util.find_spec("netket")]
        runs: dict[str, list[dict]] = {code: [] for code in codes}
        for _ in range(arguments.repeats):
            for code, found in runs.items():
                command = [sys.executable, "-W", "ignore", __file__, "--child", case, code]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found.append(json.loads(output.splitlines()[-1]))
        middle = {c: {q: statistics.median(r[q] for r in f) for q in f[0]} for c, f in runs.items()}
        ratio = middle["NetKet"]["cpu"] / middle["gradket"]["cpu"] if "NetKet" in middle else None
        print(json.dumps({"case": case, "ratio": ratio, "load": os.getloadavg()[0], **middle}), flush=True)


if __name__ == "__main__":
    import pathlib

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
