"""Couplings of chains from windows: one window is exact, larger ones converge, and the estimate of the error holds."""

import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError, DataError
from qml.gibbs import PauliGibbs, ShotData, averages, grid_couplings, ising_chain, window_couplings
from qml.gibbs.windows import spread_of
from qml.lattice import Square


def chain_marginals(j, h, beta):
    """Exact marginals of an Ising chain, and its couplings in the same order."""
    exact = ising_chain(j, h, beta)
    names = [f"Z{i} Z{i + 1}" for i in range(len(j))] + [f"X{i}" for i in range(len(h))]
    values = [float(v) for v in (*exact.zz, *exact.x)]
    return dict(zip(names, values)), beta * np.concatenate([j, h])


def test_one_window_is_the_inverse_mirror_map():
    """A chain inside one window, with fields that do not commute and a three-site term, in any order."""
    rng = np.random.default_rng(0)
    names = ["X1", "Z0 Z1", "Y2", "X0 Y1 Z2", "Z3 X2", "Y3"]
    words = ("IXII", "ZZII", "IIYI", "XYZI", "IIXZ", "IIIY")
    theta = 0.4 * rng.normal(size=6)
    eta = PauliGibbs(words, jnp.asarray(theta)).marginals()
    found = window_couplings(dict(zip(names, map(float, eta))), width=6)
    np.testing.assert_allclose(found.theta, theta, atol=1e-9)
    assert bool(jnp.all(found.converged)) and float(found.change.max()) < 1e-9


@pytest.mark.slow
def test_inhomogeneous_chain():
    """Errors fall with the width; the change from smaller windows is above them."""
    rng = np.random.default_rng(1)
    j, h = -rng.uniform(0.8, 1.2, 11), -rng.uniform(0.8, 1.2, 12)
    marginals, exact = chain_marginals(j, h, 0.5)
    errors = []
    for width in (4, 6):
        found = window_couplings(marginals, width=width)
        errors.append(float(np.abs(np.asarray(found.theta) - exact).max()))
        assert bool(jnp.all(found.converged)) and errors[-1] < float(found.change.max())
    assert errors[0] < 5e-3 and errors[1] < 2e-5


@pytest.mark.slow
def test_a_hundred_sites():
    """The critical chain of 100 sites at beta = 1 with windows of 8 sites."""
    marginals, exact = chain_marginals(-np.ones(99), -np.ones(100), 1.0)
    found = window_couplings(marginals, width=8)
    assert np.abs(np.asarray(found.theta) - exact).max() < 1e-6
    assert bool(jnp.all(found.converged))


@pytest.mark.slow
def test_errors_of_measured_marginals():
    """Correlated noise on the marginals of a chain: the scatter of the couplings is the error that is given."""
    random = np.random.default_rng(2)
    exact, _ = chain_marginals(-0.4 * np.ones(8), -0.5 * np.ones(9), 1.0)
    mixing = 1e-3 * (np.eye(17) + 0.3 * random.normal(size=(17, 17)))
    spread = mixing @ mixing.T
    first = window_couplings(exact, width=5, errors=spread)
    draws = [dict(zip(exact, np.array(list(exact.values())) + mixing @ random.normal(size=17))) for _ in range(80)]
    scatter = np.std([window_couplings(draw, width=5).theta for draw in draws], axis=0)
    pulls = (scatter / np.asarray(first.error) - 1) * np.sqrt(2 * 80)
    assert np.all(np.abs(pulls) < 4.5) and abs(pulls.mean()) < 1.5, pulls
    alone = window_couplings(exact, width=5, errors=np.sqrt(np.diagonal(spread)))
    np.testing.assert_allclose(alone.theta, first.theta)
    assert not np.allclose(alone.error, first.error, rtol=0.05)
    square = {"Z0 Z1": 0.2, "Z0 Z2": 0.2, "Z1 Z3": 0.2, "Z2 Z3": 0.2, "X0": 0.1}
    whole = grid_couplings(square, (2, 2), window=(2, 2), errors=0.01 * np.ones(5))
    state = PauliGibbs(("ZZII", "ZIZI", "IZIZ", "IIZZ", "XIII"), whole.theta)
    inverse = np.linalg.inv(state.metric())
    np.testing.assert_allclose(whole.error, 0.01 * np.sqrt(np.diagonal(inverse @ inverse)), rtol=1e-6)


def test_averages_of_shots_on_many_sites():
    """Seventy sites, two bases."""
    bits = np.zeros((3, 70), int)
    bits[1, 68:], bits[2, 69] = 1, 1
    shots = ShotData(["Z" * 70, "X" * 70], bits, [2, 1, 5], [0, 0, 1])
    mean, covariance = averages(shots, ["Z68 Z69", "Z69", "X69", "X0"])
    assert mean == {"Z68 Z69": 1.0, "Z69": pytest.approx(1 / 3), "X69": -1.0, "X0": 1.0}
    np.testing.assert_allclose(covariance, np.diag([0.0, (8 / 9) / 3, 0.0, 0.0]), atol=1e-15)
    for names in ([], ["Z70"], ["Z0 X1"]):
        with pytest.raises(DataError, match=r"leaves the sites|say nothing"):
            averages(shots, names)


def test_bad_input():
    for errors in ([0.1], [0.1, -0.1], [0.1, np.nan], [[0.1, 0.2], [0.3, 0.1]]):
        with pytest.raises(DataError, match="errors do not fit"):
            spread_of(errors, 2)
    good = {"Z0 Z1": 0.1, "X0": 0.2}
    for width in (3, True, 2.5):
        with pytest.raises((ConfigError, TypeError), match=r"wider|[Tt]ype"):
            window_couplings(good, width=width)
    for name in ("Q0", "X", "X0 X0", ""):
        with pytest.raises(DataError, match="named by letters"):
            window_couplings({**good, name: 0.1})
    for bad in ({}, {**good, "X1": 1.5}, {**good, "X1": np.nan}, {**good, "Z1 Z0": 0.1}):
        with pytest.raises(DataError, match="distinct Pauli strings"):
            window_couplings(bad)


@pytest.mark.slow
def test_windows_of_a_rectangle():
    """Inhomogeneous Ising model on 3 x 4 sites: windows in both directions cancel all but far cuts."""
    rng, square = np.random.default_rng(0), Square(3, 4, periodic=False)
    pairs = {f"Z{i} Z{j}": ("ZZ", (i, j)) for i, j in square.edges()} | {f"X{i}": ("X", (i,)) for i in range(12)}
    words = []
    for letters, sites in pairs.values():
        at = dict(zip(sites, letters))
        words.append("".join(at.get(k, "I") for k in range(12)))
    theta = -0.5 * rng.uniform(0.8, 1.2, len(words))
    found = PauliGibbs(words, jnp.asarray(theta)).numbers()
    marginals = dict(zip(pairs, np.asarray(found.marginals).tolist()))
    one = grid_couplings(marginals, (3, 4), window=(3, 3), combine=False)
    many = grid_couplings(marginals, (3, 4), window=(3, 3))
    errors = [float(np.abs(np.asarray(f.theta) - theta).max()) for f in (one, many)]
    assert errors[0] < 5e-3 and errors[1] < 5e-4 and bool(many.converged.all())
    assert float(many.change.max()) > errors[1]


def test_bad_rectangles():
    good = {"Z0 Z1": 0.1, "X0": 0.2}
    for bad in ({}, {**good, "X9": 0.1}, {**good, "X1": 1.5}):
        with pytest.raises(DataError, match="rectangle"):
            grid_couplings(bad, (2, 2))
    for window in ((1, 1), (4, 4)):
        with pytest.raises(ConfigError, match="does not serve"):
            grid_couplings(good, (9, 9), window=window)
