"""Round trips through NumPy, SciPy and QuTiP."""

import numpy as np
import pytest
import qutip
import scipy.sparse

from qml._core.errors import ShapeError
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, PauliSum
from qml.operator.interop import from_matrix, to_qutip


@pytest.mark.parametrize("n", [1, 2, 4])
def test_decomposition(n):
    """Random matrices, Hermitian and not, come back from their strings."""
    rng = np.random.default_rng(n)
    matrix = rng.normal(size=(2**n, 2**n)) + 1j * rng.normal(size=(2**n, 2**n))
    np.testing.assert_allclose(from_matrix(matrix).to_dense(), matrix, atol=1e-12)
    hermitian = from_matrix(matrix + matrix.conj().T)
    assert hermitian.is_hermitian and not np.iscomplexobj(hermitian.coefficients)
    np.testing.assert_allclose(hermitian.to_dense(), matrix + matrix.conj().T, atol=1e-12)


def test_round_trips():
    """The strings that went in come out, through every format."""
    operator = PauliSum({"XYZ": 0.5, "ZII": -1.0, "IYX": 2.0})
    for form in (to_qutip(operator), operator.to_sparse(), scipy.sparse.csc_matrix(operator.to_sparse())):
        back = from_matrix(form)
        assert set(back.terms) == set(operator.terms)
        np.testing.assert_allclose(list(back.terms.values()), list(operator.terms.values()), atol=1e-14)
    expected = 0.5 * qutip.tensor(qutip.sigmax(), qutip.sigmay(), qutip.sigmaz())
    assert (to_qutip(PauliSum({"XYZ": 0.5})) - expected).norm() < 1e-14
    sector = to_qutip(Heisenberg(Spin(4, magnetisation=0), Chain(4)))
    assert sector.shape == (6, 6) and abs(sector.eigenenergies()[0] + 2) < 1e-12
    assert from_matrix(np.zeros((4, 4))).terms == {}


def test_bad_shapes():
    """Not a matrix of spins."""
    for matrix in (np.eye(3), np.ones((2, 4)), np.ones(4), np.eye(1)):
        with pytest.raises(ShapeError):
            from_matrix(matrix)
