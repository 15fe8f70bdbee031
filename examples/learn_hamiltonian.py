"""Learn the couplings of a thermal spin chain from measured shots, with an error bar on every coupling.

python examples/learn_hamiltonian.py [--small]
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import drivers
import qml

small = "--small" in sys.argv
lattice = qml.lattice.Chain(3 if small else 4, periodic=False)
hilbert = qml.hilbert.Spin(lattice.n_sites)
model = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
theta = 0.4 * jax.random.normal(jax.random.key(3), model.theta.shape)
shots = model.with_theta(theta).sample(jax.random.key(4), shots=1_000 if small else 20_000)  # of each of nine bases
print(shots)

driver = drivers.QPMD(qml.gibbs.DataObjective(shots), step_size=0.5)
result = driver.run(model, steps=100, out="runs/learn_hamiltonian")
learned = result.state.hamiltonian(beta=1.0)
print(result)
print(f"goodness of fit: {qml.gibbs.goodness_of_fit(result.state, shots, len(theta)).total:.2f} sigma")
print("  term      learned      true      z")
for k, term in enumerate(learned.terms):
    found = learned.coefficients[k]
    print(f"{term:>6} {found!s:>12} {theta[k]:9.4f} {(found.mean - theta[k]) / found.error:6.2f}")
drivers.plot.coefficients(result.state, theta, out="runs/learn_hamiltonian/plots/couplings.png")
