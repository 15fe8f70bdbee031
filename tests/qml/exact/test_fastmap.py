"""Products by windows, by blocks of windows and by exchanges against dense matrices; what a solve compiles."""

import logging

import jax
import numpy as np
import pytest

from qml.exact import fastmap, ground_state
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import XXZ, Ising, PauliSum


def dense_product(operator, seed: int) -> tuple[jax.Array, jax.Array]:
    """A random vector and its product."""
    vector = jax.device_put(np.random.default_rng(seed).normal(size=operator.hilbert.size))
    return vector, operator.to_dense() @ vector


@pytest.mark.parametrize("blocked", [2**4, 2**19])
@pytest.mark.parametrize("n", [5, 10])
def test_windows(n, blocked, monkeypatch):
    """Strings in one window and across windows, complex ones too; all bits at once and block by block."""
    monkeypatch.setattr(fastmap, "_BLOCKED", blocked)
    rng = np.random.default_rng(n)
    near = ["I" * i + "XYZ"[i % 3] + "Z" + "I" * (n - i - 2) for i in range(n - 1)]
    far = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(6)]
    operator = PauliSum({word: float(rng.normal()) for word in [*near, *far, "Z" * n]})
    linear_map = fastmap.fast_map(operator)
    assert isinstance(linear_map, fastmap.WindowMap) and linear_map.blocked == (2**n > blocked)
    vector, expected = dense_product(operator, n)
    np.testing.assert_allclose(linear_map(vector), expected, atol=1e-12)


@pytest.mark.parametrize("written_out", [0, 24])
def test_exchanges(written_out, monkeypatch):
    """Exchanges in one pass, and one after another."""
    monkeypatch.setattr(fastmap, "_WRITTEN_OUT", written_out)
    operator = XXZ(Spin(8, magnetisation=1), Chain(8), j=0.7, delta=-0.4)
    linear_map = fastmap.fast_map(operator)
    assert isinstance(linear_map, fastmap.ExchangeMap)
    vector, expected = dense_product(operator, 1)
    np.testing.assert_allclose(linear_map(vector), expected, atol=1e-13)


def test_one_program(caplog):
    """A lowest level is found by one compiled program, and a second one of the same shapes by none."""
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for h in (1.1, 0.9):
            ground_state(Ising(Spin(11), Chain(11), j=-1.0, h=h))
    compiled = [r.getMessage() for r in caplog.records if "Finished XLA compilation" in r.getMessage()]
    assert len(compiled) == 1 and "_step" in compiled[0]
