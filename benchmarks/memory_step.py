"""Peak memory of one whole VMC step: a vision transformer on the J1-J2 model, sampled, measured, solved and judged.

    OPENBLAS_NUM_THREADS=1 python benchmarks/memory_step.py --length 10 --samples 4096

No chunk is given anywhere. Printed is one JSON line: the resident memory of the process before the step was compiled,
after, and its peak when the step is done (`ru_maxrss`, the Python interpreter and all libraries included), temporaries
by the compiler's count, and CPU and wall seconds of both. A network of this size takes minutes for a step, so that the
chains do a few moves only (`--sweep`) and are not thermalised; memory does not depend on that.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def resident() -> float:
    """GiB that the process holds now."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30


def peak() -> float:
    """GiB that the process ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(options: argparse.Namespace) -> dict:
    """Build the problem, compile one step, run it."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    import drivers
    import qml

    jax.config.update("jax_enable_x64", True)
    lattice = qml.lattice.Square(options.length, options.length)
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    dtype = jnp.float32 if options.single else jnp.float64
    model = qml.ansatz.ViT(
        lattice, layers=options.layers, features=options.features, heads=options.heads, dtype=dtype, rngs=nnx.Rngs(0)
    )
    chains = qml.sampler.Metropolis(
        qml.sampler.Exchange(), hilbert, chains=options.samples, sweep=options.sweep, burn=0
    )
    state = qml.MCState(model, hilbert, samples=options.samples, sampler=chains, burn=0, key=jax.random.key(1))
    hamiltonian = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.5)
    driver = drivers.VMC(hamiltonian, optax.sgd(0.02), precondition=qml.estimate.SR(shift=1e-3))
    carry = jax.block_until_ready(driver.init(state, None))
    out = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)), "before_gib": resident()}
    cpu, wall = time.process_time(), time.perf_counter()
    step = jax.jit(lambda carry: driver.step(carry)).lower(carry).compile()
    out |= {"compile_cpu_s": time.process_time() - cpu, "compile_wall_s": time.perf_counter() - wall}
    out |= {"temporaries_gib": step.memory_analysis().temp_size_in_bytes / 2**30, "compiled_gib": resident()}
    print(json.dumps(out), flush=True)
    cpu, wall = time.process_time(), time.perf_counter()
    carry, info = jax.block_until_ready(step(carry))
    out |= {"step_cpu_s": time.process_time() - cpu, "step_wall_s": time.perf_counter() - wall, "peak_gib": peak()}
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(carry["state"].params))
    out |= {"energy": float(info["energy"].mean), "taken": bool(info["taken"]), "finite": finite}
    return {**vars(options), **out, "load": os.getloadavg()[0]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (
        ("length", 10),
        ("samples", 4096),
        ("layers", 4),
        ("features", 60),
        ("heads", 10),
        ("sweep", 4),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--single", action="store_true", help="a trunk in 32 bits")
    print(json.dumps(measure(parser.parse_args())), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
