"""z-scores: a stochastic answer is compared with its exact twin in units of its own error."""

import numpy as np

LIMIT = 4.5


def assert_z(stats, exact, limit: float = LIMIT) -> None:
    """Assert that every entry of `stats` lies within `limit` standard errors of `exact`, and that its error is real."""
    mean, error = np.asarray(stats.mean), np.asarray(stats.error)
    exact = np.broadcast_to(np.asarray(exact), mean.shape)
    assert np.all(np.isfinite(error)), f"error bars are not finite: {error}"
    deviation = np.abs(mean - exact)
    exact_entry = deviation <= 1e-10 * np.maximum(1, np.abs(exact))
    z = np.where(exact_entry, 0, deviation / np.where(error > 0, error, 1e-300))
    assert np.all(z < limit), f"z = {z.max():.2f} > {limit}: got {mean} +- {error}, exact {exact}"


def assert_z_uniform(means, errors, exact, limit: float = LIMIT) -> None:
    """Assert that repeated runs scatter as their error bars say: z-scores have mean 0 and variance 1."""
    z = (np.asarray(means) - exact) / np.asarray(errors)
    n = len(z)
    assert abs(z.mean()) < limit / np.sqrt(n), f"bias: mean z = {z.mean():.3f} over {n} runs"
    assert abs(z.var() - 1) < limit * np.sqrt(2 / n) * 1.5, f"error bars wrong: var z = {z.var():.3f} over {n} runs"
