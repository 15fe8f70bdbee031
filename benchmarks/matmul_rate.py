"""How much of the machine a deep network uses: useful matrix products of local energies beside plain products.

    OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/matmul_rate.py --length 10

A vision transformer of 4 layers and 60 features on the J1-J2 model. Useful are the matrix products of one forward pass
for each non-zero element, counted in the traced network; padding and anything else that is done is not. The peak is the
best of square products of 512, 1024 and 2048. Both are called by turns; printed is one JSON line of medians.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")
SIZES = (512, 1024, 2048)


def products(program) -> float:
    """Floating-point operations of the matrix products of a traced program."""
    import numpy as np
    from jax.extend.core import jaxprs_in_params

    total = 0.0
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            (left, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2.0 * np.prod([shape[i] for i in left]) * equation.outvars[0].aval.size
        total += sum(products(inner) for inner in jaxprs_in_params(equation.params))
    return total


def seconds(call: Callable) -> float:
    """CPU seconds of one call."""
    import jax

    start = time.process_time()
    jax.block_until_ready(call())
    return time.process_time() - start


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=10)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from flax import nnx

    import qml

    lattice = qml.lattice.Square(arguments.length, arguments.length)
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    operator = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.5)
    model = qml.ansatz.ViT(lattice, layers=4, features=60, heads=10, rngs=nnx.Rngs(0))
    ansatz, params = qml.ansatz.to_ansatz(model, hilbert)
    x = hilbert.random_state(jax.random.key(0), arguments.samples)
    known = jax.jit(ansatz.log_psi)(params, x)
    local = jax.jit(lambda p, h, x, known: qml.estimate.local_values(ansatz, p, h, x, log_psi=known))
    one = products(jax.make_jaxpr(ansatz.log_psi)(params, x).jaxpr) / len(x)
    elements = int(jnp.sum(operator.connected(x)[1] != 0))

    multiply = jax.jit(jnp.matmul)
    squares = {n: jax.random.normal(jax.random.key(n), (n, n)) for n in SIZES}
    calls = {"network": lambda: local(params, operator, x, known)}
    calls |= {str(n): (lambda a=a: multiply(a, a)) for n, a in squares.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(arguments.repeats + 1):  # the first compiles
        for name, call in calls.items():
            times[name].append(seconds(call))
    middle = {name: statistics.median(found[1:]) for name, found in times.items()}
    rate = one * elements / middle["network"] / 1e9
    peaks = {n: 2.0 * n**3 / middle[str(n)] / 1e9 for n in SIZES}
    print(
        json.dumps(
            {
                "network": f"ViT {arguments.length}x{arguments.length}, {arguments.samples} samples",
                "elements": elements,
                "mflop_each": round(one / 1e6, 2),
                "gflop_per_s": round(rate, 1),
                "peak_gflop_per_s": {n: round(p, 1) for n, p in peaks.items()},
                "share": round(rate / max(peaks.values()), 3),
                "load": os.getloadavg()[0],
            }
        )
    )


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
