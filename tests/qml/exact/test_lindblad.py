"""Open systems against closed forms, dense generators, matrix exponentials, QuTiP and reference values."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml.exact import Lindbladian, evolve_density, steady_state
from qml.exact.lindblad import generator_bound
from qml.hilbert import Boson, Spin, SpinlessFermion
from qml.lattice import Chain
from qml.operator import Ising, PauliSum, annihilate, create, number, total, tV
from tests.qml.exact.reference import FILE

PROBLEMS = json.loads((FILE.parent / "spectra_open_systems.json").read_text())["problems"]
RNG = np.random.default_rng(2)


def place(n, words):
    """Each word of one letter on each site."""
    return [PauliSum({"I" * i + w + "I" * (n - 1 - i): c for w, c in words.items()}) for i in range(n)]


LOWER = {"X": 0.5, "Y": -0.5j}


def dissipative(n, rate=1.0):
    """(V/4) sum Z Z + (g/2) sum X with V = 2, g = 1, and decay of each spin."""
    return Lindbladian(Ising(Spin(n), Chain(n), j=0.5, h=-0.5), [(rate, jump) for jump in place(n, LOWER)])


def superoperator(hamiltonian, jumps):
    """The generator on matrices read row by row, from dense matrices."""
    one = np.eye(len(hamiltonian))
    out = -1j * (np.kron(hamiltonian, one) - np.kron(one, hamiltonian.T))
    for jump in jumps:
        square = jump.conj().T @ jump
        out = out + np.kron(jump, jump.conj()) - (np.kron(square, one) + np.kron(one, square.T)) / 2
    return out


def means(state, n):
    sums = {letter: np.asarray(state.expect(total(Spin(n), letter.upper()))) / n for letter in "xyz"}
    return sums["x"], sums["y"], sums["z"]


@pytest.mark.parametrize(
    "lindbladian",
    [
        Lindbladian(
            PauliSum({"XYI": 0.5, "IZZ": -1.0, "IIY": 0.3}),
            [
                (0.7, PauliSum({"XII": 0.5, "YII": -0.5j})),
                PauliSum({"IZX": 1 + 0.5j, "III": 0.2}),
                (0.0, PauliSum({"ZII": 1.0})),
            ],
        ),
        Lindbladian(
            tV(SpinlessFermion(3), Chain(3, periodic=False), t=1.0, v=0.7),
            [(0.4, annihilate(SpinlessFermion(3), 1)), (0.2, create(SpinlessFermion(3), 2))],
        ),
        pytest.param(
            Lindbladian(1.0 * number(Boson(1, n_max=4), 0), [(0.5, annihilate(Boson(1, n_max=4), 0))]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_action(lindbladian):
    """The action on any matrix against the superoperator of dense matrices; a bound on the norm; no trace."""
    jumps = [np.sqrt(r) * np.asarray(j.to_dense()) for r, j in zip(np.asarray(lindbladian.rates), lindbladian.jumps)]
    dense = superoperator(np.asarray(lindbladian.hamiltonian.to_dense()), jumps)
    size = lindbladian.hamiltonian.hilbert.size
    matrix = RNG.standard_normal((size, size)) + 1j * RNG.standard_normal((size, size))
    found = lindbladian.apply(matrix)
    np.testing.assert_allclose(np.asarray(found).reshape(-1), dense @ matrix.reshape(-1), atol=1e-12)
    np.testing.assert_allclose(np.trace(found), 0, atol=1e-12)
    np.testing.assert_allclose(lindbladian.to_dense(), dense, atol=1e-13)
    assert np.linalg.norm(found, "nuc") <= generator_bound(lindbladian) * np.linalg.norm(matrix, "nuc")


@pytest.mark.slow
def test_reference_dynamics():
    """The Ising chain with 5 spins from all up: magnetisations and purity up to time 4."""
    expected = PROBLEMS["lindblad_dynamics_tfim_L5"]["reference"]
    run = evolve_density(dissipative(5), np.eye(32)[0], expected["t"])
    for found, name in zip(means(run, 5), ("sx", "sy", "sz")):
        np.testing.assert_allclose(found, expected[name], atol=1e-10)
    purity = np.einsum("tab,tba->t", run.densities, run.densities).real
    np.testing.assert_allclose(purity, expected["purity"], atol=1e-10)
    assert float(run.error) < 1e-10
    np.testing.assert_allclose(run.traces, 1, atol=1e-12)
    assert float(jnp.min(run.lowest)) > -1e-13


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 6, 8])
def test_reference_steady_state(n):
    """Steady states of 5 spins (dense), and of 6 and 8 (iterative)."""
    expected = PROBLEMS[f"dissipative_tfim_chain_L{n}_V2_g1"]["reference"]
    state = steady_state(dissipative(n))
    for found, name in zip(means(state, n), ("sx", "sy", "sz")):
        np.testing.assert_allclose(found, expected[name], atol=1e-9)
    correlator = PauliSum({"ZZ" + "I" * (n - 2): 1.0})
    np.testing.assert_allclose(state.expect(correlator), expected["zz_nn"], atol=1e-9)
    np.testing.assert_allclose(np.trace(state.density @ state.density).real, expected["purity"], atol=1e-9)
    assert float(state.residual) < 1e-8 and float(state.lowest) > 0


@pytest.mark.slow
def test_jvmc_steady_state():
    """Four spins, 0.15 X + 0.5 Z Z with decay; numbers of an independent dense solution."""
    state = steady_state(Lindbladian(Ising(Spin(4), Chain(4), j=0.5, h=-0.15), place(4, LOWER)))
    np.testing.assert_allclose(means(state, 4), [0.141712964, 0.036775690, -0.988967293], atol=2e-9)
    np.testing.assert_allclose(np.trace(state.density @ state.density).real, 0.999370660, atol=2e-9)


def test_one_spin_dephasing():
    """3 X with dephasing Z from |+y>: damped oscillations in closed form."""
    times = np.linspace(0, 2, 9)
    run = evolve_density(Lindbladian(PauliSum({"X": 3.0}), [PauliSum({"Z": 1.0})]), np.array([1, 1j]), times)
    w = np.sqrt(35)
    x, y, z = (np.asarray(run.expect(PauliSum({letter: 1.0}))) for letter in "XYZ")
    np.testing.assert_allclose(x, 0, atol=1e-12)
    np.testing.assert_allclose(y, np.exp(-times) * (np.cos(w * times) - np.sin(w * times) / w), atol=1e-12)
    np.testing.assert_allclose(z, 6 / w * np.sin(w * times) * np.exp(-times), atol=1e-12)


@pytest.mark.parametrize("word", ["XXI", pytest.param("XXX", marks=pytest.mark.slow)])
def test_many_spin_jumps(word):
    """3 Z on three spins in |+y>, one jump on two or all of them: each spin it touches is damped as if alone."""
    hamiltonian = PauliSum({"ZII": 3.0, "IZI": 3.0, "IIZ": 3.0})
    plus = np.array([1, 1j])
    times = np.linspace(0, 1.5, 7)
    run = evolve_density(Lindbladian(hamiltonian, [PauliSum({word: 1.0})]), np.kron(np.kron(plus, plus), plus), times)
    x, y, _ = means(run, 3)
    w, share = np.sqrt(35), word.count("X") / 3
    damped = share * np.exp(-times)
    free_x, free_y = -(1 - share) * np.sin(6 * times), (1 - share) * np.cos(6 * times)
    np.testing.assert_allclose(x, free_x - damped * 6 / w * np.sin(w * times), atol=1e-12)
    np.testing.assert_allclose(y, free_y + damped * (np.cos(w * times) - np.sin(w * times) / w), atol=1e-12)


@pytest.mark.slow
def test_correlated_jumps():
    """Three spins with X X X, jumps of pairs, uneven times: against the matrix exponential and QuTiP."""
    lindbladian = Lindbladian(
        PauliSum({"ZII": 3.0, "IZI": 3.0, "IIZ": 1.5}), [(0.8, PauliSum({"XXX": 1.0})), (0.3, PauliSum({"XYI": 1j}))]
    )
    factor = RNG.standard_normal((8, 3)) + 1j * RNG.standard_normal((8, 3))
    rho = factor @ factor.conj().T / np.sum(np.abs(factor) ** 2)
    times = [0.0, 0.01, 0.01, 1.3]
    run = evolve_density(lindbladian, rho, times)
    dense = np.asarray(lindbladian.to_dense())
    for time, found in zip(times, run.densities):
        exact = (scipy.linalg.expm(time * dense) @ rho.reshape(-1)).reshape(8, 8)
        assert np.linalg.norm(found - exact, "nuc") <= float(run.error) + 1e-12
    qutip = pytest.importorskip("qutip")
    jumps = [np.sqrt(r) * qutip.Qobj(np.asarray(j.to_dense())) for r, j in zip([0.8, 0.3], lindbladian.jumps)]
    found = qutip.liouvillian(qutip.Qobj(np.asarray(lindbladian.hamiltonian.to_dense())), jumps)
    columns = found.full() @ rho.T.reshape(-1)  # QuTiP reads matrices column by column
    np.testing.assert_allclose(lindbladian.apply(rho), columns.reshape(8, 8).T, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rates", [np.full(4, 0.02), np.geomspace(1e-2, 10, 4), [0.01, 0, 0, 5.0]], ids=str)
def test_rates_of_all_sizes(rates, monkeypatch):
    """Weak decay, very different rates, sites without decay: a few products, and the answer of the dense way."""
    module, products = sys.modules["qml.exact.steady"], []
    system = Lindbladian(Ising(Spin(4), Chain(4), j=0.5, h=-0.5), list(zip(rates, place(4, LOWER))))
    dense, action = steady_state(system), module._real_action
    monkeypatch.setattr(module, "_DENSE", 0)
    monkeypatch.setattr(module, "_real_action", lambda *a: (products.append(1), action(*a))[1])
    found = steady_state(system)
    np.testing.assert_allclose(found.density, dense.density, atol=1e-8)
    assert len(products) < 100


@pytest.mark.slow
def test_several_steady_states():
    """Dephasing keeps all populations: refused by the dense and by the iterative way."""
    for n in (3, 6):
        lindbladian = Lindbladian(Ising(Spin(n), Chain(n), j=1.0), place(n, {"Z": 1.0}))
        with pytest.raises(ConvergenceError, match="not unique"):
            steady_state(lindbladian)


@pytest.mark.slow
def test_derivatives():
    """Derivatives in a rate and in a coupling, forward and backward, against differences; jit."""
    start = np.eye(4)[0]

    @jax.jit
    def signal(parameters):
        h = PauliSum.from_terms([("ZZ", (0, 1), 0.5), ("X", (0,), parameters[0]), ("X", (1,), 0.3)], Spin(2))
        lindbladian = Lindbladian(h, [(parameters[1], jump) for jump in place(2, LOWER)])
        return evolve_density(lindbladian, start, [0.5, 1.1], bound=12.0).expect(PauliSum({"ZI": 1.0}))[1]

    at = np.array([0.7, 0.4])
    step = 1e-5 * np.eye(2)
    slope = np.array([(signal(at + s) - signal(at - s)) / 2e-5 for s in step])
    np.testing.assert_allclose(jax.grad(signal)(at), slope, atol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(signal)(at), slope, atol=1e-8)
    with pytest.raises(SpaceError):
        jax.grad(
            lambda r: evolve_density(
                Lindbladian(PauliSum({"X": 1.0}), [(r, PauliSum({"Z": 1.0}))]), start[:2], [1.0]
            ).traces[0]
        )(1.0)


def test_bad_input():
    """No jumps, negative rates, other spaces, matrices that are no density matrices, times."""
    h, z = PauliSum({"X": 1.0}), PauliSum({"Z": 1.0})
    for jumps in ([], [(-1.0, z)], [(np.nan, z)], [1.0], [(1.0, z, z)]):
        with pytest.raises(ShapeError):
            Lindbladian(h, jumps)
    with pytest.raises(SpaceError):
        Lindbladian(h, [PauliSum({"ZZ": 1.0})])
    with pytest.raises(SpaceError):
        Lindbladian(PauliSum({"X": 1j}), [z])
    good = Lindbladian(h, [z])
    for rho in (np.eye(2), np.eye(3) / 3, np.diag([1.5, -0.5]), np.array([[0.5, 0.5], [0.0, 0.5]])):
        with pytest.raises(ShapeError):
            evolve_density(good, rho, [1.0])
    for times in ([1.0, 0.5], [-1.0], 1.0, []):
        with pytest.raises(ShapeError):
            evolve_density(good, np.eye(2) / 2, times)
    with pytest.raises(ShapeError):
        good.apply(np.eye(3))
    with pytest.raises(SpaceError):
        evolve_density(good, np.eye(2) / 2, [1.0]).expect(PauliSum({"ZZ": 1.0}))
