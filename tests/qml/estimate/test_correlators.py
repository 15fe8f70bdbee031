"""All-pairs correlations, structure factors and order parameters against operators on dense vectors, and by z-score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState, MCState
from qml._core.errors import ShapeError, SpaceError
from qml.estimate import binder, correlations, staggered, structure_factor
from qml.estimate.pairs import pair_values
from qml.estimate.site import products
from qml.hilbert import Boson, Constrained, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Kagome, Square
from tests.helpers.zscore import assert_z
from tests.qml.ansatz.models import model

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
UP = np.sqrt(2) * np.diag([1, 1], 1)
LOWER, EMPTY = np.diag(np.sqrt([1, 2]), 1), np.array([[0, 1], [0, 0]])


def blockade(x):
    return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)


FREE, FIXED = Spin(4), Spin(4, magnetisation=0)
CASES = {
    "z": ("rbm", FREE, "Z", [(Z, Z)]),
    "xz": ("rbm", FREE, ("X", "Z"), [(X, Z)]),
    "matrix": ("mixed", FREE, (X + Z, Y), [(X + Z, Y)]),
    "x in a sector": ("mixed", FIXED, "X", [(X, X)]),
    "s.s": ("complex rbm", FIXED, "SS", [(m / 2, m / 2) for m in (X, Y, Z)]),
    "y with a predicate": ("mixed", Constrained(FREE, blockade), "Y", [(Y, Y)]),
    "spin one": ("mixed", Spin(3, s=1, magnetisation=0), ("S+", "S-"), [(UP, UP.T)]),
    "bosons": ("mixed", Boson(3, n_max=2, n_particles=3), ("create", "annihilate"), [(LOWER.T, LOWER)]),
    "fermions": ("mixed", SpinlessFermion(4, n_fermions=2), ("create", "annihilate"), [(EMPTY.T, EMPTY)]),
    "pairs": ("mixed", SpinlessFermion(3), "annihilate", [(EMPTY, EMPTY)]),
}


def act(matrix, site, vector, levels, odd):
    """One operator on `{configuration: amplitude}`, with the string of a fermion operator."""
    out = {}
    for x, amplitude in vector.items():
        sign = (-1) ** sum(x[:site]) if odd else 1
        for row, value in enumerate(levels):
            element = matrix[row, levels.index(x[site])]
            if element != 0:
                new = (*x[:site], value, *x[site + 1 :])
                out[new] = out.get(new, 0) + sign * element * amplitude
    return out


def dense(state, pairs, odd):
    """<A_i B_j> and the sum over products of <A_i><B_j>."""
    n, levels = state.hilbert.n_sites, state.hilbert.site_states[0]
    rows = np.asarray(state.hilbert.all_states()).tolist()
    vector = {tuple(x): a for x, a in zip(rows, np.asarray(state.to_array()))}

    def mean(image):
        return sum(np.conj(vector.get(x, 0)) * a for x, a in image.items())

    total, product = np.zeros((n, n), complex), np.zeros((n, n), complex)
    for a, b in pairs:
        images = [act(b, j, vector, levels, odd) for j in range(n)]
        total += [[mean(act(a, i, images[j], levels, odd)) for j in range(n)] for i in range(n)]
        if not odd:
            left = [mean(act(a, i, vector, levels, False)) for i in range(n)]
            product += np.outer(left, [mean(image) for image in images])
    return total, product


SLOW = ("matrix", "x in a sector", "spin one", "y with a predicate", "pairs")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_against_dense_vectors(name):
    kind, hilbert, operators, pairs = CASES[name]
    state = FullSumState(model(kind, hilbert.n_sites), hilbert, chunk=None if len(name) % 2 else 7)
    total, product = dense(state, pairs, hilbert.fermionic)
    stats = state.correlations(operators)
    np.testing.assert_allclose(stats.mean, total, atol=1e-12)
    assert jnp.iscomplexobj(stats.mean) or np.all(np.abs(np.imag(total)) < 1e-12)
    assert stats.samples.shape == () and np.all(np.asarray(stats.error) == 0)
    if name in ("xz", "s.s"):
        np.testing.assert_allclose(state.correlations(operators, connected=True).mean, total - product, atol=1e-12)


def test_fermions_with_spin_by_site():
    """Sz_i Sz_j and n_i n_j from the occupations of both modes, and the doublons by modes."""
    space = SpinfulFermion(3, n_up=2, n_down=1)
    state = FullSumState(model("mixed", 6), space)
    weights, x = np.abs(np.asarray(state.to_array())) ** 2, np.asarray(space.all_states(), float)
    for name, value in (("Sz", (x[:, :3] - x[:, 3:]) / 2), ("n", x[:, :3] + x[:, 3:])):
        exact = np.einsum("s,si,sj->ij", weights, value, value)
        np.testing.assert_allclose(state.correlations(name).mean, exact, atol=1e-12)
    modes = state.correlations(np.diag([0.0, 1.0])).mean
    np.testing.assert_allclose(modes, np.einsum("s,si,sj->ij", weights, x, x), atol=1e-12)


def test_no_call_is_wasted():
    """A network call for each antiparallel pair of a sector; none for diagonal operators."""
    calls = []

    def counted(params, x):
        jax.debug.callback(lambda n: calls.append(int(n)), x.shape[0])
        return x @ params

    state = FullSumState((jnp.arange(4.0) / 5, counted), FIXED, chunk=1)
    _, samples = state.sample()

    def count(operators):
        jax.effects_barrier()
        calls.clear()
        values = pair_values(
            state.ansatz, state.params, FIXED, samples.x, samples.log_psi, products(FIXED, operators), chunk=1
        )
        jax.block_until_ready(values)
        jax.effects_barrier()
        return sum(calls)

    assert count("SS") == 6 * 4  # of six configurations each has four antiparallel pairs
    assert count("Z") == 0


@pytest.mark.slow
def test_structure_factor_and_form_factors():
    """The sum over positions, by sublattice and in the extended zone; the momentum of order; connected parts."""
    lattice = Kagome(1, 2)
    state = FullSumState(model("mixed", 6), Spin(6))
    table = np.asarray(state.correlations("X").mean)
    connected = np.asarray(state.correlations("X", connected=True).mean)
    r, q = lattice.positions, np.concatenate([lattice.momenta(), lattice.momenta() + lattice.reciprocal[0][None]])
    waves = np.exp(1j * q @ r.T)
    by_hand = np.einsum("qi,ij,qj->q", waves.conj(), table, waves) / 6
    np.testing.assert_allclose(state.structure_factor(lattice, "X", momenta=q).mean, by_hand, atol=1e-12)
    plain = state.structure_factor(lattice, "X", connected=True)
    half = len(q) // 2
    waves, q = waves[:half], q[:half]
    exact = np.einsum("qi,ij,qj->q", waves.conj(), connected, waves) / 6
    np.testing.assert_allclose(plain.mean, exact, atol=1e-12)
    parts = state.structure_factor(lattice, "X", sublattices=True)
    np.testing.assert_allclose(np.sum(parts.mean, axis=(1, 2)) / 3, by_hand[:half], atol=1e-12)
    np.testing.assert_allclose(parts.mean, np.conj(np.swapaxes(parts.mean, 1, 2)), atol=1e-12)
    twisted = state.structure_factor(lattice.with_twist(0.3), "X")
    np.testing.assert_allclose(twisted.mean, by_hand[:half], atol=1e-12)


def test_order_parameters():
    chain = Chain(4)
    state = FullSumState(model("complex rbm", 4), FIXED)
    signs = staggered(chain)
    table = np.asarray(state.correlations("SS").mean)
    np.testing.assert_allclose(state.order_parameter(signs, "SS").mean, signs @ table @ signs / 16, atol=1e-12)
    _, samples = state.sample()
    m = np.asarray(samples.x) @ signs / 4
    w = np.asarray(samples.weights)
    exact = 1 - w @ m**4 / (3 * (w @ m**2) ** 2)
    np.testing.assert_allclose(binder(FIXED, samples, signs, "Z").mean, exact, rtol=1e-12)


@pytest.mark.slow
def test_sampled():
    """Means of Markov chains within their errors; connected ones and the cumulant by the delta method."""
    exact = FullSumState(model("mixed", 4), FIXED)
    state = MCState(model("mixed", 4), FIXED, samples=4000, chains=80, key=jax.random.key(1))
    assert_z(state.correlations("SS", connected=True), exact.correlations("SS", connected=True).mean)
    assert_z(state.structure_factor(Chain(4), "SS"), exact.structure_factor(Chain(4), "SS").mean)
    signs = staggered(Chain(4))
    assert_z(state.order_parameter(signs, "SS"), exact.order_parameter(signs, "SS").mean)
    sampled, full = (s.sample()[1] for s in (state, exact))
    assert_z(binder(FIXED, sampled, signs, "Z"), binder(FIXED, full, signs, "Z").mean)


def test_bad_input():
    state = FullSumState(model("rbm", 4), FREE)
    _, samples = state.sample()
    everything = (state.ansatz, state.params, FREE, samples)
    for wrong in ("Q", "n", ("X",), ("X", "Y", "Z"), "create"):
        with pytest.raises((SpaceError, ShapeError)):
            correlations(*everything, wrong)
    with pytest.raises(ShapeError, match="matrix"):
        correlations(*everything, np.eye(3))
    for sites in ([0, 0], [4], []):
        with pytest.raises(SpaceError, match="distinct sites"):
            correlations(*everything, "Z", sites=sites)
    with pytest.raises(SpaceError, match="lattice does not fit"):
        structure_factor(*everything, Chain(5), "Z")
    with pytest.raises(ShapeError, match="does not fit the cluster"):
        structure_factor(*everything, Chain(4), "Z", momenta=[[0.3]])
    with pytest.raises(ShapeError, match="one weight"):
        state.order_parameter(np.ones(3), "Z")
    with pytest.raises(SpaceError, match="diagonal"):
        binder(FREE, samples, np.ones(4), "X")
    with pytest.raises(SpaceError, match="two sublattices"):
        staggered(Square(3, 3))
    with pytest.raises(SpaceError, match="parity"):
        products(SpinlessFermion(4), ("create", "n"))
    with pytest.raises(SpaceError, match="by site"):
        products(SpinfulFermion(2), ("n", "Sz"))
