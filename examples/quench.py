"""A quantum quench: all spins along x, then the transverse-field Ising chain evolves them; beside exact evolution.

python examples/quench.py [--small]
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

from flax import nnx

import drivers
import qml

small = "--small" in sys.argv
lattice = qml.lattice.Chain(4 if small else 8)
hilbert = qml.hilbert.Spin(lattice.n_sites)
ansatz = qml.ansatz.RBM(hilbert, alpha=2, dtype=complex, rngs=nnx.Rngs(0))  # small weights: nearly all along x
state = qml.FullSumState(ansatz, hilbert)
quench = qml.operator.Ising(hilbert, lattice, j=-1.0, h=0.5)
observe = {"mx": qml.operator.total(hilbert, "X") / lattice.n_sites}
driver = drivers.TDVP(quench, drivers.Heun(rtol=1e-4), precondition=qml.estimate.SR(cutoff=1e-8))
result = driver.run(state, time=0.1 if small else 1.0, observe=observe, every=0.05, out="runs/quench")
print(result)

times = result.history["time"]
vectors = qml.exact.evolve(quench, state.to_array(), times).vectors
print("   time   found     exact")
for t, found, vector in zip(times, result.history["mx.mean"], vectors, strict=True):
    print(f"{t:7.3f} {found:9.5f} {qml.exact.expect(vector, observe['mx']).real:9.5f}")
drivers.plot.observable(result.history, "mx", out="runs/quench/plots/mx.png")
