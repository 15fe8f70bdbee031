"""The Fubini-Study metric against closed forms and against fidelities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffquantum import UnsupportedError
from diffquantum.ir import Const, Gate, Measure, Parameter, Program
from diffquantum.metric import fubini_study
from qml._core.errors import ShapeError

CIRCUIT = Program(
    "c",
    ("a", "b"),
    2,
    (
        Gate("ry", (Const(0),), Parameter(0)),
        Gate("rz", (Const(0),), Parameter(1)),
        Gate("cx", (Const(0), Const(1))),
        Gate("h", (Const(1),)),
    ),
    register=(0, 1),
)


def test_closed_form():
    """Spherical coordinates, diag(1, sin^2 a) / 4; what follows without parameters changes nothing."""
    metric = jax.jit(lambda t: fubini_study(CIRCUIT, t))(jnp.array([0.7, 0.4]))
    np.testing.assert_allclose(metric, np.diag([0.25, np.sin(0.7) ** 2 / 4]), atol=1e-14)


def test_refusals():
    measured = Program("m", ("a", "b"), 2, (*CIRCUIT.body, Measure(Const(0), "m")))
    with pytest.raises(UnsupportedError, match="pure state"):
        fubini_study(measured, jnp.zeros(2))
    with pytest.raises(ShapeError, match="2 parameters"):
        fubini_study(CIRCUIT, jnp.zeros(3))
