"""Comparisons of local energies of restricted Boltzmann machines on the square lattice. See `peers.py`."""

from collections.abc import Callable


def frustrated(dtype: type, samples: int = 512, length: int = 6) -> Callable:
    """A case: J1-J2 at J2/J1 = 0.5 on a torus, magnetisation zero, RBM of density 4."""

    def case():
        import jax
        import jax.numpy as jnp
        import netket as nk
        from flax import nnx
        from peers import Pair

        import qml

        sites = length**2
        graph = nk.graph.Square(length, max_neighbor_order=2)
        space = nk.hilbert.Spin(0.5, sites, total_sz=0)
        theirs_h = nk.operator.Heisenberg(space, graph, J=[1.0, 0.5], sign_rule=[False, False])
        theirs = nk.vqs.MCState(
            nk.sampler.MetropolisExchange(space, graph=graph, d_max=2, n_chains=16),
            nk.models.RBM(alpha=4, param_dtype=dtype),
            n_samples=samples,
            n_discard_per_chain=0,
            seed=1,
            sampler_seed=2,
        )
        lattice, hilbert = qml.lattice.Square(length, length), qml.hilbert.Spin(sites, magnetisation=0)
        ours_h = qml.operator.J1J2(hilbert, lattice, j1=4.0, j2=2.0)  # the rival's is in Pauli matrices
        ansatz, _ = qml.ansatz.to_ansatz(qml.ansatz.RBM(hilbert, alpha=4, dtype=dtype, rngs=nnx.Rngs(0)), hilbert)
        numbers = theirs.parameters
        params = {
            "visible_bias": numbers["visible_bias"],
            "hidden_bias": numbers["Dense"]["bias"],
            "kernel": numbers["Dense"]["kernel"],
        }
        x = jnp.asarray(theirs.samples).reshape(-1, sites).astype(jnp.int8)
        kernel = jax.jit(lambda params, h: qml.estimate.local_values(ansatz, params, h, x))

        def rival():
            return theirs.local_estimators(theirs_h)

        def mine():
            return kernel(params, ours_h)

        def difference() -> float:
            return float(jnp.abs(rival().reshape(-1) - mine()).max())

        how = f"J1-J2 {length}x{length}, {dtype.__name__} RBM alpha=4, local energies of the same {samples} samples"
        return Pair(rival, mine, difference, how)

    case.__doc__ = f"Local energies, J1-J2 {length}x{length}, {dtype.__name__} RBM of density 4."
    return case


CASES = {
    "local-energy-j1j2-6x6": ("NetKet", frustrated(float)),
    "local-energy-j1j2-6x6-complex": ("NetKet", frustrated(complex)),
}
