"""Comparisons of direct sampling: 256 configurations of autoregressive networks on 64 sites.

Both codes have the same network with the same numbers; see `peers.py`, which runs these cases.
"""

from collections.abc import Callable

SITES, SAMPLES, LAYERS, FEATURES, KERNEL = 64, 256, 3, 16, 5


def networks(kind: str) -> tuple:
    """The rival's model, ours, and our parameters from the rival's."""
    import jax.numpy as jnp
    import netket as nk
    from flax import nnx

    import qml
    from qml.ansatz.causal import _unfolded

    space, hilbert = nk.hilbert.Spin(0.5, SITES), qml.hilbert.Spin(SITES)
    if kind == "dense":
        theirs = nk.models.ARNNDense(hilbert=space, layers=LAYERS, features=FEATURES)
        network = qml.ansatz.CausalDense(layers=LAYERS, features=FEATURES)
    else:
        rival = nk.models.ARNNConv1D if kind == "conv" else nk.models.FastARNNConv1D
        theirs = rival(hilbert=space, layers=LAYERS, features=FEATURES, kernel_size=KERNEL)
        network = qml.ansatz.CausalConv(layers=LAYERS, features=FEATURES, kernel=KERNEL)
    model = qml.ansatz.Autoregressive(hilbert, network, rngs=nnx.Rngs(0))
    ansatz, params = qml.ansatz.to_ansatz(model, hilbert)

    def translated(numbers: dict) -> dict:
        weights = {}
        for k in range(LAYERS):
            new, old = numbers[f"_layers_{k}"], params["weights"][f"layer{k}"]["kernel"]
            kernel = new["kernel"]
            if kind == "dense":  # only the weights inside the mask
                place = _unfolded(1.0 + jnp.arange(old.size).reshape(old.shape), SITES, k == 0).reshape(kernel.shape)
                kernel = jnp.zeros(old.size + 1).at[place.astype(int)].set(kernel)[1:].reshape(old.shape)
            weights[f"layer{k}"] = {"kernel": kernel, "bias": new["bias"]}
        return {"weights": weights}

    return theirs, space, ansatz, translated, hilbert


def direct(kind: str) -> Callable:
    """A case: 256 independent samples."""

    def case():
        import jax
        import jax.numpy as jnp
        import netket as nk
        from peers import Pair

        import qml

        theirs, space, ansatz, translated, hilbert = networks(kind)
        state = nk.vqs.MCState(nk.sampler.ARDirectSampler(space), theirs, n_samples=SAMPLES, seed=1, sampler_seed=2)
        params = translated(state.parameters)
        sampler = qml.sampler.DirectSampler(hilbert, chains=16)
        box = [sampler.init(ansatz, params, jax.random.key(3))]

        def rival():
            state.reset()
            return state.samples

        def mine():
            box[0], x = sampler.sample(ansatz, params, box[0], SAMPLES // 16)
            return x

        def difference() -> float:
            x = mine().reshape(-1, SITES)
            return float(jnp.max(jnp.abs(theirs.apply(state.variables, x) - ansatz.log_psi(params, x))))

        how = (
            f"{SITES} sites, {SAMPLES} samples, {type(theirs).__name__} of {LAYERS} layers and {FEATURES} features, "
            "the same numbers on both sides; difference: log psi of our samples"
        )
        return Pair(rival, mine, difference, how)

    case.__doc__ = f"Direct sampling of an autoregressive network ({kind}), {SITES} sites, {SAMPLES} samples."
    return case


CASES: dict[str, tuple[str, Callable]] = {
    "sample-ar-conv": ("NetKet", direct("conv")),
    "sample-ar-fast-conv": ("NetKet", direct("fast conv")),
    "sample-ar-dense": ("NetKet", direct("dense")),
}


def main() -> None:
    """Times of our direct sampling in units of one evaluation of log psi of the same rows, one JSON line each."""
    import json
    import statistics
    import time

    import jax
    from flax import nnx

    import qml

    jax.config.update("jax_enable_x64", True)
    space = qml.hilbert.Spin(SITES)
    for network in (
        qml.ansatz.CausalDense(LAYERS, FEATURES),
        qml.ansatz.CausalConv(LAYERS, FEATURES, KERNEL),
        qml.ansatz.CausalConv(LAYERS, FEATURES, (3, 5), extent=(8, 8)),
        qml.ansatz.CausalRNN(2, 32),
        qml.ansatz.CausalTransformer(2, 32, 4),
    ):
        ansatz, params = qml.ansatz.to_ansatz(qml.ansatz.Autoregressive(space, network, rngs=nnx.Rngs(0)), space)
        sampler = qml.sampler.DirectSampler(space, chains=16)
        state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), SAMPLES // 16)
        rows, forward = x.reshape(-1, SITES), jax.jit(ansatz.log_psi)
        calls = {
            "draw": lambda s=sampler, a=ansatz, p=params, t=state: s.sample(a, p, t, SAMPLES // 16)[1],
            "forward": lambda f=forward, p=params, x=rows: f(p, x),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(12):
            for name, call in calls.items():
                start = time.process_time()
                jax.block_until_ready(call())
                times[name].append(time.process_time() - start)
        draw, once = (1e3 * statistics.median(times[name][1:]) for name in ("draw", "forward"))
        print(
            json.dumps({"network": str(network), "draw_ms": draw, "forward_ms": once, "passes": draw / once}),
            flush=True,
        )


if __name__ == "__main__":
    import pathlib
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
