"""Comparisons of Markov chain sampling: the same wave function, the same number of moves. See `peers.py`."""

from collections.abc import Callable


def metropolis(chains: int, sweeps: int, sites: int = 64) -> Callable:
    """A case: single flips under a real RBM of density 1 on the TFIM chain."""

    def case():
        import jax
        import jax.numpy as jnp
        import netket as nk
        from flax import nnx
        from peers import Pair

        import qml

        space = nk.hilbert.Spin(0.5, sites)
        theirs = nk.vqs.MCState(
            nk.sampler.MetropolisLocal(space, n_chains=chains),
            nk.models.RBM(alpha=1, param_dtype=float),
            n_samples=chains * sweeps,
            n_discard_per_chain=0,
            seed=1,
            sampler_seed=2,
        )
        numbers = theirs.parameters
        hilbert = qml.hilbert.Spin(sites)
        model = qml.ansatz.RBM(hilbert, alpha=1, rngs=nnx.Rngs(0))
        ours = qml.MCState(model, hilbert, chains * sweeps, chains, key=jax.random.key(2), burn=0)
        ours = ours.with_params(
            {
                "visible_bias": numbers["visible_bias"],
                "hidden_bias": numbers["Dense"]["bias"],
                "kernel": numbers["Dense"]["kernel"],
            }
        )
        draw, box = jax.jit(lambda state: state.sample()), [ours]

        def rival():
            theirs.reset()
            return theirs.samples

        def mine():
            box[0], samples = draw(box[0])
            return samples.x

        def difference() -> float:
            rows = (jnp.asarray(rival()).reshape(-1, sites).astype(float), mine().astype(float))
            zz = [jnp.mean(s * jnp.roll(s, 1, axis=1)) for s in rows]
            return float(jnp.abs(zz[0] - zz[1]))

        how = f"TFIM {sites}, RBM alpha=1, {chains} chains x {sweeps} sweeps; difference: <Z Z> (statistical)"
        return Pair(rival, mine, difference, how)

    case.__doc__ = f"Metropolis sampling, {chains} chains."
    return case


CASES = {
    "sample-tfim64-16": ("NetKet", metropolis(16, 63)),
    "sample-tfim64-1008": ("NetKet", metropolis(1008, 4)),
}
