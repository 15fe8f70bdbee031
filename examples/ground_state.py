"""Ground state of the frustrated J1-J2 square lattice with a group-convolutional network, beside exact diagonalisation.

python examples/ground_state.py [--small]
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import optax
from flax import nnx

import drivers
import qml
import symmetries

small = "--small" in sys.argv
lattice = qml.lattice.Square(2, 4, periodic=(False, True)) if small else qml.lattice.Square(4, 4)
hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
hamiltonian = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.0 if small else 0.5)
sector = symmetries.Sector(symmetries.space_group(lattice))
ansatz = qml.ansatz.GCNN(sector, layers=1 if small else 2, features=4, rngs=nnx.Rngs(0))
state = qml.MCState(ansatz, hilbert, samples=128 if small else 1024, chains=64, key=jax.random.key(1))
driver = drivers.VMC(hamiltonian, optax.sgd(0.05), precondition=qml.estimate.SR(shift=1e-2))
result = driver.run(state, steps=10 if small else 200, out="runs/ground_state")
print(result)

exact = qml.exact.ground_state(hamiltonian).energies[0]
print(f"exact         {exact:.6f}")
drivers.plot.energy(result.history, exact, out="runs/ground_state/plots/energy.png")
