"""Spin models against sums of Kronecker products of spin matrices, and against energies of other codes."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import Boson, Spin, SpinlessFermion
from qml.lattice import Chain, Honeycomb, Kagome, KitaevHoneycomb, Square, Triangular
from qml.operator import (
    J1J2,
    J1J2J3,
    XXZ,
    XY,
    XYZ,
    BoseHubbard,
    BosonSum,
    Chiral,
    DzyaloshinskiiMoriya,
    FermionSum,
    Field,
    Heisenberg,
    Ising,
    Kitaev,
    LongRangeIsing,
    LongRangeXXZ,
    PauliSum,
    Rydberg,
    SingleIon,
    rotate_signs,
    spin_matrices,
    tV,
)
from tests.helpers.compiled import Counted
from tests.qml.exact.reference import problems


class Spins:
    """Spin matrices on the whole space."""

    def __init__(self, n: int, s: float):
        self.n, self.one = n, spin_matrices(s)
        self.base = int(2 * s) + 1

    def __call__(self, letters: str, *sites: int) -> np.ndarray:
        """A product of spin matrices on distinct sites."""
        out = np.eye(1)
        for i in range(self.n):
            here = self.one[letters[sites.index(i)]] if i in sites else np.eye(self.base)
            out = np.kron(out, here)
        return out

    def dot(self, i: int, j: int) -> np.ndarray:
        """S_i . S_j."""
        return sum(self(2 * a, i, j) for a in "XYZ")

    def cross(self, i: int, j: int) -> list[np.ndarray]:
        """The components of S_i x S_j."""
        return [self(a + b, i, j) - self(b + a, i, j) for a, b in ("YZ", "ZX", "XY")]


def close(operator, expected, s: float) -> None:
    """Dense, matrix-free and neighbours agree with the matrix; the operator is Hermitian."""
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-12)
    assert operator.is_hermitian and isinstance(operator, PauliSum) == (s == 0.5)


@pytest.mark.parametrize("s", [pytest.param(0.5, marks=pytest.mark.slow), 1])
def test_definitions(s):
    """Every model of the Heisenberg kind, for spins 1/2 and 1, with one coupling for each bond."""
    n, rng = 5, np.random.default_rng(0)
    space, chain, m = Spin(n, s=s), Chain(n), Spins(n, s)
    first, second = chain.edges(), chain.edges(order=2)
    j = rng.normal(size=len(first))
    close(Heisenberg(space, chain, j), sum(c * m.dot(*b) for c, b in zip(j, first)), s)
    xy = sum(c * (m("XX", *b) + m("YY", *b)) for c, b in zip(j, first))
    close(XY(space, chain, j=j), xy, s)
    close(XXZ(space, chain, j=j, delta=0.3), xy + 0.3 * sum(c * m("ZZ", *b) for c, b in zip(j, first)), s)
    xyz = sum(m("XX", *b) - 0.5 * m("YY", *b) + 2 * m("ZZ", *b) for b in first)
    close(XYZ(space, chain, jx=1.0, jy=-0.5, jz=2.0), xyz, s)
    j1j2 = 0.7 * sum(m.dot(*b) for b in first) - 0.2 * sum(m.dot(*b) for b in second)
    close(J1J2(space, chain, j1=0.7, j2=-0.2), j1j2, s)
    d = rng.normal(size=(len(first), 3))
    dm = sum(v @ np.array(m.cross(*b)).reshape(3, -1) for v, b in zip(d, first)).reshape(len(xyz), -1)
    close(DzyaloshinskiiMoriya(space, chain, d=d), dm, s)
    one = sum(0.5 * m.cross(*b)[1] - m.cross(*b)[2] for b in first)
    close(DzyaloshinskiiMoriya(space, chain, d=(0.0, 0.5, -1.0)), one, s)
    close(DzyaloshinskiiMoriya(space, chain, d=[0.0, 0.5, -np.ones(len(first))]), one, s)
    h = rng.normal(size=(3, n))
    field = -sum(h[a, i] * m("XYZ"[a], i) for a in range(3) for i in range(n))
    close(Field(space, x=h[0], y=h[1], z=h[2]), field, s)


def test_three_shells():
    """J1-J2-J3 on a ring of seven."""
    space, chain, m = Spin(7), Chain(7), Spins(7, 0.5)
    expected = sum(c * m.dot(*b) for k, c in ((1, 1.0), (2, 0.5), (3, -0.3)) for b in chain.edges(order=k))
    close(J1J2J3(space, chain, j1=1.0, j2=0.5, j3=-0.3), expected, 0.5)


@pytest.mark.parametrize("s", [0.5, 1])
def test_chirality(s):
    """S.(S x S) of one triangle, its sign with the order of the corners, and the spectrum of three spins 1/2."""

    class Triangle:
        n_sites = 3

        def __init__(self, *corners):
            self.corners = corners

        def triangles(self):
            return (self.corners,)

    m, space = Spins(3, s), Spin(3, s=s)
    signs = {p: round(np.linalg.det(np.eye(3)[list(p)])) for p in itertools.permutations(range(3))}
    expected = sum(sign * m("".join("XYZ"[a] for a in p), 0, 1, 2) for p, sign in signs.items())
    close(Chiral(space, Triangle(0, 1, 2), k=0.7), 0.7 * expected, s)
    close(Chiral(space, Triangle(1, 0, 2)), -expected, s)
    if s == 0.5:
        levels = np.linalg.eigvalsh(expected)
        np.testing.assert_allclose(levels, [-math.sqrt(3) / 4] * 2 + [0] * 4 + [math.sqrt(3) / 4] * 2, atol=1e-13)
    lattice = Triangular(3, 3)
    np.testing.assert_allclose(
        Chiral(Spin(9, magnetisation=2.5), lattice).to_dense(),
        Chiral(Spin(9), lattice).on(Spin(9, magnetisation=2.5)).to_dense(),
        atol=1e-13,
    )


def test_single_ion():
    """Squares of spin matrices for spins 1 and 3/2, a constant for spins 1/2."""
    for s in (0.5, 1, 1.5):
        m = spin_matrices(s)
        squares = {a: m[a] @ m[a] for a in "XYZ"}
        expected = 0.8 * squares["Z"] + 0.3 * (squares["X"] - squares["Y"])
        np.testing.assert_allclose(SingleIon(Spin(1, s=s), d=0.8, e=0.3).to_dense(), expected, atol=1e-13)
    SingleIon(Spin(3, s=1, magnetisation=0), d=0.5)
    with pytest.raises(SpaceError):
        SingleIon(Spin(3, s=1, magnetisation=0), d=0.5, e=0.1)


def test_pauli_models():
    """Long-range Ising, Rydberg and Kitaev in Pauli matrices, distances by the nearest image."""
    n, chain, m = 5, Chain(5), Spins(5, 0.5)
    pairs = list(itertools.combinations(range(n), 2))
    r = {(i, j): min(j - i, n - j + i) for i, j in pairs}
    x = sum(2 * m("X", i) for i in range(n))
    number = [np.eye(32) / 2 - m("Z", i) for i in range(n)]
    zz = {p: 4 * m("ZZ", *p) for p in pairs}
    close(
        LongRangeIsing(Spin(n), chain, alpha=1.5, j=-0.7, h=0.4),
        -0.7 * sum(zz[p] / r[p] ** 1.5 for p in pairs) - 0.4 * x,
        0.5,
    )
    kac = 2 * (1 + 2**-1.5)
    close(LongRangeIsing(Spin(n), chain, alpha=1.5, kac=True), sum(zz[p] / r[p] ** 1.5 for p in pairs) / kac, 0.5)
    xxz = sum((m("XX", *p) + m("YY", *p) + 0.2 * m("ZZ", *p)) / r[p] ** 2 for p in pairs)
    close(LongRangeXXZ(Spin(n), chain, alpha=2, delta=0.2), xxz, 0.5)
    drive = 0.5 * 1.2 * x - 0.6 * sum(number)
    van = {p: number[p[0]] @ number[p[1]] for p in pairs}
    close(
        Rydberg(Spin(n), chain, c6=9.0, rabi=1.2, detuning=0.6), drive + 9 * sum(van[p] / r[p] ** 6 for p in pairs), 0.5
    )
    near = drive + 9 * sum(van[p] for p in pairs if r[p] == 1)
    close(Rydberg(Spin(n), chain, c6=9.0, rabi=1.2, detuning=0.6, cutoff=1.0), near, 0.5)
    lattice, spins = KitaevHoneycomb(2, 2, periodic=False), Spins(8, 0.5)
    expected = sum(
        4 * k * spins(2 * c.upper(), *b) for c, k in zip("xyz", (-1.0, 0.5, 2.0)) for b in lattice.edges(color=c)
    )
    close(Kitaev(Spin(8), lattice, kx=-1.0, ky=0.5, kz=2.0), expected, 0.5)


def test_twist_is_a_gauge_transformation():
    """A twist turns S^+ S^- by its phase; spread over all bonds it gives the same levels, and 2 pi is none."""
    n, angle = 6, 0.7
    space = Spin(n, magnetisation=0)
    m = Spins(n, 0.5)
    chain = Chain(n, twist=angle)
    matrix = np.zeros((2**n, 2**n), complex)
    for (i, j), phase in zip(chain.edges(), chain.edge_phases()):
        hop = phase * m("+-", i, j)
        matrix += (hop + hop.conj().T) / 2 + 0.3 * m("ZZ", i, j)
    twisted = XXZ(Spin(n), chain, delta=0.3)
    np.testing.assert_allclose(twisted.to_dense(), matrix, atol=1e-13)
    assert twisted.is_hermitian
    spread = matrix * 0
    for i in range(n):
        hop = np.exp(-1j * angle / n) * m("+-", i, (i + 1) % n)
        spread += (hop + hop.conj().T) / 2 + 0.3 * m("ZZ", i, (i + 1) % n)
    levels = np.linalg.eigvalsh(XXZ(space, chain, delta=0.3).to_dense())
    index = np.asarray(Spin(n).states_to_indices(space.all_states()))
    np.testing.assert_allclose(levels, np.linalg.eigvalsh(spread[np.ix_(index, index)]), atol=1e-12)
    full = XXZ(space, Chain(n, twist=2 * math.pi), delta=0.3).to_dense()
    np.testing.assert_allclose(full, XXZ(space, Chain(n), delta=0.3).to_dense(), atol=1e-12)
    dm = DzyaloshinskiiMoriya(space, chain, d=(0.0, 0.0, 1.0))
    np.testing.assert_allclose(dm.to_dense(), _current(space, chain, m, index), atol=1e-13)
    s1 = Spin(4, s=1, magnetisation=0)
    one = Heisenberg(s1, Chain(4, twist=math.pi))
    np.testing.assert_allclose(np.trace(one.to_dense()), np.trace(Heisenberg(s1, Chain(4)).to_dense()), atol=1e-12)
    assert one.is_hermitian


def _current(space, chain, m, index) -> np.ndarray:
    """i (e^{i phi} S+ S- - h.c.) / 2 summed over the bonds."""
    total = 0
    for (i, j), phase in zip(chain.edges(), chain.edge_phases()):
        hop = 1j * phase * m("+-", i, j)
        total = total + (hop + hop.conj().T) / 2
    return total[np.ix_(index, index)]


ENERGIES = {  # kagome and honeycomb: sparse matrices in the sector of zero magnetisation, residuals below 1e-13
    "kitaev_honeycomb_12": lambda: Kitaev(Spin(12), _kitaev12()),
    "lrtfim_chain_L12_alpha3": lambda: LongRangeIsing(Spin(12), Chain(12), alpha=3.0, j=-1.0, h=1.0),
    "xy_square_4x4": lambda: XY(Spin(16, magnetisation=0), Square(4, 4), j=-1.0),
    "xxz_chain_L16_D1.5_pbc": lambda: XXZ(Spin(16, magnetisation=0), Chain(16), delta=1.5),
    "spin1_heisenberg_chain_L8": lambda: Heisenberg(Spin(8, s=1, magnetisation=0), Chain(8)),
    -10.097165836504857: lambda: Heisenberg(Spin(18, magnetisation=0), Honeycomb(3, 3)),
    -8.048270773541159: lambda: Heisenberg(Spin(18, magnetisation=0), Kagome(3, 2)),
}


def lowest(operator) -> float:
    """Lowest level of the sparse matrix, by SciPy."""
    matrix, start = operator.to_sparse(), np.random.default_rng(0).normal(size=operator.hilbert.size)
    return scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", v0=start, return_eigenvectors=False)[0]


LARGE = (-10.097165836504857, -8.048270773541159)  # 48620 states
LEVELS = [pytest.param(e, marks=pytest.mark.slow if e in LARGE else (), id=str(e)) for e in ENERGIES]


@pytest.mark.parametrize("energy", LEVELS)
def test_reference_energies(energy):
    """Ground states of the lattice models to 1e-9."""
    expected = problems()[energy]["reference"]["energy"] if isinstance(energy, str) else energy
    assert abs(lowest(ENERGIES[energy]()) - expected) < 1e-9


def _kitaev12():
    """The reference cluster by its coloured bonds."""
    bonds = problems()["kitaev_honeycomb_12"]["bonds"]

    class Cluster:
        n_sites = 12

        def edges(self, order=1, color=None):
            return tuple(tuple(b) for b in bonds[color])

    return Cluster()


def test_marshall_rotation():
    """U H U+ by matrices, for spins 1/2 and 1; the ground state of the rotated antiferromagnet is positive."""
    for s in (0.5, 1):
        space = Spin(4, s=s)
        operator = Heisenberg(space, Chain(4)) + Field(space, x=0.3, y=0.1) if s == 1 else Heisenberg(space, Chain(4))
        steps = np.asarray(int(2 * s) - space.all_states()[:, np.array([0, 2])].astype(int)) // 2
        u = (-1.0) ** steps.sum(axis=1)
        rotated = rotate_signs(operator, (0, 2))
        np.testing.assert_allclose(rotated.to_dense(), u[:, None] * operator.to_dense() * u[None, :], atol=1e-13)
        np.testing.assert_allclose(rotate_signs(rotated, (2, 0)).to_dense(), operator.to_dense(), atol=1e-13)
    sector = rotate_signs(Heisenberg(Spin(8, magnetisation=0), Chain(8)), range(0, 8, 2))
    vector = np.linalg.eigh(sector.to_dense())[1][:, 0]
    assert np.all(vector * np.sign(vector[0]) > 0)
    for sites in ((0, 0), (8,)):
        with pytest.raises(SpaceError):
            rotate_signs(sector, sites)


@pytest.mark.parametrize("kind", ["fermions", "bosons"])
def test_rotation_of_particles(kind):
    """U O U+ by matrices, for pairs and numbers too; the sign of the hopping between two sublattices changes."""
    space = SpinlessFermion(4) if kind == "fermions" else Boson(4, n_max=2)
    model = tV if kind == "fermions" else BoseHubbard
    terms = {"0^ 1": 0.3 + 0.2j, "2^ 0^": 0.5, "n1 n2": 0.7, "3": 0.1j}
    operator = (FermionSum if kind == "fermions" else BosonSum)(terms, space)
    u = (-1.0) ** np.asarray(space.all_states())[:, [0, 2]].sum(axis=1)
    rotated = rotate_signs(operator, (0, 2))
    np.testing.assert_allclose(rotated.to_dense(), u[:, None] * operator.to_dense() * u[None, :], atol=1e-14)
    assert not rotated.is_hermitian and rotate_signs(model(space, Chain(4)), (0, 2)).is_hermitian
    if kind == "fermions":
        plus, minus = (tV(space, Chain(4), t=t, v=2.0) for t in (1.0, -1.0))
        assert rotate_signs(plus, (1, 3)).terms == minus.terms


def test_couplings_are_traced():
    """One program for all couplings of every model, and gradients; elements known to be Hermitian stay so."""
    space, lattice = Spin(4, s=1, magnetisation=0), Chain(4)
    vector = jnp.asarray(np.random.default_rng(0).normal(size=space.size))

    @Counted
    def energy(j, delta, d, ion):
        h = XXZ(space, lattice, j=j, delta=delta) + DzyaloshinskiiMoriya(space, lattice, d=(0.0, 0.0, d))
        h = h + SingleIon(space, d=ion)
        assert h.is_hermitian
        return jnp.real(jnp.conj(vector) @ h.apply(vector))

    slopes = jax.grad(energy, argnums=(0, 1, 2, 3))(1.0, 0.5, 0.2, 0.1)
    for j in (0.3, 0.6):
        energy(j, 0.5, 0.2, 0.1)
    assert energy.traces == 1
    np.testing.assert_allclose(slopes[3], energy(0.0, 0.0, 0.0, 1.0), rtol=1e-12)
    np.testing.assert_allclose(slopes[1], energy(1.0, 1.0, 0.0, 0.0) - energy(1.0, 0.0, 0.0, 0.0), rtol=1e-12)
    slope = jax.grad(lambda a: jnp.sum(LongRangeIsing(Spin(4), lattice, alpha=a).coefficients))(1.0)
    np.testing.assert_allclose(slope, -2 * math.log(2) / 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: XYZ(Spin(4, magnetisation=0), Chain(4), jy=0.5), SpaceError),
        (lambda: XYZ(Spin(4), Chain(4, twist=0.1)), SpaceError),
        (lambda: Ising(Spin(4), Chain(4, twist=0.1), h=1.0), SpaceError),
        (lambda: DzyaloshinskiiMoriya(Spin(4, magnetisation=0), Chain(4), d=(1.0, 0.0, 0.0)), SpaceError),
        (lambda: DzyaloshinskiiMoriya(Spin(4), Chain(4, twist=0.1), d=(1.0, 0.0, 0.0)), SpaceError),
        (lambda: DzyaloshinskiiMoriya(Spin(4), Chain(4), d=(1.0, 0.0)), ShapeError),
        (lambda: DzyaloshinskiiMoriya(Spin(4), Chain(4), d=np.ones((3, 4))), ShapeError),
        (lambda: Chiral(Spin(4), Chain(4)), ShapeError),
        (lambda: Kitaev(Spin(18, s=1), KitaevHoneycomb(3)), SpaceError),
        (lambda: Kitaev(Spin(18, magnetisation=0), KitaevHoneycomb(3)), SpaceError),
        (lambda: Rydberg(Spin(4, magnetisation=0), Chain(4), c6=1.0), SpaceError),
        (lambda: LongRangeXXZ(Spin(5), Chain(4), alpha=1.0), ShapeError),
        (lambda: Field(Spin(4), x=np.ones(3)), ShapeError),
        (lambda: Heisenberg(Spin(4, s=1), Chain(4), np.ones(3)), ShapeError),
    ],
)
def test_bad_input(build, error):
    """Models refuse spaces that they leave, lattices without what they need, couplings of the wrong shape."""
    with pytest.raises(error, match=r"got:(.|\n)*expected:(.|\n)*try:"):
        build()
