"""Which operators keep a sector: strings and rows against commutators of dense matrices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml._core.errors import SymmetryError
from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Square
from qml.operator import BoseHubbard, FermionSum, Heisenberg, Hubbard, PauliSum, as_local, check_commutes, commutes, tV
from symmetries import Internal, ParticleHole, Sector, SpinFlip, TimeReversal

FEW = settings(max_examples=25, deadline=None, derandomize=True)
STAGGERED = (1, -1, 1, -1)


PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
WORDS = ["".join(word) for word in itertools.product("IXYZ", repeat=3)]


def kron(terms):
    """Dense matrix of a sum of strings of three letters."""
    return sum(c * np.kron(np.kron(PAULIS[w[0]], PAULIS[w[1]]), PAULIS[w[2]]) for w, c in terms.items())


def dense_commutes(operator, sector, matrix=None):
    """Every element of the group as a dense matrix against the dense operator."""
    states = np.asarray(operator.hilbert.all_states())
    matrix = np.asarray(operator.to_dense()) if matrix is None else matrix
    action = sector.on(operator.hilbert)
    elements = (action.matrix(g, states) for g in range(action.order))
    return all(np.allclose(u @ matrix, matrix @ u, atol=1e-9) for u in elements)


def cases():
    chain = Chain(4)
    group, shifts = symmetries.space_group(chain), symmetries.translation_group(chain)
    half = SpinfulFermion(4, n_up=2, n_down=2)
    return {
        "heisenberg": (Heisenberg(Spin(4), chain), Sector(group, internal=SpinFlip(1))),
        "heisenberg sz": (Heisenberg(Spin(4, magnetisation=0), chain), Sector(group, 2, internal=SpinFlip(-1))),
        "spin one": (
            Heisenberg(Spin(3, s=1), Chain(3)),
            Sector(symmetries.space_group(Chain(3)), internal=SpinFlip(1)),
        ),
        "rotated": (Heisenberg(Spin(4), chain), Sector(shifts).rotated((1, 1, -1, -1))),
        "field": (PauliSum({"ZIII": 1.0, "IZII": 1.0, "IIZI": 1.0, "IIIZ": 1.0}), Sector(group, internal=SpinFlip(1))),
        "t-V": (tV(SpinlessFermion(4), chain, v=2.0), Sector(group)),
        "t-V twist": (
            tV(SpinlessFermion(4), Chain(4, twist=0.7), v=2.0),
            Sector(symmetries.translation_group(Chain(4, twist=0.7))),
        ),
        "t-V no twist": (tV(SpinlessFermion(4), chain), Sector(symmetries.translation_group(Chain(4, twist=0.7)))),
        "t-V hole": (
            tV(SpinlessFermion(6, n_fermions=3), Chain(6), v=1.0),
            Sector(symmetries.space_group(Chain(6)), internal=ParticleHole(1, signs=(1, -1) * 3)),
        ),
        "hubbard flip": (
            Hubbard(SpinfulFermion(2), Chain(2, periodic=False), u=4.0),
            Sector(symmetries.space_group(Chain(2, periodic=False)), internal=SpinFlip(1)),
        ),
        "hubbard hole": (
            Hubbard(half, chain, u=4.0),
            Sector(group, internal=(ParticleHole(1, signs=STAGGERED), SpinFlip(1))),
        ),
        "hubbard bad hole": (Hubbard(half, chain, u=4.0), Sector(group, internal=ParticleHole(1))),
        "bosons": (BoseHubbard(Boson(4, n_max=2, n_particles=3), chain, u=1.0), Sector(group)),
        "boson parity": (
            BoseHubbard(Boson(3, n_max=2), Chain(3), u=1.0),
            Sector(symmetries.space_group(Chain(3)), internal=Internal("parity", 1, phases=-1)),
        ),
        "matrices": (as_local(Heisenberg(Spin(4), chain)), Sector(group, internal=SpinFlip(1))),
        "pairing": (
            FermionSum.from_terms([("0^ 1^", 1.0), ("1 0", 1.0)], SpinlessFermion(3)),
            Sector(symmetries.translation_group(Chain(3))),
        ),
    }


CASES = cases()
BROKEN = {"rotated", "field", "t-V no twist", "hubbard bad hole", "pairing"}


@pytest.mark.parametrize("name", CASES)
def test_models(name):
    """Passed exactly if all dense commutators vanish."""
    operator, sector = CASES[name]
    assert dense_commutes(operator, sector) == (name not in BROKEN)
    if name in BROKEN:
        with pytest.raises(SymmetryError, match="breaks a symmetry"):
            check_commutes(operator, sector)
    else:
        check_commutes(operator, sector)
    assert commutes(operator, sector) == (name not in BROKEN)


@given(seed=st.integers(0, 2**16))
@FEW
def test_random_pauli_sums(seed):
    """Sums made symmetric by the group, with and without one more term; complex phases too."""
    random = np.random.default_rng(seed)
    chain = Chain(3, twist=float(random.choice([0.0, 0.5])))
    internal = (SpinFlip(1),) if not chain.twist[0] and random.random() < 0.7 else ()
    sector = Sector(symmetries.translation_group(chain), internal=internal)
    space = Spin(3)
    action = sector.on(space)
    states = np.asarray(space.all_states())
    seed_terms = {str(random.choice(WORDS)): random.normal() for _ in range(2)}
    elements = [action.matrix(g, states) for g in range(action.order)]
    average = sum(u @ kron(seed_terms) @ u.conj().T for u in elements)
    terms = {word: complex(np.trace(kron({word: 1.0}) @ average)) / 8 for word in WORDS}
    terms = {word: value for word, value in terms.items() if abs(value) > 1e-12} or {"III": 1.0}
    operator = PauliSum(terms, space)
    assert dense_commutes(operator, sector, kron(terms))
    check_commutes(operator, sector)
    stray = str(random.choice(WORDS))
    more = {**terms, stray: terms.get(stray, 0) + 0.3}
    assert commutes(PauliSum(more, space), sector) == dense_commutes(operator, sector, kron(more))


def test_names_the_term_and_the_element():
    chain = Chain(4)
    sector = Sector(symmetries.space_group(chain), internal=SpinFlip(1))
    operator = Heisenberg(Spin(4), chain) + PauliSum({"IZII": 0.25})
    with pytest.raises(SymmetryError, match=r"Z1: 0\.25, under .*"):
        check_commutes(operator, sector)
    hop = FermionSum.from_terms([("0^ 1", 1.0), ("1^ 0", 1.0)], SpinlessFermion(3))
    with pytest.raises(SymmetryError, match=r"0\^ 1: 1, under the symmetry that moves sites 0, 1, 2 to"):
        check_commutes(hop, Sector(symmetries.translation_group(Chain(3))))


def test_sampled_rows():
    """A space too large for all rows: a local matrix model passes, one with a stray site does not."""
    lattice = Square(4)
    space = Spin(16, magnetisation=0)
    sector = Sector(symmetries.translation_group(lattice))
    operator = as_local(Heisenberg(space, lattice))
    check_commutes(operator, sector, samples=16)
    stray = as_local(Heisenberg(space, lattice) + PauliSum({"Z" + "I" * 15: 1.0}, space))
    with pytest.raises(SymmetryError, match="off by"):
        check_commutes(stray, sector, samples=16)


def test_a_constraint_may_restore_the_symmetry():
    """Total S^z breaks the spin flip, but is zero where it is fixed to zero."""
    field = {"".join("Z" if i == k else "I" for i in range(4)): 1.0 for k in range(4)}
    sector = Sector(symmetries.space_group(Chain(4)), internal=SpinFlip(1))
    assert not commutes(PauliSum(field, Spin(4)), sector)
    assert commutes(PauliSum(field, Spin(4, magnetisation=0)), sector)


def test_bad_input():
    with pytest.raises(SymmetryError, match="another number of sites"):
        check_commutes(PauliSum({"ZZ": 1.0}), Sector(symmetries.space_group(Chain(3))))
    hubbard = Hubbard(SpinfulFermion(4, n_up=1, n_down=2), Chain(4))
    with pytest.raises(SymmetryError, match="changes a total"):
        check_commutes(hubbard, Sector(symmetries.space_group(Chain(4)), internal=SpinFlip(1)))
    time = Sector(symmetries.space_group(Chain(4)), internal=TimeReversal())
    check_commutes(Hubbard(SpinfulFermion(4, n_up=1, n_down=2), Chain(4)), time)
