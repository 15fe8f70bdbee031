"""Every kind of space against enumeration: order, ranking, membership, random states, bad input."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import PrecisionError, ShapeError, SpaceError
from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion


def blockade(x):
    return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)


def apart(x):
    """The same, for one configuration in Python."""
    return not any(a == b == 1 for a, b in itertools.pairwise(x))


def single(x):
    n = x.shape[-1] // 2
    return jnp.all(x[..., :n] + x[..., n:] < 2, axis=-1)


BLOCKED = Constrained(Spin(3), blockade)
CASES = {
    "bosons": (Boson(3, 2), lambda x: True),
    "bosons, number": (Boson(4, 2, n_particles=3), lambda x: sum(x) == 3),
    "bosons, full": (Boson(2, 3, n_particles=6), lambda x: sum(x) == 6),
    "bosons, few": (Boson(3, 5, n_particles=2), lambda x: sum(x) == 2),
    "fermions": (SpinlessFermion(4), lambda x: True),
    "fermions, number": (SpinlessFermion(5, n_fermions=2), lambda x: sum(x) == 2),
    "spinful": (SpinfulFermion(2), lambda x: True),
    "spinful, both": (SpinfulFermion(3, n_up=2, n_down=1), lambda x: (sum(x[:3]), sum(x[3:])) == (2, 1)),
    "spinful, up": (SpinfulFermion(3, n_up=1), lambda x: sum(x[:3]) == 1),
    "spinful, down": (SpinfulFermion(3, n_down=2), lambda x: sum(x[3:]) == 2),
    "spinful, total": (SpinfulFermion(3, n_fermions=2), lambda x: sum(x) == 2),
    "product": (Spin(2) * Boson(2, 2, n_particles=2), lambda x: sum(x[2:]) == 2),
    "product of three": (Product(Boson(1, 3), Spin(2, s=1), SpinlessFermion(2, 1)), lambda x: sum(x[3:]) == 1),
    "product with predicate": (BLOCKED * Spin(2, magnetisation=0), lambda x: apart(x[:3]) and sum(x[3:]) == 0),
    "sublattices": (
        Constrained(Spin(6), totals={(0, 2, 5): 0.5, (1, 3): -1}),
        lambda x: x[0] + x[2] + x[5] == 1 and x[1] + x[3] == -2,
    ),
    "three interleaved parts": (
        Constrained(Boson(6, 2), totals=(((0, 3), 2), ((5, 1), 1), ((2, 4), 3))),
        lambda x: x[0] + x[3] == 2 and x[1] + x[5] == 1 and x[2] + x[4] == 3,
    ),
    "part of a total": (
        Constrained(Spin(6, magnetisation=0), totals={(0, 1, 4): 0.5}),
        lambda x: sum(x) == 0 and x[0] + x[1] + x[4] == 1,
    ),
    "excitations of spins and a cavity": (
        Constrained(Product(Spin(2), Boson(1, 4), Spin(1, s=1)), totals={(0, 1, 2, 3): 1}),
        lambda x: (x[0] + x[1] + x[3]) / 2 + x[2] == 1,
    ),
    "blockade": (Constrained(Spin(6), blockade), apart),
    "blockade in a part": (
        Constrained(Boson(6, 2, n_particles=4), blockade, totals={(0, 1, 2): 2}),
        lambda x: apart(x) and sum(x[:3]) == 2 and sum(x) == 4,
    ),
    "no double occupation": (
        Constrained(SpinfulFermion(4, n_up=2, n_down=1), single),
        lambda x: sum(x[:4]) == 2 and sum(x[4:]) == 1 and all(x[i] + x[i + 4] < 2 for i in range(4)),
    ),
    "two predicates": (
        Constrained(Constrained(Spin(5), blockade), lambda x: x[..., 0] == 1),
        lambda x: apart(x) and x[0] == 1,
    ),
}
SIMILAR = ("bosons, full", "bosons, few", "fermions", "spinful, down", "product", "sublattices")
IDS = [pytest.param(name, marks=pytest.mark.slow if name in SIMILAR else ()) for name in CASES]


def listed(space, allowed):
    """All configurations and all products of local states, by enumeration in Kronecker order."""
    every = np.array(list(itertools.product(*space.site_states)), dtype=np.int8)
    return every[[bool(allowed(tuple(map(int, r)))) for r in every]], every


def check_all(space, allowed):
    """The list is the enumeration, and numbering and membership agree with it."""
    states, every = listed(space, allowed)
    assert space.size == len(states) and space.n_sites == states.shape[1]
    found = space.all_states()
    assert found.dtype == jnp.int8
    np.testing.assert_array_equal(found, states)
    number = np.arange(space.size)
    np.testing.assert_array_equal(space.indices_to_states(number), states)
    allowed_rows = {tuple(r) for r in states.tolist()}
    inside = np.array([tuple(r) in allowed_rows for r in every.tolist()])
    np.testing.assert_array_equal(space.contains(every), inside)
    index = np.asarray(space.states_to_indices(every))
    np.testing.assert_array_equal(index[inside], number)
    assert np.all((index >= 0) & (index < space.size))
    assert space.is_constrained == (len(states) < len(every))


@pytest.mark.parametrize("name", IDS)
def test_against_enumeration(name):
    check_all(*CASES[name])


@pytest.mark.parametrize("name", ["bosons, number", "spinful, both", "spinful, total", "sublattices", "blockade",
                                  "three interleaved parts", "excitations of spins and a cavity"])  # fmt: skip
def test_random_states_are_uniform(name):
    """Chi-square of the drawn indices against the uniform law, within 4.5 sigma."""
    space, draws = CASES[name][0], 20000
    x = space.random_state(jax.random.key(7), draws)
    assert x.shape == (draws, space.n_sites) and x.dtype == jnp.int8 and bool(jnp.all(space.contains(x)))
    counts = np.bincount(np.asarray(space.states_to_indices(x)), minlength=space.size)
    chi2 = np.sum((counts - draws / space.size) ** 2) / (draws / space.size)
    freedom = space.size - 1
    assert abs(chi2 - freedom) < 4.5 * np.sqrt(2 * freedom)


def number(n_sites, base, total):
    """Strings of digits below `base` with a given sum, by inclusion and exclusion."""
    terms = (
        (-1) ** k * math.comb(n_sites, k) * math.comb(total - k * base + n_sites - 1, n_sites - 1)
        for k in range(total // base + 1)
    )
    return sum(terms)


@st.composite
def plain(draw, longest):
    """A space without predicate and its size by closed formulas."""
    n = draw(st.integers(1, longest))
    kind = draw(st.sampled_from(["spin", "boson", "fermion", "spinful"]))
    if kind == "spin":
        s, fixed = draw(st.integers(1, 3)) / 2, draw(st.booleans())
        down = draw(st.integers(0, int(2 * s) * n))
        if fixed:
            return Spin(n, s, n * s - down), number(n, int(2 * s) + 1, down)
        return Spin(n, s), int(2 * s + 1) ** n
    if kind == "boson":
        top = draw(st.integers(1, 4))
        total = draw(st.none() | st.integers(0, n * top))
        return Boson(n, top, total), (top + 1) ** n if total is None else number(n, top + 1, total)
    if kind == "fermion":
        total = draw(st.none() | st.integers(0, n))
        return SpinlessFermion(n, total), 2**n if total is None else math.comb(n, total)
    up, down = draw(st.none() | st.integers(0, n)), draw(st.none() | st.integers(0, n))
    size = math.prod(2**n if k is None else math.comb(n, k) for k in (up, down))
    return SpinfulFermion(n, up, down), size


def with_totals(draw, longest):
    """A product of plain spaces with the totals of a random configuration fixed on random parts."""
    factors = [draw(plain(longest))[0] for _ in range(draw(st.integers(1, 3)))]
    space = Product(*[f for f in factors if not f.is_constrained] or [Spin(3)])
    labels = draw(st.lists(st.integers(0, 2), min_size=space.n_sites, max_size=space.n_sites))
    state = [draw(st.sampled_from(states)) for states in space.site_states]
    half = [0.5 if states[0] > 0 else 1 for states in space.site_states]
    parts = [tuple(i for i, k in enumerate(labels) if k == part) for part in (0, 1)]
    totals = {p: sum(half[i] * state[i] for i in p) for p in parts if p}
    return (Constrained(space, totals=totals) if totals else space), np.array(state, np.int8)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(plain(14), st.data())
def test_numbering(pair, data):
    """Sizes by formula; rank inverts unrank; the order is that of the digits; random states are members."""
    space, size = pair
    assert space.size == size and isinstance(space.size, int)
    index = np.array(sorted(data.draw(st.lists(st.integers(0, size - 1), min_size=4, max_size=4))))
    states = np.asarray(space.indices_to_states(index))
    np.testing.assert_array_equal(space.states_to_indices(states), index)
    assert np.all(space.contains(states)) and np.all(space.contains(space.random_state(jax.random.key(0), 4)))
    digits = [tuple(s.index(int(v)) for s, v in zip(space.site_states, row)) for row in states]
    assert digits == sorted(digits)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.data())
def test_totals_on_parts(data):
    """Spaces with totals on interleaved parts of unlike sites, against enumeration."""
    space, state = with_totals(data.draw, 2)
    totals = space.totals if isinstance(space, Constrained) else ()
    half = [0.5 if states[0] > 0 else 1 for states in space.site_states]
    check_all(space, lambda x: all(sum(half[i] * x[i] for i in part) == t for part, t in totals))
    assert state in space


@pytest.mark.slow
def test_long_lists():
    """Lists in chunks, of sizes that no chunk divides."""
    for space in (SpinlessFermion(18, 7), Constrained(Spin(16), lambda x: x[..., 3] == 1)):
        states = np.asarray(space.all_states())
        assert states.shape == (space.size, space.n_sites) and 2**14 < space.size < 2**16
        np.testing.assert_array_equal(space.states_to_indices(states), np.arange(space.size))
        assert np.all(space.contains(states))
    allowed = Constrained(SpinlessFermion(24, 9), lambda x: jnp.all(x[..., :16] == 1, axis=-1) | (x[..., 23] == 1))
    assert allowed.size == math.comb(23, 8)


@pytest.mark.slow
def test_sizes_beyond_integers():
    """Exact sizes, membership and random states of spaces that no integer can number."""
    every = tuple(range(0, 300, 3)), tuple(range(1, 300, 3))
    cases = [
        (Boson(80, 3, n_particles=80), number(80, 4, 80)),
        (SpinfulFermion(80, n_up=30, n_down=45), math.comb(80, 30) * math.comb(80, 45)),
        (SpinfulFermion(100, n_fermions=90), math.comb(200, 90)),
        (Constrained(Spin(300), totals={every[0]: 0, every[1]: 10}), math.comb(100, 50) * math.comb(100, 40) * 2**100),
        (Spin(45) * Boson(30, 2, n_particles=7), 2**45 * number(30, 3, 7)),
    ]
    for space, size in cases:
        assert space.size == size > 2**63
        x = space.random_state(jax.random.key(3), (5, 2))
        assert x.shape == (5, 2, space.n_sites) and np.all(space.contains(x))
        assert not space.contains(x.at[..., 0].set(x[..., 0] - 5)).any()
        with pytest.raises(SpaceError, match="too many states"):
            space.states_to_indices(x)
    density = np.asarray(cases[2][0].random_state(jax.random.key(1), 2000), float).mean(axis=0)
    spread = np.sqrt(90 / 200 * 110 / 200 / 2000)
    assert np.all(np.abs(density - 90 / 200) < 5 * spread)


def test_predicates_that_cannot_be_listed():
    """Membership and random states by rejection, uniform; numbering and hopeless predicates are refused."""
    space = Constrained(Spin(60), lambda x: x[..., 0] + x[..., 59] == 0)
    x = space.random_state(jax.random.key(0), 4000)
    assert np.all(space.contains(x)) and np.all(np.asarray(x[:, 0]) == -np.asarray(x[:, 59]))
    assert np.all(np.abs(np.asarray(x, float)[:, :59].mean(axis=0)) < 4.5 / np.sqrt(4000))
    assert jax.jit(lambda key: space.random_state(key, 3))(jax.random.key(1)).shape == (3, 60)
    for use in (lambda: space.size, space.all_states, lambda: space.states_to_indices(x)):
        with pytest.raises(SpaceError, match="too large to try"):
            use()
    with pytest.raises(SpaceError, match="refuses nearly all"):
        Constrained(Spin(60), lambda x: jnp.all(x == 1, axis=-1)).random_state(jax.random.key(0))
    with pytest.raises(SpaceError, match="allows no configuration"):
        _ = Constrained(Spin(4), lambda x: x[..., 0] == 0).size


@dataclasses.dataclass
class Unhashable:
    def __call__(self, x):
        return x[..., 0] == 1


unhashable = Unhashable()


@dataclasses.dataclass(frozen=True)
class Starts:
    value: int

    def __call__(self, x):
        return x[..., 0] == self.value


def test_descriptors():
    """Spaces are values: equal by content, flat products, predicates by identity or content, numbers completed."""
    assert SpinfulFermion(3, n_up=1, n_down=2) == SpinfulFermion(3, n_up=1, n_fermions=3)
    assert SpinfulFermion(3, n_up=1, n_down=2) != SpinfulFermion(3, n_fermions=3)
    a, b, c = Spin(2), Boson(1, 2), SpinlessFermion(2)
    assert a * (b * c) == (a * b) * c == Product(a, b, c) and hash(a * (b * c)) == hash(Product(a, b, c))
    assert (a * b * c).offsets == (0, 2, 3)
    assert Constrained(a, Starts(1)) == Constrained(a, Starts(1)) != Constrained(a, Starts(-1))
    assert Constrained(a, blockade) == Constrained(a, blockade) != Constrained(a, lambda x: blockade(x))
    assert Constrained(Spin(4), totals={(2, 0): 0}) == Constrained(Spin(4), totals=(((0, 2), 0.0),))
    assert "blockade" in repr(Constrained(a, blockade)) and repr(a * b).startswith("Product(Spin(")
    for space in (a, b, a * b):
        with pytest.raises(dataclasses.FrozenInstanceError):
            space.n_max = 3
    inner = Constrained(Spin(6, magnetisation=0), blockade, totals={(0, 1): 0})
    assert inner.envelope == Constrained(Spin(6, magnetisation=0), totals={(0, 1): 0}) == inner.envelope.envelope
    assert (inner * a).envelope == inner.envelope * a and inner.parts == ((0, 1), (2, 3, 4, 5))


def test_modes():
    """What symmetries and operators ask: components, fermion modes, local states."""
    pair = SpinfulFermion(3)
    assert (pair.components, pair.fermionic, pair.n_sites, pair.n_orbitals) == (2, True, 6, 3)
    assert SpinfulFermion(3, n_up=1, n_down=2).charges == (1, 2) and Spin(5, magnetisation=1.5).charges == (4,)
    assert (Boson(2, 3).components, Boson(2, 3).fermionic, Boson(2, 3).local_states) == (1, False, (0, 1, 2, 3))
    limited = Constrained(pair, single)
    assert (limited.components, limited.fermionic, limited.fermionic_modes) == (2, True, (True,) * 6)
    assert Product(SpinlessFermion(1), SpinlessFermion(2)).fermionic
    mixed = Spin(1) * SpinlessFermion(2)
    assert mixed.fermionic_modes == (False, True, True) and mixed.site_states == ((1, -1), (0, 1), (0, 1))
    with pytest.raises(SpaceError, match="some are not"):
        _ = mixed.fermionic
    with pytest.raises(SpaceError, match="different local states"):
        _ = mixed.local_states


@pytest.mark.parametrize(
    "make",
    [
        lambda: Boson(0, 2),
        lambda: Boson(3, 0),
        lambda: Boson(3, 128),
        lambda: Boson(3, 2, n_particles=7),
        lambda: Boson(3, 2, n_particles=-1),
        lambda: Boson(True, 2),
        lambda: SpinlessFermion(3, 4),
        lambda: SpinfulFermion(3, n_up=4),
        lambda: SpinfulFermion(3, n_up=1, n_down=1, n_fermions=3),
        lambda: SpinfulFermion(3, n_up=1, n_fermions=5),
        lambda: SpinfulFermion(3, n_fermions=7),
        lambda: Product(),
        lambda: Product(Spin(2), 3),
        lambda: Constrained(Spin(4)),
        lambda: Constrained(Spin(4), totals={(0, 1): 0.5}),
        lambda: Constrained(Spin(4), totals={(0, 1): float("nan")}),
        lambda: Constrained(Spin(4), totals={(0, 1): 2}),
        lambda: Constrained(Spin(4), totals={(0, 4): 0}),
        lambda: Constrained(Spin(4), totals={(0, 0): 0}),
        lambda: Constrained(Spin(4), totals={(): 0}),
        lambda: Constrained(Spin(4), totals=[(0, 1)]),
        lambda: Constrained(Spin(4), totals={(0, 1): 0, (1, 2): 0}),
        lambda: Constrained(Spin(4, magnetisation=2), totals={(0, 1): 0}),
        lambda: Constrained(Spin(4, magnetisation=0), totals={(0, 1, 2, 3): 1}),
        lambda: Constrained(Constrained(Spin(4), blockade), totals={(0, 1): 0}),
        lambda: Constrained(Spin(4), lambda x: bool(x[0, 0] == 1)),
        lambda: Constrained(Spin(4), unhashable),
    ],
)
def test_bad_spaces(make):
    """Refused with the four parts."""
    with pytest.raises(SpaceError, match=r"got:(.|\n)*expected:(.|\n)*try:"):
        make()


def test_bad_use():
    for space in (Boson(4, 2, n_particles=3), Spin(1) * SpinlessFermion(3), Constrained(Spin(4), blockade)):
        with pytest.raises(ShapeError, match="fit the space"):
            space.states_to_indices(np.ones(3, np.int8))
        for wrong in (np.full(4, np.nan), np.full(4, 0.5), np.full(4, np.inf), np.ones(4, complex)):
            with pytest.raises(SpaceError, match="whole numbers"):
                space.states_to_indices(wrong)
        for wrong in (-1, space.size, [0, 10**6], 0.0, np.nan, True):
            with pytest.raises(SpaceError, match="no configurations with these numbers"):
                space.indices_to_states(wrong)
        assert not any(
            wrong in space for wrong in ([np.nan] * 4, [0.5] * 4, [9] * 4, [2**32] * 4, "four", [None] * 4, 3)
        )
        assert not space.contains(np.array([[255] * 4, [2**32 - 1] * 4], np.uint32)).any()
        x = np.asarray(space.all_states())
        assert np.all(space.contains(x.astype(float))) and np.all(space.contains(x.astype(np.int64)))
        np.testing.assert_array_equal(space.states_to_indices(x.astype(float)), np.arange(space.size))
    assert [True, False] in SpinlessFermion(2) and [True, True] not in SpinlessFermion(2, 1)
    for predicate in (lambda x: jnp.sum(x) == 0, lambda x: x == 0, lambda x: x[..., 0]):
        with pytest.raises(ShapeError, match="answer once for each"):
            Constrained(Spin(4), predicate)


def test_32_bit_mode():
    """Numbering up to 2^31, words up to 32 bits; beyond that refused, never cut."""
    with jax.enable_x64(False):
        space = SpinfulFermion(10, n_up=5, n_down=4)
        index = jnp.arange(0, space.size, 997)
        assert index.dtype == jnp.int32
        np.testing.assert_array_equal(space.states_to_indices(space.indices_to_states(index)), index)
        np.testing.assert_array_equal(space.bits.bits_to_indices(space.bits.indices_to_bits(index)), index)
        assert np.all(space.contains(space.random_state(jax.random.key(0), 50)))
        with pytest.raises(SpaceError, match="too many states"):
            SpinlessFermion(40, 20).indices_to_states(0)
        with pytest.raises(PrecisionError, match="64-bit"):
            _ = SpinlessFermion(33, 2).bits
