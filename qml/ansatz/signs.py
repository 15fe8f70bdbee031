"""Known sign structures."""

import dataclasses
from typing import Any, final

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import SpaceError
from qml._core.precision import complex_dtype
from qml._core.types import Array, Bool
from qml.ansatz.combine import Combinable
from qml.ansatz.updates import LocalUpdate


class MarshallSign(Combinable, nnx.Module):
    r"""Marshall's sign rule, $\psi(x) = (-1)^{n_A(x)}$ with $n_A$ the steps by which the spins of A are lowered.

    The ground state of a Heisenberg antiferromagnet on a bipartite lattice has these signs, and
    `model * MarshallSign(...)` needs a positive model alone. A global sign apart, spins up may be counted instead.

    Args:
        space: the space.
        lattice: a bipartite lattice, whose edges tell A from B; or the sites of A.

    Raises:
        SpaceError: the lattice has an odd ring or another number of sites, or A is no set of sites.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> sign = qml.ansatz.MarshallSign(qml.hilbert.Spin(4), qml.lattice.Chain(4))
        >>> jnp.exp(sign(jnp.array([[1, 1, 1, 1], [-1, 1, 1, 1], [1, -1, 1, 1]]))).real.tolist()
        [1.0, -1.0, 1.0]

    Source: Marshall, Proc. R. Soc. A 232, 48 (1955).
    """

    has_unit_modulus = True

    def __init__(self, space: Any, lattice: Any):
        sites = _sublattice(lattice, space.n_sites) if hasattr(lattice, "edges") else tuple(lattice)
        if len(set(sites)) != len(sites) or not all(i in range(space.n_sites) for i in sites):
            raise SpaceError(
                "A sublattice is a set of sites of the space.",
                got=sites,
                expected=f"different sites in 0 ... {space.n_sites - 1}",
                try_="MarshallSign(space, lattice), or the sites of one sublattice",
            )
        states = [space.site_states[i] for i in range(space.n_sites)]
        inside = np.isin(np.arange(space.n_sites), np.array(sites, int))
        self.states = tuple(space.site_states)
        self.first = tuple(float(s[0]) for s in states)
        self.weights = tuple(float(k / (s[1] - s[0])) if len(s) > 1 else 0.0 for k, s in zip(inside, states))

    def __call__(self, x: Array) -> Array:
        x = jnp.asarray(x, jnp.result_type(x, jnp.float32))
        lowered = jnp.round((x - jnp.asarray(self.first, x.dtype)[None]) @ jnp.asarray(self.weights, x.dtype))
        return _log_sign(lowered)

    def check_space(self, hilbert: Any) -> None:
        """Raise if the sites of a space have other local states.

        Raises:
            SpaceError: they have.
        """
        if tuple(hilbert.site_states) != self.states:
            raise SpaceError(
                "This sign rule was made for other local states.",
                got=hilbert,
                expected=f"local states {self.states[0]}",
                try_="MarshallSign(hilbert, lattice) with the space of the state",
            )

    def local_update(self, hilbert: Any) -> LocalUpdate:
        """The parity of the steps of a change."""
        return SignUpdate(self.weights)


@final
@dataclasses.dataclass(frozen=True)
class SignUpdate(LocalUpdate):
    r"""A change of sites by $d_i$ adds $i\pi \sum_i w_i d_i$ to $\log\psi$."""

    weights: tuple[float, ...]

    def prepare(self, params: Any) -> Array:
        return jnp.asarray(self.weights)

    def reliable(self, tables: Array) -> Bool[Array, ""]:
        return jnp.array(True)

    def init(self, tables: Array, x: Array) -> tuple:
        return ()

    def step(self, tables: Array, cache: tuple, x: Array, sites: Array, values: Array) -> tuple[Array, tuple]:
        change = (values - jnp.take_along_axis(x, sites, axis=1)).astype(tables.dtype)
        lowered = jnp.round(jnp.sum(change * tables[sites], axis=1))
        return _log_sign(lowered), cache


def _log_sign(steps: Array) -> Array:
    """log (-1)^steps in full precision."""
    return jnp.where(steps % 2 == 1, 1j * np.pi, 0.0).astype(complex_dtype())


def _sublattice(lattice: Any, n_sites: int) -> tuple[int, ...]:
    """One of two colours such that every edge joins both."""
    colour: dict[int, int] = {}
    near: dict[int, list[int]] = {i: [] for i in range(n_sites)}
    for i, j in lattice.edges() if lattice.n_sites == n_sites else [(0, 0)]:
        near[i].append(j)
        near[j].append(i)
    for start in range(n_sites):
        reached = [] if start in colour else [start]
        colour.setdefault(start, 0)
        while reached:
            i = reached.pop()
            reached += [j for j in near[i] if j not in colour]
            colour.update({j: 1 - colour[i] for j in near[i] if j not in colour})
    if any(colour[i] == colour[j] for i in near for j in near[i]):
        raise SpaceError(
            "This lattice is not bipartite on the sites of the space, so there is no such sign rule.",
            got=f"{lattice} for {n_sites} sites",
            expected="a lattice with one site for each of the space, and even rings",
            try_="model * Phase(network), which learns the signs",
        )
    return tuple(i for i in range(n_sites) if colour[i] == 0)
