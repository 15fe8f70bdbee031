"""Comparisons of deep networks: local energies and minSR updates of vision transformers on the J1-J2 model.

The rival gets the same network, written with Flax Linen as its users do, with the same numbers; `rival_chunk` is its
chunk size, `None` its default. See `peers.py`, which runs these cases.
"""

from collections.abc import Callable

CHUNKS = {6: 128, 10: 16}  # the rival's best at 6 x 6; small, not scanned, at 10 x 10


def linen_vit(tokens, layers: int, features: int, heads: int, dtype):
    """The network of `qml.ansatz.ViT` in Flax Linen."""
    import flax.linen as nn
    import jax.numpy as jnp
    import netket as nk

    def dense(width, name):
        return nn.Dense(width, param_dtype=dtype, dtype=dtype, name=name)

    def norm(name, kind=dtype):
        return nn.LayerNorm(param_dtype=kind, dtype=kind, use_fast_variance=False, name=name)

    class Attention(nn.Module):
        @nn.compact
        def __call__(self, y):
            value = dense(features, "value")(y)
            weights = self.param("weights", nn.initializers.normal(), (heads, tokens.count), dtype)
            split = value.reshape(*value.shape[:2], heads, -1).transpose(0, 2, 1, 3)
            mixed = jnp.matmul(weights[:, tokens.differences], split).transpose(0, 2, 1, 3)
            return dense(features, "out")(mixed.reshape(value.shape))

    class LinenViT(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = jnp.atleast_2d(x)
            lead = x.shape[:-1]
            y = dense(features, "embed")(x.reshape(-1, x.shape[-1])[:, tokens.modes].astype(dtype))
            for k in range(layers):
                y = y + Attention(name=f"attention_{k}")(norm(f"before_attention_{k}")(y))
                up = nn.gelu(dense(4 * features, f"up_{k}")(norm(f"before_mlp_{k}")(y)))
                y = y + dense(features, f"down_{k}")(up)
            z = norm("norm", jnp.float64)(jnp.sum(y, axis=1, dtype=jnp.float64))
            parts = [nn.Dense(features, param_dtype=jnp.float64, name=name)(z) for name in ("amplitude", "phase")]
            return jnp.sum(nk.nn.log_cosh(parts[0] + 1j * parts[1]), axis=-1).reshape(lead)

    return LinenViT()


def linen_params(params: dict, layers: int, dtype) -> dict:
    """The numbers of `qml.ansatz.ViT` under the names of the Linen network."""
    import jax

    def norm(p):
        return {"scale": p["scale"], "bias": p["shift"]}

    out = {"embed": params["embed"], "norm": norm(params["head"]["norm"])}
    out |= {name: params["head"][name] for name in ("amplitude", "phase")}
    for k in range(layers):
        block = params["blocks"][k]
        out[f"attention_{k}"] = block["attention"]
        out |= {f"before_{part}_{k}": norm(block[f"before_{part}"]) for part in ("attention", "mlp")}
        out |= {f"{part}_{k}": block["mlp"][part] for part in ("up", "down")}
    head = {"norm", "amplitude", "phase"}
    return {name: tree if name in head else jax.tree.map(lambda a: a.astype(dtype), tree) for name, tree in out.items()}


def setting(length: int, samples: int, single: bool, rival_chunk: int | None):
    """J1-J2 at J2/J1 = 0.5 on the torus: the rival's state and operator, ours, and common configurations."""
    import jax
    import jax.numpy as jnp
    import netket as nk
    from flax import nnx

    import qml

    features, heads, layers = {6: (32, 8, 4), 10: (60, 10, 4)}[length]
    lattice = qml.lattice.Square(length, length)
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    ours_h = qml.operator.J1J2(hilbert, lattice, j1=4.0, j2=2.0)  # the rival's is in Pauli matrices
    model, *both = (
        qml.ansatz.ViT(lattice, layers=layers, features=features, heads=heads, dtype=dtype, rngs=nnx.Rngs(0))
        for dtype in (jnp.float64, jnp.float64, jnp.float32)
    )
    (_, numbers), (ansatz, like) = (qml.ansatz.to_ansatz(one, hilbert) for one in (both[0], both[single]))
    params = jax.tree.map(lambda p, q: p.astype(q.dtype), numbers, like)
    graph = nk.graph.Square(length, max_neighbor_order=2)
    space = nk.hilbert.Spin(0.5, lattice.n_sites, total_sz=0)
    theirs_h = nk.operator.Heisenberg(space, graph, J=[1.0, 0.5], sign_rule=[False, False])
    theirs = nk.vqs.MCState(
        nk.sampler.MetropolisExchange(space, graph=graph, d_max=2, n_chains=samples, sweep_size=1),
        linen_vit(model.tokens, layers, features, heads, jnp.float64),
        n_samples=samples,
        n_discard_per_chain=0,
        variables={"params": linen_params(numbers, layers, jnp.float64)},
        chunk_size=rival_chunk,
    )
    x = jnp.asarray(theirs.samples).reshape(-1, lattice.n_sites).astype(jnp.int8)
    return theirs, theirs_h, ansatz, params, ours_h, x


def local_energy(length: int, samples: int, single: bool = False, rival_chunk: int | None = None) -> Callable:
    """A case: local energies of a vision transformer."""

    def case():
        import jax
        import jax.numpy as jnp
        from peers import Pair

        import qml

        theirs, theirs_h, ansatz, params, ours_h, x = setting(length, samples, single, rival_chunk)
        known = jax.jit(ansatz.log_psi)(params, x)
        kernel = jax.jit(lambda p, h, x, known: qml.estimate.local_values(ansatz, p, h, x, log_psi=known))

        def rival():
            return theirs.local_estimators(theirs_h)

        def mine():
            return kernel(params, ours_h, x, known)

        def difference() -> float:
            exact = rival().reshape(-1)
            return float(jnp.abs(exact - mine()).max() / jnp.abs(exact).max())

        elements = int(jnp.sum(ours_h.connected(x)[1] != 0))
        how = (
            f"J1-J2 {length}x{length}, ViT, {samples} samples, {elements} non-zero elements, rival chunk "
            f"{rival_chunk or 'default'}, ours {'f32 trunk, f64 head, sums' if single else 'f64'}; relative difference"
        )
        return Pair(rival, mine, difference, how)

    precision = "32-bit trunk" if single else "64 bits"
    chunk = f", rival with chunk_size={rival_chunk}" if rival_chunk else ""
    case.__doc__ = f"Local energies of a vision transformer, J1-J2 {length}x{length}, {precision}{chunk}."
    return case


def min_sr(length: int, samples: int, single: bool = False) -> Callable:
    """A case: the update of minSR of a vision transformer."""

    def case():
        import jax
        import jax.numpy as jnp
        from netket._src.ngd.srt_onthefly import srt_onthefly
        from netket.optimizer.solver import cholesky
        from peers import Pair

        import qml

        theirs, theirs_h, ansatz, params, _, x = setting(length, samples, single, None)
        local = theirs.local_estimators(theirs_h)
        rule = qml.estimate.SR(shift=0.01, method="minsr")
        rows = qml.estimate.Samples(x, jnp.full(len(x), 1 / len(x)), jnp.zeros(len(x), complex), len(x))
        layers = 4

        def rival():
            return srt_onthefly(
                theirs._apply_fun,
                local,
                theirs.parameters,
                theirs.model_state,
                theirs.samples.reshape(-1, x.shape[1]),
                diag_shift=0.01,
                solver_fn=cholesky,
                mode="complex",
                chunk_size=None,
            )[0]

        kernel = jax.jit(lambda p, x, local: rule.direction(ansatz, p, rows, local).update)

        def mine():
            return kernel(params, x, local.reshape(-1))

        def difference() -> float:
            ours, theirs_ = linen_params(mine(), layers, jnp.float64), rival()
            gap = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b / 2)), dict(ours), dict(theirs_))
            return float(max(jax.tree.leaves(gap)) / max(float(jnp.abs(b).max()) for b in jax.tree.leaves(theirs_)))

        how = (
            f"J1-J2 {length}x{length}, ViT, {samples} samples, minSR update at shift 0.01, rival srt_onthefly, ours "
            f"{'f32 derivatives, f64 solve' if single else 'f64'}; relative difference of the updates"
        )
        return Pair(rival, mine, difference, how)

    case.__doc__ = (
        f"minSR update of a vision transformer, {length}x{length}, {'32-bit trunk' if single else '64 bits'}."
    )
    return case


CASES: dict[str, tuple[str, Callable]] = {}
for _length, _samples in ((6, 32), (10, 8)):
    for _single in (False, True):
        _tail = f"{_length}x{_length}{'-f32' if _single else ''}"
        CASES[f"eloc-vit-{_tail}"] = ("NetKet", local_energy(_length, _samples, _single))
        CASES[f"eloc-vit-{_tail}-chunked"] = ("NetKet", local_energy(_length, _samples, _single, CHUNKS[_length]))
for _single in (False, True):
    CASES[f"minsr-vit-6x6{'-f32' if _single else ''}"] = ("NetKet", min_sr(6, 32, _single))
