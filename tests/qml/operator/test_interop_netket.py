"""Round trips through NetKet, which is installed only beside the benchmarks."""

import jax
import numpy as np
import pytest

from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain
from qml.operator import (
    BoseHubbard,
    BosonSum,
    FermionSum,
    Heisenberg,
    Hubbard,
    LocalOperator,
    PauliSum,
    interop_netket,
    spin_matrices,
)

N = 4
PAULI = {"XYZI": 0.5, "ZIII": -1.0, "IIYX": 2.0 + 1j, "IIII": 0.3}
FERMION = {"0^ 2": 1.0, "2^ 0": -0.5j, "n1 n3": 0.7, "3^ 1^ 0 2": 2.0, "": 0.25, "1": 0.1j}


def round_trip(operator) -> None:
    """There and back, and the matrices in between: row by row of the same configurations."""
    there = interop_netket.to_netket(operator)
    back = interop_netket.from_netket(there)
    assert back.hilbert == operator.hilbert
    np.testing.assert_allclose(back.to_dense(), operator.to_dense(), atol=1e-12)
    order, signs = rows(operator.hilbert, np.asarray(there.hilbert.all_states()).astype(int))
    matrix = np.asarray(there.to_dense())[np.ix_(order, order)] * signs[:, None] * signs[None, :]
    np.testing.assert_allclose(matrix, operator.to_dense(), atol=1e-12)
    if not operator.hilbert.is_constrained and operator.hilbert.components == 1:
        assert order == list(range(len(order)))


def rows(hilbert, theirs: np.ndarray) -> tuple[list[int], np.ndarray]:
    """NetKet's row of each of our states, and the sign of moving all up modes behind the down modes."""
    where = {tuple(row): k for k, row in enumerate(theirs.tolist())}
    mine = np.asarray(hilbert.all_states())
    if hilbert.components == 1:
        return [where[tuple(row)] for row in mine.tolist()], np.ones(len(mine))
    half = mine.shape[1] // 2
    up, down = mine[:, :half], mine[:, half:]
    signs = (-1.0) ** (up.sum(axis=1) * down.sum(axis=1))
    return [where[tuple(row)] for row in np.concatenate([down, up], axis=1).tolist()], signs


def _configurations(operator) -> np.ndarray:
    """States of a NetKet space in our numbers; its qubits are 0 (up) and 1."""
    x = np.asarray(operator.hilbert.all_states()).astype(int)
    return 1 - 2 * x if type(operator.hilbert).__name__ == "Qubit" else x


@pytest.fixture(autouse=True)
def _ranks_of_netket():
    """NetKet adds arrays of unlike ranks."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.filterwarnings("ignore")
def test_netket():
    """Like spaces, the same matrices; fermions with spin up to NetKet's order of the spins."""
    netket = pytest.importorskip("netket")
    real = {w: v for w, v in PAULI.items() if not isinstance(v, complex)}
    for operator in (
        PauliSum(real),
        PauliSum(PAULI),
        Heisenberg(Spin(4, magnetisation=0), Chain(4)),
        FermionSum(FERMION, SpinlessFermion(N)),
        FermionSum({"0^ 3": 1.0, "3^ 0": 0.5j, "n1 n2": 1.0}, SpinlessFermion(N, n_fermions=2)),
        LocalOperator.from_terms(
            [(spin_matrices(1)["X"], (1,), 0.5), (spin_matrices(1)["Y"], (0,), 2.0)], Spin(2, s=1)
        ),
        BoseHubbard(Boson(3, 3, 4), Chain(3), u=2.0),
        BosonSum({"0^ 0^ 1": 1.0, "1": 0.5j, "": 0.25, "0^ 0^ 0 0": 2.0}, Boson(2, n_max=3)),
    ):
        round_trip(operator)
    for space in (SpinfulFermion(2), SpinfulFermion(2, 2, 1), SpinfulFermion(2, n_fermions=2)):
        field = FermionSum({"n0": 0.3, "n2": -0.7, "0^ 1": 0.5j, "1^ 0": -0.5j}, space)
        round_trip(Hubbard(space, Chain(2, periodic=False), u=4.0) + field)
    ours = interop_netket.from_netket(
        netket.operator.fermion.number(netket.hilbert.SpinOrbitalFermions(2, s=0.5), 0, sz=1)
    )
    assert ours.terms == {"n0": 1.0}  # spin up is our first block
    graph = netket.graph.Chain(4)
    for theirs in (
        netket.operator.Ising(netket.hilbert.Spin(0.5, 4), graph, h=0.7, J=-1.0),
        netket.operator.Heisenberg(netket.hilbert.Spin(0.5, 4, total_sz=0), graph),
        netket.operator.BoseHubbard(netket.hilbert.Fock(2, 4, n_particles=3), graph, U=3.0),
        netket.operator.PauliStrings(["XZ", "YY"], [1.0, 0.5]),
        netket.operator.spin.sigmay(netket.hilbert.Spin(0.5, 2), 1) + 0.5,
    ):
        operator = interop_netket.from_netket(theirs)
        order, _ = rows(operator.hilbert, _configurations(theirs))
        np.testing.assert_allclose(operator.to_dense(), np.asarray(theirs.to_dense())[np.ix_(order, order)], atol=1e-12)
    inverted = netket.hilbert.Spin(0.5, 2, inverted_ordering=True)
    theirs = netket.operator.spin.sigmaz(inverted, 0) + netket.operator.spin.sigmay(inverted, 1)
    levels = interop_netket.from_netket(theirs)
    x = np.asarray(levels.hilbert.all_states())
    order = [int(np.flatnonzero(np.all(np.asarray(inverted.all_states()) == row, axis=1))[0]) for row in x]
    np.testing.assert_allclose(levels.to_dense(), np.asarray(theirs.to_dense())[np.ix_(order, order)], atol=1e-13)
