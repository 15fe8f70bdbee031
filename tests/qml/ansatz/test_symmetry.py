"""Symmetric networks: they lie in their sector, whatever the group and the irrep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import symmetries
from qml._core.errors import ShapeError, SymmetryError
from qml.ansatz import GCNN, MLP, Symmetrised, to_ansatz
from qml.hilbert import Boson, Constrained, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Square

CHAIN = symmetries.space_group(Chain(6))
SQUARE = symmetries.space_group(Square(2, 3))
SECTORS = {f"{len(s.momentum)}d {s.label}": s for group in (CHAIN, SQUARE) for s in symmetries.sectors(group)}
SECTORS = {label: s for label, s in SECTORS.items() if s.sector_dimension() > 0}


def amplitudes(model):
    space = Spin(6)
    ansatz, params = to_ansatz(model, space)
    log_psi = ansatz.log_psi(params, space.all_states())
    return np.exp(np.asarray(log_psi)), ansatz


@pytest.mark.parametrize("label", SECTORS)
@pytest.mark.parametrize("kind", ["gcnn", pytest.param("projected", marks=pytest.mark.slow)])
def test_in_its_sector(label, kind):
    """The projector of the sector, computed by permuting tensor axes, leaves the state alone."""
    sector = SECTORS[label]
    if kind == "gcnn":
        model = GCNN(sector, layers=3, features=2, rngs=nnx.Rngs(1))
    else:
        model = Symmetrised(MLP(6, layers=1, features=5, rngs=nnx.Rngs(1)), sector)
    psi, _ = amplitudes(model)
    projected = sector.project(psi)
    assert np.linalg.norm(psi) > 1e-3
    np.testing.assert_allclose(projected, psi, atol=1e-12 * np.abs(psi).max())


def test_one_dimensional_irrep_by_definition():
    """psi(g^-1 x) = chi(g) psi(x) with (g x)[g(s)] = x[s], element by element."""
    sector = symmetries.Sector(CHAIN, momentum=(1,))
    model = GCNN(sector, layers=2, features=2, rngs=nnx.Rngs(0))
    x = Spin(6).all_states().astype(float)
    log_psi = jax.jit(lambda x: model(x))
    psi = np.exp(log_psi(x))
    for g in range(sector.group.order):
        moved = np.zeros_like(x)
        moved[:, sector.permutations[g]] = np.asarray(x)  # g x
        np.testing.assert_allclose(sector.characters[g] * np.exp(log_psi(jnp.asarray(moved))), psi, atol=1e-12)


def test_value_of_a_projection():
    """The sum over the group, written as a loop."""
    sector = symmetries.Sector(CHAIN, momentum=(3,))
    inner = MLP(6, layers=1, features=5, rngs=nnx.Rngs(1))
    log_psi = jax.jit(lambda x: inner(x))
    psi, ansatz = amplitudes(Symmetrised(inner, sector))
    x = np.asarray(Spin(6).all_states(), float)
    total = sum(
        np.conj(c) * np.exp(log_psi(x[:, p])) for c, p in zip(sector.characters, sector.permutations, strict=True)
    )
    np.testing.assert_allclose(psi, total, atol=1e-12)
    assert hash(ansatz) == hash(amplitudes(Symmetrised(inner, sector))[1])


def test_positive_state_of_the_trivial_irrep_is_real():
    trivial = symmetries.Sector(CHAIN, momentum=(0,))
    model = GCNN(trivial, layers=2, features=2, phase=False, rngs=nnx.Rngs(0))
    assert to_ansatz(model, Spin(6))[0].dtype == np.float64
    turning = symmetries.Sector(CHAIN, momentum=(3,))
    wide = GCNN(turning, layers=2, features=2, phase=False, std=1.0, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(wide.head[...], 10 * model.head[...], rtol=1e-12)  # the same numbers, wider
    psi, ansatz = amplitudes(wide)
    assert ansatz.is_complex and np.any(psi.real < 0) and np.any(psi.real > 0)


def test_bad_input():
    with pytest.raises(SymmetryError, match="not a symmetry sector"):
        GCNN(CHAIN, rngs=nnx.Rngs(0))
    with pytest.raises(SymmetryError, match="not a symmetry sector"):
        Symmetrised(MLP(6, rngs=nnx.Rngs(0)), "A1")
    for bad in ({"layers": 0}, {"features": 0}, {"dtype": complex}):
        with pytest.raises(ShapeError, match="real parameters"):
            GCNN(symmetries.Sector(CHAIN), rngs=nnx.Rngs(0), **bad)


def half_filled(sites):
    return symmetries.ParticleHole(1, signs=(-1) ** np.arange(sites))


SPACES = {
    "spin flip": (Spin(6), CHAIN, (symmetries.SpinFlip(-1),)),
    "spin flip in Sz=0": (Spin(6, magnetisation=0), CHAIN, (symmetries.SpinFlip(-1),)),
    "spin one": (Spin(4, s=1), symmetries.space_group(Chain(4)), (symmetries.SpinFlip(-1),)),
    "fermions": (SpinlessFermion(6, n_fermions=2), CHAIN, ()),
    "particle-hole": (SpinlessFermion(6, n_fermions=3), CHAIN, (half_filled(6),)),
    "antiperiodic": (SpinlessFermion(6, n_fermions=2), symmetries.translation_group(Chain(6, twist=np.pi)), ()),
    "two spins": (SpinfulFermion(4, n_up=2, n_down=2), symmetries.space_group(Chain(4)), (symmetries.SpinFlip(-1),)),
    "bosons": (Boson(4, n_max=2, n_particles=3), symmetries.space_group(Chain(4)), ()),
}


LONG = {  # each space, and each kind, is met by another case
    *(("gcnn", name) for name in ("spin flip", "antiperiodic", "bosons", "spin one")),
    *(("projected", name) for name in ("spin flip in Sz=0", "particle-hole", "two spins")),
    *(("rotated", name) for name in ("spin flip", "antiperiodic", "bosons", "spin one", "particle-hole")),
}
KINDS = [
    pytest.param(kind, name, id=f"{kind}-{name}", marks=[pytest.mark.slow] * ((kind, name) in LONG))
    for kind in ("gcnn", "projected", "rotated")
    for name in SPACES
]


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_signs_and_internal_symmetries(kind, name):
    """The projection of an ansatz is the sector's projection of its full vector; a GCNN lies in its sector."""
    space, group, internal = SPACES[name]
    momentum = len(internal) - 1  # 0 with an internal symmetry, the last one without
    label = group.irreps(momentum)[-1]
    sector = symmetries.Sector(group, momentum, label, internal)
    if kind == "rotated":
        sector = sector.rotated((-1) ** np.arange(sector.n_sites))
    x, n = space.all_states(), space.n_sites
    if kind == "gcnn":
        model = GCNN(sector, layers=2, features=2, hilbert=space, rngs=nnx.Rngs(1))
        ansatz, params = to_ansatz(model, space)
        psi = np.exp(np.asarray(ansatz.log_psi(params, x)))
        wanted = sector.project(psi, hilbert=space)
    else:
        inner = MLP(n, layers=1, features=5, rngs=nnx.Rngs(1))
        plain, inner_params = to_ansatz(inner, space)
        ansatz, params = to_ansatz(Symmetrised(inner, sector), space)
        psi = np.exp(np.asarray(ansatz.log_psi(params, x)))
        full = np.exp(np.asarray(plain.log_psi(inner_params, x)))
        wanted = sector.project(full, hilbert=space) * len(sector.characters) / sector.dimension
    np.testing.assert_allclose(psi, wanted, atol=1e-12 * np.abs(psi).max())
    assert np.abs(psi).max() > 1e-6


def test_empty_sectors_are_refused():
    """Nothing but rounding is left of a network there, which has an energy like any other."""
    one_up = Spin(6, magnetisation=2)  # a wave of one spin, whose little group at k = 3 keeps one sign
    odd = [s for s in symmetries.sectors(CHAIN) if s.sector_dimension(hilbert=one_up) == 0]
    sector = next(s for s in odd if s.momentum == (3,))
    assert sector.sector_dimension() > 0
    for model in (Symmetrised(MLP(6, rngs=nnx.Rngs(0)), sector), GCNN(sector, hilbert=one_up, rngs=nnx.Rngs(0))):
        with pytest.raises(SymmetryError, match="No state of this space"):
            to_ansatz(model, one_up)
    uniform = Constrained(Spin(6), all_alike)
    kept, lost = (symmetries.Sector(symmetries.translation_group(Chain(6)), k) for k in (0, 3))
    assert to_ansatz(Symmetrised(MLP(6, rngs=nnx.Rngs(0)), kept), uniform)[0].n_sites == 6
    with pytest.raises(SymmetryError, match="No state of this space"):
        to_ansatz(Symmetrised(MLP(6, rngs=nnx.Rngs(0)), lost), uniform)


def all_alike(x):
    return jnp.abs(jnp.sum(x, axis=-1)) == x.shape[-1]


def test_networks_for_other_spaces_are_refused():
    sector = symmetries.Sector(CHAIN)
    network = GCNN(sector, layers=1, features=1, rngs=nnx.Rngs(0))
    with pytest.raises(SymmetryError, match="made for another space"):
        to_ansatz(network, SpinlessFermion(6))
    assert to_ansatz(network, Spin(6, s=1))[0].n_sites == 6
    flip = symmetries.Sector(CHAIN, internal=symmetries.SpinFlip(1))
    with pytest.raises(SymmetryError, match="has no spin"):
        to_ansatz(Symmetrised(MLP(6, rngs=nnx.Rngs(0)), flip), SpinlessFermion(6))
