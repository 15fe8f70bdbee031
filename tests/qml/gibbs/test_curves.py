"""Thermodynamics from random vectors and exact low levels: against whole spectra and free fermions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml.gibbs import ising_chain, thermal_curves
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising, PauliSum
from tests.qml.gibbs.systems import word

CHAIN = Ising(Spin(8), Chain(8, periodic=False), j=-1.0, h=1.0)


def exact(operator, betas):
    levels = np.linalg.eigvalsh(np.asarray(operator.to_dense()))
    betas = np.asarray(betas)[:, None]
    weights = np.exp(-betas * (levels - levels[0])[None, :])
    logs = np.log(weights.sum(axis=1)) - betas[:, 0] * levels[0]
    law = weights / weights.sum(axis=1)[:, None]
    energy = law @ levels
    return logs, energy, logs + betas[:, 0] * energy, betas[:, 0] ** 2 * (law @ levels**2 - energy**2), levels


@pytest.mark.slow
@pytest.mark.parametrize("levels", [0, 3])
def test_all_numbers_against_the_whole_spectrum(levels):
    """Complex K with a degenerate lowest level, which is counted as often as it occurs."""
    terms = {word(8, {i: a, (i + 1) % 8: a}): 0.5 for a in "XYZ" for i in range(8)}
    twisted = {word(8, {i: a, (i + 1) % 8: b}): c for a, b, c in (("X", "Y", 0.3), ("Y", "X", -0.3)) for i in range(8)}
    operator = PauliSum(terms | twisted)
    betas = [0.0, 0.3, 1.0, 3.0]
    found = thermal_curves(operator, betas, key=jax.random.key(1), vectors=40, steps=50, levels=levels)
    *want, spectrum = exact(operator, betas)
    np.testing.assert_allclose(found.levels, spectrum[:levels], atol=1e-10)
    have = (found.log_partition, found.energy, found.entropy, found.heat_capacity)
    for part, value in zip(have, want):
        assert np.all(np.abs(part.mean - value) < 4.5 * np.asarray(part.error) + 1e-9), (part.mean, value, part.error)
    assert np.all(np.asarray(found.log_partition.error) < 0.25)


@pytest.mark.slow
def test_low_levels_take_out_the_noise():
    """Error bars of 64 keys against their scatter; with four levels both are a tenth of the law of plain vectors."""
    betas = np.array([0.5, 2.0])
    logs = {b: float(ising_chain(-jnp.ones(7), -jnp.ones(8), b).log_partition) for b in (0.5, 1.0, 2.0, 4.0)}
    plain = np.array([np.sqrt(2 / 16 * np.exp(logs[2 * b] - 2 * logs[b])) for b in betas])
    for levels, above, below in ((0, 0.75, 1.3), (4, 0.0, np.array([0.9, 0.1]))):
        runs = [thermal_curves(CHAIN, betas, key=k, vectors=16, steps=40, levels=levels).log_partition
                for k in jax.random.split(jax.random.key(2), 64)]  # fmt: skip
        errors = np.array([r.mean for r in runs]) - [logs[b] for b in betas]
        scatter, claimed = errors.std(axis=0), np.mean([r.error for r in runs], axis=0)
        assert np.all((above * plain < scatter) & (scatter < below * plain)), scatter / plain
        assert np.all(np.abs(scatter / claimed - 1) < 4.5 / np.sqrt(2 * 64) + 0.1), scatter / claimed
        assert np.all(np.abs(errors.mean(axis=0)) < 4.5 * scatter / 8)


def test_bad_input():
    key = jax.random.key(0)
    with pytest.raises(SpaceError, match="many states"):
        thermal_curves(PauliSum({"ZZ": 1.0}), [1.0], key=key)
    with pytest.raises(SpaceError, match="Hermitian"):
        thermal_curves(1j * CHAIN, [1.0], key=key)
    for settings in ({"vectors": 1}, {"steps": 0}, {"levels": 33}, {"levels": -1}):
        with pytest.raises(ShapeError, match="out of range"):
            thermal_curves(CHAIN, [1.0], key=key, **settings)
    for betas in ([-1.0], [np.nan], 1.0, []):
        with pytest.raises(ShapeError, match="out of range"):
            thermal_curves(CHAIN, betas, key=key)


@pytest.mark.slow
def test_too_few_steps_are_refused():
    with pytest.raises(ConvergenceError, match="steps=8"):
        thermal_curves(CHAIN, [5.0], key=jax.random.key(0), steps=4)
