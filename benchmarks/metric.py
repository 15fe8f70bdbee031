"""Comparisons of metric solves: minSR updates of dense networks and of a vision transformer on the same samples.

See `peers.py`, which runs these cases. The rival assembles its kernel on the fly too (`srt_onthefly`); both take
derivatives, kernel, solve and the update from given configurations and local energies.
"""

from collections.abc import Callable

from networks import min_sr


def dense_network(alpha: int, samples: int = 1008, sites: int = 64) -> Callable:
    """A case: the update of minSR of a real RBM on the TFIM chain."""

    def case():
        import jax
        import jax.numpy as jnp
        import netket as nk
        from flax import nnx
        from netket._src.ngd.srt_onthefly import srt_onthefly
        from netket.optimizer.solver import cholesky
        from peers import Pair

        import qml

        space = nk.hilbert.Spin(0.5, sites)
        theirs = nk.vqs.MCState(
            nk.sampler.MetropolisLocal(space, n_chains=16),
            nk.models.RBM(alpha=alpha, param_dtype=float),
            n_samples=samples,
            seed=1,
            sampler_seed=2,
        )
        local = theirs.local_estimators(nk.operator.IsingJax(space, nk.graph.Chain(sites), h=1.0, J=-1.0)).reshape(-1)
        x = jnp.asarray(theirs.samples).reshape(-1, sites)
        numbers = theirs.parameters
        params = {
            "visible_bias": numbers["visible_bias"],
            "hidden_bias": numbers["Dense"]["bias"],
            "kernel": numbers["Dense"]["kernel"],
        }
        hilbert = qml.hilbert.Spin(sites)
        ansatz, _ = qml.ansatz.to_ansatz(qml.ansatz.RBM(hilbert, alpha=alpha, rngs=nnx.Rngs(0)), hilbert)
        rule = qml.estimate.SR(shift=0.01)
        rows = qml.estimate.Samples(x.astype(jnp.int8), jnp.full(samples, 1 / samples), jnp.zeros(samples), samples)
        kernel = jax.jit(lambda p, rows, local: rule.direction(ansatz, p, rows, local))

        def rival():
            return srt_onthefly(
                theirs._apply_fun,
                local,
                numbers,
                {},
                x,
                diag_shift=0.01,
                solver_fn=cholesky,
                mode="real",
                chunk_size=None,
            )[0]

        def mine():
            return kernel(params, rows, local)

        def difference() -> float:
            a, b = mine().update, rival()
            pairs = (
                (a["kernel"], b["Dense"]["kernel"]),
                (a["hidden_bias"], b["Dense"]["bias"]),
                (a["visible_bias"], b["visible_bias"]),
            )
            return max(float(jnp.abs(p - q / 2).max()) for p, q in pairs)  # NetKet solves S x = 2 F

        memory = kernel.lower(params, rows, local).compile().memory_analysis()
        how = (
            f"TFIM {sites}, RBM alpha={alpha}, {sum(p.size for p in jax.tree.leaves(params))} parameters, {samples} "
            f"samples, minSR update at shift 0.01, form '{mine().form}', "
            f"{memory.temp_size_in_bytes / 2**20:.0f} MiB of temporaries; rival srt_onthefly"
        )
        return Pair(rival, mine, difference, how)

    case.__doc__ = f"minSR update of an RBM of density {alpha}, {samples} samples, 64 sites."
    return case


CASES: dict[str, tuple[str, Callable]] = {
    "minsr-rbm-4k": ("NetKet", dense_network(1)),
    "minsr-rbm-17k": ("NetKet", dense_network(4)),
    "minsr-vit-6x6-256": ("NetKet", min_sr(6, 256)),
    "minsr-vit-6x6-256-f32": ("NetKet", min_sr(6, 256, single=True)),
}
