"""Rules and spaces that the checks of samplers go through, and wave functions with a generic law."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from qml.ansatz import to_ansatz
from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain
from qml.operator import BoseHubbard, Heisenberg, Hubbard, Ising
from qml.sampler import (
    Exchange,
    GlobalFlip,
    HamiltonianMoves,
    LocalFlip,
    Mixture,
    MultiFlip,
    Repeated,
    Restricted,
)
from symmetries import Sector, SpinFlip, translation_group

RING = ((0, 1), (1, 2), (2, 3), (3, 0))
LINE = ((0, 1), (1, 2))


def blockade(x):
    return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)


def single(x):
    n = x.shape[-1] // 2
    return jnp.all(x[..., :n] + x[..., n:] < 2, axis=-1)


class Case(NamedTuple):
    """A rule on a space; grids of so many values meet each of its uniform numbers with the right frequency."""

    rule: Any
    space: Any
    grid: tuple[int, ...]


CAVITY = Constrained(Product(Spin(2), Boson(1, 2), Spin(1, s=1), Boson(1, 1)), totals={(0, 1, 2): 1})
NEUTRAL, BOSONS = Spin(4, magnetisation=0), Boson(4, 2, n_particles=3)
ELECTRONS = SpinfulFermion(3, n_up=1, n_down=2)
TRANSLATIONS = Sector(translation_group(Chain(4)), internal=(SpinFlip(),))
OLD = {
    "flip": (LocalFlip(), Spin(4)),
    "flip spin 1": (LocalFlip(), Spin(3, s=1)),
    "flip bosons": (LocalFlip(), Boson(3, 3)),
    "flip a product": (LocalFlip(), Product(Spin(1), Boson(1, 3), SpinlessFermion(1), Spin(1, s=1))),
    "blockade": (Restricted(LocalFlip()), Constrained(Spin(5), blockade)),
    "exchange": (Exchange(), Spin(6, magnetisation=0)),
    "exchange on edges": (Exchange(RING), NEUTRAL),
    "exchange spin 1": (Exchange(), Spin(4, s=1, magnetisation=1)),
    "exchange spin 1 on edges": (Exchange(RING), Spin(4, s=1, magnetisation=0)),
    "bosons": (Exchange(), Boson(4, 2, n_particles=4)),
    "bosons on edges": (Exchange(RING), Boson(4, 3, n_particles=3)),
    "fermions": (Exchange(), SpinlessFermion(6, n_fermions=2)),
    "fermions with spin": (Exchange(), ELECTRONS),
    "fermions with spin on edges": (Exchange(LINE), ELECTRONS),
    "fermions with spin, both": (Exchange(), SpinfulFermion(3, n_fermions=2)),
    "fermions with spin, up": (Exchange(), SpinfulFermion(3, n_up=1)),
    "fermions with spin, up on edges": (Exchange(LINE), SpinfulFermion(3, n_up=1)),
    "sublattices": (Exchange(), Constrained(Spin(6), totals={(0, 2, 4): 0.5, (1, 3, 5): -0.5})),
    "excitations and free sites": (Exchange(), CAVITY),
    "blocked bosons": (Restricted(Exchange()), Constrained(Boson(4, 3, n_particles=4), blockade)),
    "no double occupation": (Restricted(Exchange()), Constrained(SpinfulFermion(3, n_up=1, n_down=1), single)),
}
PAIRS = Mixture((MultiFlip(RING), LocalFlip()), weights=(1, 3))
BLOCKED_PAIRS = Mixture((LocalFlip(), Repeated(LocalFlip(), 2)))
CASES = {
    **{
        name: Case(rule, space, ((240,) if name == "flip a product" else (60,) * rule.n_uniforms))
        for name, (rule, space) in OLD.items()
    },
    "moves of ising": Case(HamiltonianMoves(Ising(Spin(4), Chain(4), h=1.0)), Spin(4), (60,)),
    "moves of heisenberg": Case(HamiltonianMoves(Heisenberg(NEUTRAL, Chain(4))), NEUTRAL, (60,)),
    "moves of hubbard": Case(
        HamiltonianMoves(Hubbard(ELECTRONS, Chain(3, periodic=False), t=1.0, u=4.0)), ELECTRONS, (60,)
    ),
    "moves of bosons": Case(HamiltonianMoves(BoseHubbard(BOSONS, Chain(4), j=1.0, u=1.0)), BOSONS, (840,)),
    "pairs and flips": Case(PAIRS, Spin(4), (4, 4, 1)),
    "triples spin 1": Case(MultiFlip(((0, 1), (1, 2), (0, 2))), Spin(3, s=1), (3, 4)),
    "three flips": Case(Repeated(LocalFlip(), 3), Spin(4), (4, 4, 4)),
    "two exchanges": Case(Repeated(Exchange(), 2), Boson(3, 2, n_particles=3), (6, 6, 6, 6)),
    "inversion": Case(Mixture((Exchange(), GlobalFlip()), weights=(3, 1)), NEUTRAL, (4, 2, 2)),
    "translations": Case(Mixture((Exchange(RING), GlobalFlip(TRANSLATIONS)), weights=(3, 1)), NEUTRAL, (4, 8, 1)),
    "holes": Case(
        Mixture((Exchange(), GlobalFlip(), GlobalFlip(((1, 2, 3, 0), (3, 0, 1, 2)))), weights=(2, 1, 1)),
        Boson(4, 2, n_particles=4),
        (4, 12, 12),
    ),
    "moves and exchange": Case(
        Mixture((HamiltonianMoves(Heisenberg(NEUTRAL, Chain(4))), Exchange()), weights=(1, 3)), NEUTRAL, (4, 60, 2)
    ),
    "blockade, two flips": Case(Restricted(BLOCKED_PAIRS), Constrained(Spin(5), blockade), (2, 5, 5)),
}
MIXED = [name for name in CASES if name not in OLD]


@functools.cache
def uneven(space):
    """An ansatz with a generic law, and that law in basis order."""
    weights = 0.7 * jax.random.normal(jax.random.key(1), (space.n_sites, space.n_sites))
    top = max(max(abs(d) for d in states) for states in space.site_states)

    def log_psi(p, x):
        return 0.2 * jnp.sum((x @ p) * x, axis=-1) / top + 0.3 * x[:, 0]

    ansatz, params = to_ansatz((weights, log_psi), space)
    law = softmax(2 * np.asarray(ansatz.log_psi(params, space.all_states())))
    return ansatz, params, law
