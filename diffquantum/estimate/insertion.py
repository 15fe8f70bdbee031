r"""Gradients from runs with one shift each, at places dealt out by a law that a pilot run fits.

A place is (site $i$, occurrence $k$, sign $\pm$). With the law $\mu(i, k)$ the estimate of one run is
$X_j = \pm \partial_j\phi_i\, (f - b_i(k)) / \mu(i, k)$, or 0 where the place is not reached: its mean is
$\partial_j E$ for any law that misses no place. The variance is least at $\mu \propto \sqrt{v}$, $v_i(k)$ the mean
square of what is multiplied with $1/\mu$ [Cauchy-Schwarz], which the first runs estimate. A share of heavy tail,
$k^{-3/2}$, keeps the variance finite for every loop that ends, whatever the first runs did not see.
"""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.simulate.shots import Samples
from diffquantum.transform.gadget import Roulette
from diffquantum.transform.placed import PlacedProgram
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats

ENOUGH = 30  # runs of the pilot that must reach a place before their mean square is trusted
EDGES = np.unique(np.concatenate([np.arange(1, 25), np.round(24 * 1.15 ** np.arange(1, 127))]).astype(np.int64))
START, WIDTH = EDGES[:-1], np.diff(EDGES)  # bins of occurrences up to 1e9; the law is constant in each
LEAST = 1e-2  # share of the largest mean square of a site: that of few runs may be 0 by chance


class Law(eqx.Module):
    """Chances of places.

    Args:
        mass: chance of each bin of occurrences of each site `[sites, bins]`.
        rest: chance of a run without shift.
    """

    mass: Array
    rest: Array


def gradient_of(
    whole: PlacedProgram,
    run: Callable[[RandomKey, dict[str, Array], int], Samples],
    key: RandomKey,
    shots: int,
    rule: Roulette,
) -> Stats:
    """The gradient from `shots` runs, those of the pilot counted.

    Args:
        whole: the program with places.
        run: runs it: key, given variables and number of runs to samples.
        key: a typed key.
        shots: runs in all.
        rule: share of the heavy tail, whether places are dealt out or drawn.

    Returns:
        Means and errors `[params]`; a few runs may be left out so that rounds are equal.
    """
    rounds, size = _rounds(shots)
    first = Law(jnp.zeros((len(whole.sites), len(WIDTH))), jnp.ones(()))

    def one(law: Law, each: tuple[Array, RandomKey]) -> tuple[Law, tuple]:
        number, key = each
        draw_key, run_key = jax.random.split(key)
        site, place, sign, weight = _draw(law, draw_key, size, rule.stratified)
        given = {whole.turn: sign * (jnp.pi / 2)}
        given |= {s.place: jnp.where(site == i, place, 0) for i, s in enumerate(whole.sites)}
        out = _Output(whole, run(run_key, given, size))
        fitted = jax.lax.cond(number == 0, lambda: _fit(whole, out, rule.heavy), lambda: law)
        return fitted, (out, site, place, sign, weight)

    _, (out, site, place, sign, weight) = jax.lax.scan(one, first, (jnp.arange(rounds), jax.random.split(key, rounds)))
    main = jax.tree.map(lambda x: x[1:], (out, site, place, sign, weight))
    values = _values(whole, *main)
    values = jnp.where(jnp.all(out.finished), values, jnp.nan)
    return _statistics(values, rounds * size, rule.stratified)


def gradient_by(
    whole: PlacedProgram, run: Callable[[np.ndarray, int], np.ndarray], key: RandomKey, shots: int, rule: Roulette
) -> Stats:
    """`gradient_of` on a device: runs with the same place are made together.

    Args:
        whole: the program with places.
        run: runs it: what it is given (the place of each site, then the turn) and number of runs to its outputs
            `[runs, outputs]`.
        key: a typed key, for the places.
        shots: runs in all.
        rule: share of the heavy tail, whether places are dealt out or drawn.

    Returns:
        Means and errors `[params]`.
    """
    rounds, size = _rounds(shots)
    sites = len(whole.sites)
    pilot = run(np.zeros(sites + 1), size)
    drawn = _deal(whole, pilot, jax.random.split(key, rounds - 1), rule)
    site, place, sign, _ = map(np.asarray, drawn)
    given = np.zeros((site.size, sites + 1))
    given[:, :-1] = np.where(site.reshape(-1, 1) == np.arange(sites)[None], place.reshape(-1, 1), 0)
    given[:, -1] = np.where(site < sites, sign * np.pi / 2, 0.0).ravel()
    outputs = np.zeros((site.size, pilot.shape[1]))
    each, which = np.unique(given, axis=0, return_inverse=True)
    for i, one in enumerate(each):
        rows = np.nonzero(which.ravel() == i)[0]
        outputs[rows] = run(one, len(rows))
    return _assembled(whole, outputs.reshape(*site.shape, -1), drawn, rounds * size, rule)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _deal(whole: PlacedProgram, pilot: Array, keys: Array, rule: Roulette) -> tuple[Array, Array, Array, Array]:
    """Places for all rounds but the pilot, by a law that it fits."""
    law = _fit(whole, _output(whole, pilot), rule.heavy)
    return jax.vmap(lambda key: _draw(law, key, len(pilot), rule.stratified))(keys)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _assembled(whole: PlacedProgram, outputs: Array, drawn: tuple, shots: int, rule: Roulette) -> Stats:
    return _statistics(_values(whole, _output(whole, outputs), *drawn), shots, rule.stratified)


def _rounds(shots: int) -> tuple[int, int]:
    """Number of rounds, of which the first is the pilot, and runs of each."""
    rounds = int(np.clip(shots // 250, 4, 25))
    return rounds, max(2 * (shots // (2 * rounds)), 2)


def _output(whole: PlacedProgram, x: Array) -> "_Output":
    """Outputs of a device `[..., outputs]`, all finished."""
    parts = [x[..., i] for i in range(x.shape[-1])]
    parts[1 : 1 + len(whole.sites)] = [p.astype(int) for p in parts[1 : 1 + len(whole.sites)]]
    return _Output(whole, Samples(tuple(parts), None, jnp.ones(x.shape[:-1], bool)))


class _Output(eqx.Module):
    """What the runs of a program with places returned, `[shots]` or `[shots, ...]`."""

    value: Array
    counts: Array
    squares: Array
    slopes: Array
    direct: Array
    finished: Array

    def __init__(self, whole: PlacedProgram, samples: Samples):
        outputs, sites = samples.outputs, len(whole.sites)
        real = jnp.result_type(float)
        observed = jnp.ones(()) if samples.observable is None else samples.observable.astype(real)

        def stack(part: tuple) -> Array:
            return jnp.stack(part, axis=-1).astype(real) if part else jnp.zeros((*outputs[0].shape, 0), real)

        parameters = (len(outputs) - 1 - 2 * sites) // 2
        self.value = outputs[0].astype(real) * observed
        self.counts = jnp.stack(outputs[1 : 1 + sites], axis=-1) if sites else jnp.zeros((*outputs[0].shape, 0), int)
        self.squares = stack(outputs[1 + sites : 1 + 2 * sites])
        self.slopes = stack(outputs[1 + 2 * sites : 1 + 2 * sites + parameters])
        self.direct = stack(outputs[1 + 2 * sites + parameters :]) * (
            observed if samples.observable is None else observed[..., None]
        )
        self.finished = samples.finished


# ------------------------------------------------------------------------------------------ the law


def _fit(whole: PlacedProgram, out: _Output, heavy: float) -> Law:
    """The law from the runs of the pilot, which have no shift."""
    once = np.arange(len(WIDTH)) == 0  # bins of a site outside of loops
    real = jnp.result_type(float)
    sizes = [
        _spread(out.value, out.counts[:, i], out.squares[:, i]) * jnp.asarray(WIDTH if site.looped else once, real)
        for i, site in enumerate(whole.sites)
    ]
    size = jnp.stack(sizes) if sizes else jnp.zeros((0, len(WIDTH)), real)
    rest = jnp.sqrt(jnp.mean(jnp.sum(out.direct**2, axis=1)))
    total = jnp.sum(size) + rest
    idle = whole.direct or not whole.sites  # whether runs without shift count
    places = len(whole.sites) + idle
    falling = np.append(-np.diff(START**-0.5), START[-1] ** -0.5)
    tails = np.array([falling if site.looped else once for site in whole.sites]).reshape(size.shape) / places
    share = jnp.where(total > 0, 1 - heavy, 0.0) / jnp.where(total > 0, total, 1.0)
    guard = jnp.where(total > 0, heavy, 1.0)
    return Law(share * size + guard * tails, share * rest + guard * (idle / places))


def _spread(value: Array, count: Array, squares: Array) -> Array:
    r"""$\sqrt v$ for each bin of one site `[bins]`: the root mean square of centred values times slopes."""
    shots = value.shape[0]
    start, width = jnp.asarray(START), jnp.asarray(WIDTH)
    inside = jnp.clip(count[:, None] - start[None, :] + 1, 0, width[None, :]).astype(value.dtype)
    reached = jnp.sum(inside, axis=0)
    seen = jnp.maximum(reached, 1)
    centre = value @ inside / seen
    square = jnp.maximum(value**2 @ inside / seen - centre**2, 0.0)
    most = jnp.max(jnp.where(reached > 0, square, 0))
    square = jnp.where(most > 0, jnp.maximum(square, LEAST * most), 1.0)
    slope = jnp.sum(squares) / jnp.maximum(jnp.sum(count), 1)
    found = jnp.sqrt(square * reached * slope / (width * shots))
    good = jnp.sum(count[:, None] >= start[None, :], axis=0) >= ENOUGH
    last = jnp.maximum(jnp.sum(good) - 1, 0)
    half = start[last] // 2
    left = jnp.sum(jnp.maximum(count - half, 0)) / jnp.maximum(jnp.sum(count > half), 1)  # 1 / (1 - chance to go on)
    going_on = jnp.clip(1 - 1 / jnp.maximum(left, 1.0), 0.05, 1.0)
    middle = (start + (width - 1) / 2 - start[last]).astype(value.dtype)
    return jnp.where(good, found, found[last] * going_on ** (jnp.maximum(middle, 0) / 2))


def _draw(law: Law, key: RandomKey, size: int, stratified: bool) -> tuple[Array, Array, Array, Array]:
    """Site (their number for none), occurrence, sign and weight of `size` runs.

    Stratified: two runs for each of size/2 equal parts of the law, which has the places in order, each place first with
    sign + and then with sign -.
    """
    bins = law.mass.shape[1]
    cells = jnp.append(jnp.repeat(law.mass.ravel() / 2, 2), law.rest)
    ends = jnp.cumsum(cells)
    where_key, in_key = jax.random.split(key)
    u = jax.random.uniform(where_key, (size,), ends.dtype)
    if stratified:
        u = (jnp.arange(size) // 2 + u) / (size // 2)
    cell = jnp.minimum(jnp.searchsorted(ends, u * ends[-1], side="right"), len(cells) - 1)
    sign = 1.0 - 2.0 * (cell % 2)
    site, bin_ = cell // (2 * bins), (cell // 2) % bins
    none = cell == len(cells) - 1
    inside = jax.random.uniform(in_key, (size,), ends.dtype)
    width = jnp.asarray(WIDTH)[bin_]
    place = jnp.asarray(START)[bin_] + jnp.minimum((inside * width).astype(width.dtype), width - 1)
    chance = cells[cell] / ends[-1]
    weight = jnp.where(none, 1.0, width / 2) / chance  # two signs: the rule has a half, the law another
    return jnp.where(none, law.mass.shape[0], site), place, jnp.where(none, 0.0, sign), weight


# ------------------------------------------------------------------------------------------ estimates


def _values(whole: PlacedProgram, out: _Output, site: Array, place: Array, sign: Array, weight: Array) -> Array:
    """The estimate of each run `[rounds, shots, params]`."""
    sites = len(whole.sites)
    number = jnp.minimum(site, max(sites - 1, 0))
    if not sites:
        return weight[..., None] * out.direct
    count = jnp.take_along_axis(out.counts, number[..., None], axis=-1)[..., 0]
    hit = (site < sites) & (count >= place)
    if any(None in s.slopes for s in whole.sites):
        slopes = out.slopes
    else:
        slopes = jnp.asarray([s.slopes for s in whole.sites], float)[number]
    level = _baseline(out.value, hit, number, place, weight, sites)
    moved = jnp.where(hit, sign * weight * (out.value - level), 0.0)
    return moved[..., None] * slopes + jnp.where((site == sites)[..., None], weight[..., None] * out.direct, 0.0)


def _baseline(value: Array, hit: Array, number: Array, place: Array, weight: Array, sites: int) -> Array:
    """Predicted values of runs with the shift where it is, by least squares over the rounds of the other parity."""
    own = sites if sites <= 8 else 1
    far = jnp.sum(jnp.where(hit, place, 0)) / jnp.maximum(jnp.sum(hit), 1)
    x = place / jnp.maximum(far, 1.0)
    shape = jnp.stack([jnp.ones_like(x), x, jnp.exp(-x)], axis=-1)
    which = jax.nn.one_hot(number, own) if own == sites else jnp.ones((*number.shape, 1))
    rows = (which[..., :, None] * shape[..., None, :]).reshape(*place.shape, 3 * own)
    force = jnp.where(hit, weight**2, 0.0)
    matrix = jnp.einsum("rs,rsa,rsb->rab", force, rows, rows)
    right = jnp.einsum("rs,rsa,rs->ra", force, rows, value)
    odd = (jnp.arange(len(value)) % 2).astype(matrix.dtype)
    other = odd[:, None] * (1 - odd)[None, :] + (1 - odd)[:, None] * odd[None, :]
    matrix, right = jnp.tensordot(other, matrix, 1), jnp.tensordot(other, right, 1)
    scale = jnp.trace(matrix, axis1=1, axis2=2) / (3 * own)
    ridge = (1e-6 * scale + 1e-30)[:, None, None] * jnp.eye(3 * own)[None]
    found = jnp.linalg.solve(matrix + ridge, right[..., None])[..., 0]
    return jnp.einsum("rsa,ra->rs", rows, found)


def _statistics(values: Array, shots: int, stratified: bool) -> Stats:
    """Statistics of runs `[rounds, shots, params]`, with the runs of the pilot counted in the variance of one run."""
    flat = values.reshape(-1, values.shape[-1])
    if not stratified:
        plain = Stats.of(flat)
        mean, error = plain.mean, plain.error
    else:
        mean = jnp.mean(flat, axis=0)
        half = (flat[0::2] - flat[1::2]) / 2
        error = jnp.sqrt(jnp.sum(half**2, axis=0)) / (len(flat) // 2)
    return Stats.independent(mean, error, shots)
