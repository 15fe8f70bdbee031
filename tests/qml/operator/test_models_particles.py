"""Models of fermions and bosons: definitions, energies of other codes, couplings, twists, currents, local values."""

import itertools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ShapeError, SpaceError
from qml.ansatz import to_ansatz
from qml.estimate import local_values
from qml.exact import evolve, ground_state
from qml.hilbert import Boson, Constrained, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Square, Triangular
from qml.operator import BosonSum, FermionSum
from qml.operator.boson_models import BoseHubbard
from qml.operator.fermion_models import ExtendedHubbard, Hubbard, tJ, tV
from qml.operator.particles import annihilate, bond_current, create, current, density_density, hopping, number
from tests.qml.exact.reference import Bonds
from tests.qml.operator.fock import annihilator, block, bosons, fermions, lowest

FILE = pathlib.Path(__file__).parents[2] / "reference" / "particles.json"
PROBLEMS = json.loads(FILE.read_text())["problems"]
LARGE = ("hubbard_rect_2x3_U8", "hubbard_chain_L8_U4")
WHOLE = [p for p in PROBLEMS if p != "hubbard_square_4x4_N8_U4"]  # 3.3 million states: in its sector in test_problems


@pytest.mark.parametrize("name", [pytest.param(p, marks=pytest.mark.slow if p in LARGE else ()) for p in WHOLE])
def test_reference_energies(name):
    """Ground state energies of other codes, without a matrix."""
    problem = PROBLEMS[name]
    n, p, bonds, reference = problem["N"], problem["params"], problem["bonds"], problem["reference"]
    lattice = Bonds(n, bonds)
    if name.startswith("bose"):
        space = Boson(n, n_max=p["n_max"], n_particles=n)
        operator = BoseHubbard(space, lattice, j=p["J"], u=p["U"])
    elif name.startswith("tV"):
        space = SpinlessFermion(n, n_fermions=int(name.split("_N")[1].split("_")[0]))
        operator = tV(space, lattice, t=p["t"], v=p["V"])
    else:
        space = SpinfulFermion(n, n_up=p["n_up"], n_down=p["n_dn"])
        operator = Hubbard(space, lattice, t=p["t"], u=p["U"])
    assert space.size == reference["dim"]
    result = ground_state(operator)
    assert abs(float(result.energies[0]) - reference["energy"]) < 1e-9
    if "double_occupancy_total" in reference:
        double = density = FermionSum({f"n{i} n{i + n}": 1.0 for i in range(n)}, space)
        value = np.vdot(result.vectors[0], double.apply(result.vectors[0])).real
        assert abs(value - reference["double_occupancy_total"]) < 1e-8 and density.is_hermitian
    if "n0_variance" in reference:
        n0 = number(space, 0)
        mean, square = (np.vdot(result.vectors[0], o.apply(result.vectors[0])) for o in (n0, n0 @ n0))
        assert abs(square - mean**2 - reference["n0_variance"]) < 1e-8


ring = Chain(6)
OTHERS = {  # published or computed by other codes, eight digits and more
    "hubbard ring 4, U=4": (lambda: Hubbard(SpinfulFermion(4, 2, 2), Chain(4), u=4.0), -2.10274848),
    "hubbard ring 4, U=8": (lambda: Hubbard(SpinfulFermion(4, 2, 2), Chain(4), u=8.0), -1.32023496),
    "hubbard ring 6, U=4": (lambda: Hubbard(SpinfulFermion(6, 3, 3), ring, u=4.0), -3.66870618),
    "hubbard ring 6, U=8": (lambda: Hubbard(SpinfulFermion(6, 3, 3), ring, u=8.0), -2.04813089),
    "hubbard ladder 4x2, (4, 4)": (lambda: _ladder(4), -3.46717344),
    "hubbard ladder 4x2, (3, 3)": (lambda: _ladder(3), -6.36966786),
    "t-V 4x4, 5 fermions, V=4": (lambda: tV(SpinlessFermion(16, 5), Square(4, 4), v=4.0), -6.859013554),
    "bose-hubbard ring 6, n_max=6": (lambda: BoseHubbard(Boson(6, 6, 6), ring, u=4.0), -5.69019340),
    "bose-hubbard ring 6, n_max=3": (lambda: BoseHubbard(Boson(6, 3, 6), ring, u=4.0), -5.68371178),
    "hubbard open 4, all numbers, mu=2": (
        lambda: Hubbard(SpinfulFermion(4), Chain(4, periodic=False), u=4.0, mu=2.0),
        -9.953145309,
    ),
}


def _ladder(n: int) -> FermionSum:
    return Hubbard(SpinfulFermion(8, n, n), Square(4, 2, periodic=(True, False)), u=8.0)


SIMILAR = ("hubbard ring 4, U=8", "hubbard ring 6, U=4", "hubbard ring 6, U=8", "hubbard ladder 4x2, (4, 4)",
           "bose-hubbard ring 6, n_max=3")  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SIMILAR else ()) for n in OTHERS])
def test_other_codes(name):
    """Energies printed by other codes."""
    operator, energy = OTHERS[name]
    digits = len(str(energy).split(".")[1])
    assert abs(float(ground_state(operator()).energies[0]) - energy) < 0.6 * 10.0**-digits


def _c(mode: int, n: int) -> np.ndarray:
    return annihilator(mode, n)


def test_definitions_of_fermion_models():
    """Hubbard, extended Hubbard and t-V against sums of matrices, with couplings for every bond and site."""
    rng, lattice = np.random.default_rng(0), Square(3, 1, periodic=(True, False))
    bonds, free = lattice.edges(), SpinfulFermion(3)
    t, v, u, mu = (
        rng.normal(size=3) + 1j * rng.normal(size=3),
        rng.normal(size=3),
        rng.normal(size=3),
        rng.normal(size=3),
    )
    n = [_c(m, 6).T @ _c(m, 6) for m in range(6)]
    hops = sum(-t[k] * _c(i + s, 6).T @ _c(j + s, 6) for k, (i, j) in enumerate(bonds) for s in (0, 3))
    expected = hops + hops.conj().T + sum(u[i] * n[i] @ n[i + 3] - mu[i] * (n[i] + n[i + 3]) for i in range(3))
    operator = Hubbard(free, lattice, t=t, u=u, mu=mu)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian and operator.conserves_number
    expected = expected + sum(v[k] * (n[i] + n[i + 3]) @ (n[j] + n[j + 3]) for k, (i, j) in enumerate(bonds))
    extended = ExtendedHubbard(SpinfulFermion(3, n_fermions=3), lattice, t=t, u=u, v=v, mu=mu)
    np.testing.assert_allclose(extended.to_dense(), block(expected, free, extended.hilbert), atol=1e-13)
    n = [_c(m, 3).T @ _c(m, 3) for m in range(3)]
    hops = sum(-t[k] * _c(i, 3).T @ _c(j, 3) for k, (i, j) in enumerate(bonds))
    expected = hops + hops.conj().T + sum(v[k] * n[i] @ n[j] for k, (i, j) in enumerate(bonds))
    np.testing.assert_allclose(tV(SpinlessFermion(3), lattice, t=t, v=v).to_dense(), expected, atol=1e-13)


def test_bose_hubbard():
    """The definition against matrices of bosons."""
    rng, lattice = np.random.default_rng(1), Chain(3)
    u, mu, v = rng.normal(size=3), rng.normal(size=3), rng.normal(size=3)
    operator = BoseHubbard(Boson(3, n_max=2), lattice, j=0.7, u=u, mu=mu, v=v)
    terms = {f"{i}^ {j}": -0.7 for a, b in lattice.edges() for i, j in ((a, b), (b, a))}
    terms |= {f"{i}^ {i}^ {i} {i}": u[i] / 2 for i in range(3)} | {f"n{i}": -mu[i] for i in range(3)}
    terms |= {f"n{i} n{j}": v[k] for k, (i, j) in enumerate(lattice.edges())}
    np.testing.assert_allclose(operator.to_dense(), bosons(terms, 3, 2, spare=2), atol=1e-12)


def single(x):
    """No orbital of three holds two fermions."""
    return jnp.all(x[..., :3] + x[..., 3:] < 2, axis=-1)


@pytest.mark.slow
def test_tj():
    """The projected Hamiltonian, and strong repulsion: Hubbard at large u has the levels of t-J to order 1/u^2."""
    lattice, free = Chain(3, periodic=False), SpinfulFermion(3)
    c = [_c(m, 6) for m in range(6)]
    n = [m.T @ m for m in c]
    spins = [(c[i].T @ c[i + 3], c[i + 3].T @ c[i], (n[i] - n[i + 3]) / 2) for i in range(3)]
    hops = sum(-0.8 * (c[i + s].T @ c[j + s] + c[j + s].T @ c[i + s]) for i, j in lattice.edges() for s in (0, 3))
    total = [n[i] + n[i + 3] for i in range(3)]
    exchange = sum(
        (p @ mm + m @ pp) / 2 + z @ zz - total[i] @ total[j] / 4
        for i, j in lattice.edges()
        for (p, m, z), (pp, mm, zz) in [(spins[i], spins[j])]
    )
    expected = hops + 0.3 * exchange
    for numbers in ({"n_up": 1, "n_down": 1}, {"n_fermions": 2}):
        space = Constrained(SpinfulFermion(3, **numbers), single)
        operator = tJ(space, lattice, t=0.8, j=0.3)
        np.testing.assert_allclose(operator.to_dense(), block(expected, free, space), atol=1e-13)
    vector = np.random.default_rng(0).normal(size=space.size)
    np.testing.assert_allclose(operator.apply(vector), block(expected, free, space) @ vector, atol=1e-12)
    with pytest.raises(SpaceError, match="leaves"):
        Hubbard(space, lattice)
    assert tJ(free, lattice, t=0.8, j=0.3).hilbert == free
    np.testing.assert_allclose(
        jax.jit(lambda t: tJ(space, lattice, t=t, j=0.3).apply(vector))(0.8), operator.apply(vector)
    )


def test_twists():
    """Flux through a ring: levels of free fermions at shifted momenta; antiperiodic rings stay real."""
    for angle in (0.0, 0.7, math.pi):
        operator = hopping(SpinlessFermion(5, n_fermions=1), Chain(5, twist=angle), 1.3)
        momenta = (2 * np.pi * np.arange(5) + angle) / 5
        np.testing.assert_allclose(np.linalg.eigvalsh(operator.to_dense()), np.sort(-2.6 * np.cos(momenta)), atol=1e-12)
        assert operator.is_hermitian and np.iscomplexobj(operator.coefficients) == (angle == 0.7)
    full = ground_state(tV(SpinlessFermion(4, n_fermions=2), Chain(4, twist=math.pi), v=0.0)).energies[0]
    np.testing.assert_allclose(full, -2 * math.sqrt(2), atol=1e-12)  # even number: antiperiodic is the closed shell
    both = np.linalg.eigvalsh(BoseHubbard(Boson(4, 1, 2), Chain(4)).to_dense())
    np.testing.assert_allclose(both[0], full, atol=1e-12)  # hard-core bosons are such fermions


def test_densities():
    """Bonds, next bonds and a power law; both spins count."""
    chain, space = Chain(5), SpinfulFermion(5)
    n = np.asarray(space.all_states()).reshape(-1, 2, 5).sum(axis=1)
    pairs = list(itertools.combinations(range(5), 2))
    distance = chain.distances()
    for operator, expected in [
        (density_density(space, chain, 0.5), sum(0.5 * n[:, i] * n[:, j] for i, j in chain.edges())),
        (density_density(space, chain, order=2), sum(n[:, i] * n[:, j] for i, j in chain.edges(order=2))),
        (
            density_density(space, chain, 2.0, power=3),
            sum(2 * n[:, i] * n[:, j] / distance[i, j] ** 3 for i, j in pairs),
        ),
        (number(space), n.sum(axis=1)),
        (number(space, 2), n[:, 2]),
        (number(space, 2, "down"), np.asarray(space.all_states())[:, 7]),
    ]:
        np.testing.assert_allclose(operator.diagonal(space.all_states()), expected, atol=1e-13)


@pytest.mark.parametrize("lattice", [Chain(4), Triangular(3, 2, periodic=(True, False)), Chain(5, twist=0.4)])
def test_currents(lattice):
    """Continuity, exactly, with an interaction and complex amplitudes; the total is the velocity i[H, X]."""
    rng, space = np.random.default_rng(0), SpinlessFermion(lattice.n_sites)
    t = rng.normal(size=len(lattice.edges())) + 1j * rng.normal(size=len(lattice.edges()))
    h = tV(space, lattice, t=t, v=1.7)
    for site in range(lattice.n_sites):
        inflow = FermionSum({}, space)
        for i, j in lattice.edges():
            if site in (i, j):
                inflow = inflow + bond_current(space, lattice, i + j - site, site, t)
        assert inflow.is_hermitian
        assert (1j * h.commutator(number(space, site)) - inflow).simplify(1e-12).terms == {}


def test_total_current():
    """On an open chain the current is i[H, X]; on a twisted ring it is minus the derivative by the angle times L."""
    open_chain, space = Chain(4, periodic=False), SpinfulFermion(4)
    h, position = hopping(space, open_chain), sum(i * number(space, i) for i in range(4))
    assert (1j * h.commutator(position) - current(space, open_chain)).simplify(1e-12).terms == {}
    two = Square(2, 3, periodic=False)
    h, space = hopping(SpinlessFermion(6), two), SpinlessFermion(6)
    x = sum(float(two.positions[i] @ [0.5, 2.0]) * number(space, i) for i in range(6))
    assert (1j * h.commutator(x) - current(space, two, direction=(0.5, 2.0))).simplify(1e-12).terms == {}
    space = SpinlessFermion(5, n_fermions=2)
    step = 1e-4
    levels = [ground_state(hopping(space, Chain(5, twist=0.3 + d))).energies[0] for d in (-step, step)]
    state = ground_state(hopping(space, Chain(5, twist=0.3))).vectors[0]
    flow = np.vdot(state, current(space, Chain(5, twist=0.3)).apply(state)).real
    np.testing.assert_allclose(flow, 5 * (levels[1] - levels[0]) / (2 * step), atol=1e-7)


def test_traced_couplings():
    """Couplings are traced and derivable in every model; Hermiticity of real ones is known."""
    chain, space = Chain(4), SpinfulFermion(4, 2, 2)
    vector = jnp.asarray(np.random.default_rng(0).normal(size=space.size))

    def energy(couplings):
        operator = ExtendedHubbard(space, chain, **couplings)
        assert operator.is_hermitian
        return vector @ operator.apply(vector)

    couplings = {"t": 1.0, "u": 4.0, "v": 0.5, "mu": 0.1}
    gradient = jax.jit(jax.grad(energy))(couplings)
    np.testing.assert_allclose(sum(couplings[k] * gradient[k] for k in couplings), energy(couplings), rtol=1e-12)
    bosons_space = Boson(4, 2, 3)
    flat = jnp.ones(bosons_space.size)
    parts = jax.jit(jax.grad(lambda j, u: flat @ BoseHubbard(bosons_space, chain, j=j, u=u).apply(flat), (0, 1)))(
        1.0, 2.0
    )
    n = np.asarray(bosons_space.all_states(), float)
    np.testing.assert_allclose(parts[1], np.sum(n * (n - 1) / 2))


@pytest.mark.parametrize("kind", ["hubbard", "tV", "bosons"])
def test_local_values(kind):
    """Local values of a complex wave function are (H psi)(x) / psi(x)."""
    chain = Chain(4)
    operator = {
        "hubbard": lambda: Hubbard(SpinfulFermion(4, 2, 1), Chain(4, twist=0.3), u=3.0),
        "tV": lambda: tV(SpinlessFermion(4, 2), chain, v=1.0),
        "bosons": lambda: BoseHubbard(Boson(4, 3, 4), chain, u=2.0),
    }[kind]()
    space, rng = operator.hilbert, np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=space.n_sites) + 1j * rng.normal(size=space.n_sites))

    def log_psi(params, x):
        return jnp.sin(x.astype(float)) @ params

    ansatz, params = to_ansatz((weights, log_psi), space)
    x = space.all_states()
    psi = np.exp(np.asarray(log_psi(weights, x)))
    expected = np.asarray(operator.to_dense()) @ psi / psi
    np.testing.assert_allclose(local_values(ansatz, params, operator, x), expected, atol=1e-11)


def test_evolution():
    """Real time by Chebyshev, whose interval is that of bound(), against the exponential."""
    space = SpinfulFermion(3, n_up=2, n_down=1)
    operator = Hubbard(space, Chain(3, twist=0.3), u=4.0)
    vector = np.eye(space.size)[1]
    expected = scipy.linalg.expm(-0.7j * np.asarray(operator.to_dense())) @ vector
    np.testing.assert_allclose(evolve(operator, vector, [0.7]).vectors[0], expected, atol=1e-11)


def test_bad_input():
    """Other particles, other sites, wrong shapes, spins where there are none."""
    chain = Chain(4)
    for make in (
        lambda: Hubbard(SpinlessFermion(4), chain),
        lambda: tV(SpinfulFermion(4), chain),
        lambda: BoseHubbard(SpinlessFermion(4), chain),
        lambda: hopping(Spin(4), chain),
        lambda: create(SpinfulFermion(2), 0),
        lambda: create(SpinlessFermion(2), 0, "up"),
        lambda: create(SpinlessFermion(2), 2),
        lambda: create(SpinfulFermion(2), 0, "left"),
        lambda: annihilate(Boson(2, 2, 1), 0),
        lambda: bond_current(SpinlessFermion(4), chain, 0, 2),
    ):
        with pytest.raises(SpaceError):
            make()
    for make in (
        lambda: Hubbard(SpinfulFermion(3), chain),
        lambda: Hubbard(SpinfulFermion(4), chain, t=np.ones(3)),
        lambda: BoseHubbard(Boson(4, 2), chain, u=np.ones(5)),
        lambda: current(SpinlessFermion(4), chain, direction=(1.0, 0.0)),
    ):
        with pytest.raises(ShapeError):
            make()
    assert isinstance(hopping(Boson(4, 2), chain), BosonSum)
    np.testing.assert_allclose(lowest(fermions({"0^ 1": 1.0, "1^ 0": 1.0}, 2)), -1.0)
