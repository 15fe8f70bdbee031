"""Local updates of convolutions: a sweep of chains and local energies with them, and by the whole network.

    OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/window_updates.py

Printed is one line for each network: the share of all tokens that the windows of one site hold, KiB that a chain keeps,
and CPU milliseconds by the network and by updates, medians of calls by turns.
"""

import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
CHAINS, MOVES, REPEATS = 64, 16, 5


def seconds(calls: list) -> list[float]:
    """Median CPU milliseconds of each of some calls, made by turns."""
    import jax

    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        jax.block_until_ready(call())
    for _ in range(REPEATS):
        for call, kept in zip(calls, times, strict=True):
            begin = time.process_time()
            jax.block_until_ready(call())
            kept.append(1e3 * (time.process_time() - begin))
    return [statistics.median(kept) for kept in times]


def measure(name: str, lattice, make, exchange: bool) -> str:
    """One network on one lattice: flips and the Ising model, or exchanges and the Heisenberg model."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import qml
    from qml.ansatz import window_updates
    from qml.sampler.base import SamplerState

    window_updates.SHARE, window_updates.HELD = 10.0, 2**40
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0 if exchange else None)
    ansatz, params = qml.ansatz.to_ansatz(make(lattice), hilbert)
    plain = qml.ansatz.to_ansatz((params, ansatz.apply), hilbert)[0]
    rule = qml.sampler.Exchange() if exchange else qml.sampler.LocalFlip()
    sampler = qml.sampler.Metropolis(rule, hilbert, chains=CHAINS, sweep=MOVES)
    model = qml.operator.Heisenberg if exchange else qml.operator.Ising
    operator = model(hilbert, lattice) if exchange else model(hilbert, lattice, j=-1.0, h=1.0)
    x = hilbert.random_state(jax.random.key(0), CHAINS)
    zero = jnp.zeros(CHAINS, jnp.int32)

    def sweep(one):
        state = SamplerState(x, jnp.zeros(CHAINS, one.dtype), jax.random.key(1), zero, jnp.zeros((), jnp.int32))
        return sampler.sample(one, params, state, 1)[1]

    def local(one):
        return qml.estimate.local_values(one, params, operator, x)

    assert np.array_equal(sweep(ansatz), sweep(plain))
    difference = float(jnp.abs(local(ansatz) - local(plain)).max())
    sweeps = seconds([lambda: sweep(plain), lambda: sweep(ansatz)])
    energies = seconds([lambda: local(plain), lambda: local(ansatz)])
    windows = ansatz.updates.windows
    cache = jax.eval_shape(ansatz.updates.init, params, x)
    held = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(cache)) / CHAINS / 2**10
    parts = [f"{a:.1f} -> {b:.1f} ms ({a / b:.1f}x)" for a, b in (sweeps, energies)]
    kind = "exchanges" if exchange else "flips"
    what = f"{name}, {kind}: share {windows.share:.2f}, {held:.0f} KiB"
    return f"{what}; sweep {parts[0]}; local energies {parts[1]}, difference {difference:.0e}"


def main() -> None:
    """All networks."""
    import jax
    from flax import nnx

    jax.config.update("jax_enable_x64", True)
    from qml.ansatz import ConvNeXt, ResConv
    from qml.lattice import Chain, Square

    def residual(layers: int, features: int):
        return lambda lattice: ResConv(lattice, layers=layers, features=features, rngs=nnx.Rngs(0))

    def next_(layers: int, features: int, patch: int):
        return lambda lattice: ConvNeXt(lattice, layers=layers, features=features, patch=patch, rngs=nnx.Rngs(0))

    cases = (
        ("ResConv(layers=1, features=16), chain 64", Chain(64), residual(1, 16)),
        ("ResConv(layers=2, features=16), chain 64", Chain(64), residual(2, 16)),
        ("ResConv(layers=2, features=16), chain 32", Chain(32), residual(2, 16)),
        ("ResConv(layers=4, features=32), chain 64", Chain(64), residual(4, 32)),
        ("ConvNeXt(layers=2, features=32), chain 64", Chain(64), next_(2, 32, 2)),
        ("ConvNeXt(layers=4, features=32), chain 64", Chain(64), next_(4, 32, 2)),
        ("ResConv(layers=1, features=16), 10x10", Square(10, 10), residual(1, 16)),
        ("ConvNeXt(layers=2, features=32), 10x10, patch 1", Square(10, 10), next_(2, 32, 1)),
        ("ResConv(layers=1, features=16), 6x6", Square(6, 6), residual(1, 16)),
    )
    for name, lattice, make in cases:
        for exchange in (False, True):
            print(measure(name, lattice, make, exchange), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
