"""Round trips through OpenFermion, Qiskit and stim, and the Jordan-Wigner transform."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import SpaceError
from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain
from qml.operator import (
    BosonSum,
    FermionSum,
    Heisenberg,
    Hubbard,
    PauliSum,
    interop,
)
from qml.operator.jordan_wigner import inverse_jordan_wigner, jordan_wigner
from tests.qml.operator.fock import fermions
from tests.qml.operator.kron import dense

N = 4
letters = st.text("IXYZ", min_size=N, max_size=N)
ladders = st.tuples(st.integers(0, N - 1), st.booleans()).map(lambda o: f"{o[0]}{'^' * o[1]}")
numbers = st.tuples(st.integers(-8, 8), st.integers(-8, 8)).map(lambda v: (v[0] + 1j * v[1]) / 4)
paulis = st.dictionaries(letters, numbers, min_size=1, max_size=5)
ladder_sums = st.dictionaries(st.lists(ladders, max_size=5).map(" ".join), numbers, max_size=5)
PAULI = {"XYZI": 0.5, "ZIII": -1.0, "IIYX": 2.0 + 1j, "IIII": 0.3}
FERMION = {"0^ 2": 1.0, "2^ 0": -0.5j, "n1 n3": 0.7, "3^ 1^ 0 2": 2.0, "": 0.25, "1": 0.1j}


def same(a, b) -> None:
    """Equal strings and coefficients."""
    left, right = ({w: v for w, v in o.terms.items() if abs(v) > 1e-13} for o in (a, b))
    assert left.keys() == right.keys() and type(a) is type(b) and a.hilbert == b.hilbert
    np.testing.assert_allclose([left[w] for w in left], [right[w] for w in left], atol=1e-13)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ladder_sums)
def test_jordan_wigner(terms):
    """The matrix is that of the fermions, and the strings come back."""
    operator = FermionSum(terms, SpinlessFermion(N))
    spins = jordan_wigner(operator)
    np.testing.assert_allclose(
        sum((v * dense({w: 1.0}) for w, v in spins.terms.items()), start=np.zeros((16, 16))),
        fermions(terms, N),
        atol=1e-12,
    )
    same(inverse_jordan_wigner(spins), operator)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(paulis)
def test_inverse_jordan_wigner(terms):
    """Any Pauli sum is a sum of fermion strings with the same matrix."""
    operator = PauliSum(terms, Spin(N))
    back = inverse_jordan_wigner(operator)
    np.testing.assert_allclose(fermions(back.terms, N), dense(terms), atol=1e-12)
    same(jordan_wigner(back), operator)


def test_jordan_wigner_in_programs():
    """Coefficients may be traced; constrained spaces are left and entered; long strings are refused."""
    space = SpinlessFermion(3)
    hop = FermionSum({"0^ 2": 1.0, "2^ 0": 1.0}, space)
    traced = jax.jit(lambda t: jordan_wigner(t * hop).to_dense())(2.0)
    np.testing.assert_allclose(traced, 2 * hop.to_dense(), atol=1e-14)
    traced = jax.jit(lambda t: inverse_jordan_wigner(t * PauliSum({"XZX": 0.5, "YZY": 0.5})).to_dense())(2.0)
    np.testing.assert_allclose(traced, 2 * hop.to_dense(), atol=1e-14)
    fixed = SpinfulFermion(2, 1, 1)
    h = Hubbard(fixed, Chain(2, periodic=False), u=4.0)
    same(inverse_jordan_wigner(jordan_wigner(h), fixed), h)
    with pytest.raises(SpaceError):
        inverse_jordan_wigner(PauliSum({"XIII": 1.0}), fixed)
    with pytest.raises(SpaceError):
        inverse_jordan_wigner(PauliSum({"Z" * 30: 1.0}))


def test_matrices():
    """A matrix on fermion modes as a sum of their strings."""
    operator = FermionSum(FERMION, SpinlessFermion(N))
    same(interop.from_matrix(operator.to_sparse(), SpinlessFermion(N)), operator)
    same(interop.from_matrix(interop.to_qutip(operator), SpinlessFermion(N)), operator)
    with pytest.raises(SpaceError):
        interop.from_matrix(np.eye(4), SpinlessFermion(4, n_fermions=2))
    with pytest.raises(SpaceError):
        interop.from_matrix(np.eye(4), SpinlessFermion(3))
    bosons = BosonSum({"0^ 1": 1.0, "n0": 0.5}, Boson(2, n_max=2))
    assert interop.to_qutip(bosons).dims == [[3, 3], [3, 3]]


def test_openfermion():
    """Qubits, fermions and bosons, with the matrices of OpenFermion."""
    openfermion = pytest.importorskip("openfermion")
    pauli, fermion = PauliSum(PAULI), FermionSum(FERMION, SpinlessFermion(N))
    for operator in (pauli, fermion):
        there = interop.to_openfermion(operator)
        matrix = openfermion.get_sparse_operator(there, n_qubits=N).toarray()
        np.testing.assert_allclose(matrix, operator.to_dense(), atol=1e-13)
        same(interop.from_openfermion(there, operator.hilbert), operator)
    mapped = openfermion.jordan_wigner(interop.to_openfermion(fermion))
    same(interop.from_openfermion(mapped, Spin(N)), jordan_wigner(fermion))
    any_order = openfermion.FermionOperator("3 0^ 1", 2.0) + openfermion.FermionOperator("2 2^", -1.0)
    matrix = openfermion.get_sparse_operator(any_order, n_qubits=N).toarray()
    read = interop.from_openfermion(any_order)
    np.testing.assert_allclose(read.to_dense(), matrix, atol=1e-14)
    assert not np.iscomplexobj(read.coefficients)
    space = SpinfulFermion(2, 1, 1)
    hubbard = openfermion.fermi_hubbard(2, 1, 1.0, 4.0, periodic=False)  # modes: up and down of each site in turn
    relabelled = openfermion.FermionOperator()
    for word, value in hubbard.terms.items():
        relabelled += openfermion.FermionOperator(tuple((m // 2 + 2 * (m % 2), d) for m, d in word), value)
    same(interop.from_openfermion(relabelled, space), Hubbard(space, Chain(2, periodic=False), u=4.0))
    boson = BosonSum({"0^ 1": 1.0, "0^ 0^ 0 0": 0.5, "": 2.0}, Boson(2, n_max=3))
    same(interop.from_openfermion(interop.to_openfermion(boson), boson.hilbert), boson)
    with pytest.raises(SpaceError):
        interop.from_openfermion(interop.to_openfermion(boson))
    with pytest.raises(SpaceError):
        interop.from_openfermion(3.0)


def test_qiskit():
    """Site 0 is qubit 0, whose letter stands last in Qiskit."""
    info = pytest.importorskip("qiskit.quantum_info")
    operator = PauliSum(PAULI)
    there = interop.to_qiskit(operator)
    same(interop.from_qiskit(there), operator)
    matrix = there.to_matrix().reshape((2,) * 2 * N)  # most significant bit is the last qubit
    matrix = matrix.transpose(*range(N)[::-1], *range(N, 2 * N)[::-1]).reshape(2**N, 2**N)
    np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-14)
    same(interop.from_qiskit(info.Pauli("-ZX")), PauliSum({"XZ": -1.0}))
    same(interop.from_qiskit(info.SparsePauliOp(["XX", "XX", "YY"], [0.5, 0.5, 1.0])), PauliSum({"XX": 1.0, "YY": 1.0}))
    space = Spin(4, magnetisation=0)
    heisenberg = Heisenberg(space, Chain(4))
    same(interop.from_qiskit(interop.to_qiskit(heisenberg), space), heisenberg)


def test_stim():
    """Strings with their signs."""
    stim = pytest.importorskip("stim")
    operator = PauliSum(PAULI)
    there = interop.to_stim(operator)
    same(interop.from_stim(there), operator)
    matrices = sum(value * string.to_unitary_matrix(endian="big") for value, string in there)
    np.testing.assert_allclose(operator.to_dense(), matrices, atol=1e-6)  # stim's matrices are single precision
    same(interop.from_stim(stim.PauliString("-X_Z")), PauliSum({"XIZ": -1.0}))
    same(
        interop.from_stim([(2.0, stim.PauliString("+iXY")), (1.0, stim.PauliString("Z"))]),
        PauliSum({"XY": 2j, "ZI": 1.0}),
    )
