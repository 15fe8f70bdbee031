"""Couplings of a thermal state on a rectangle of sites from windows in both directions."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qml._core.errors import ConfigError, DataError
from qml.gibbs import engine
from qml.gibbs.windows import Term, Windowed, combined, parse_term, solve_windows, spread_of, spread_windows

Part = tuple[int, int]  # first coordinate, width


def grid_couplings(
    marginals: Mapping[str, float],
    shape: Sequence[int],
    *,
    window: Sequence[int] = (3, 3),
    combine: bool = True,
    errors: Any = None,
) -> Windowed:
    r"""Couplings of $\rho = e^{-\sum_j \theta_j P_j}/Z$ on an open rectangle of sites from its local marginals.

    Each term is found in windows around it, as on a chain (`window_couplings`): the far windows to both sides less what
    they share, $\theta_{left} + \theta_{right} - \theta_{shared}$, in both directions: up to nine windows.

    Args:
        marginals: $\mathrm{Tr}\,\rho P_j$ by name of the term, letters with sites, site $x\,L_y + y$: `{"Z0 Z1": 0.5}`.
        shape: $(L_x, L_y)$.
        window: sites of a window along x and y, at most 12 in all; cut to the shape.
        combine: False takes one window alone, with the term as near to its middle as can be.
        errors: see `window_couplings`.

    Returns:
        In the order of the marginals; `change` is the difference from the one window.

    Raises:
        DataError: a name is malformed or comes twice, a site is not on the rectangle, or a marginal is no number in
            [-1, 1].
        ConfigError: a window does not hold the terms, or has more than 12 sites.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, grid_couplings
        >>> state = PauliGibbs(("ZZII", "ZIZI", "IZIZ", "IIZZ", "XIII"), -0.3 * jnp.ones(5))
        >>> names = ("Z0 Z1", "Z0 Z2", "Z1 Z3", "Z2 Z3", "X0")
        >>> found = grid_couplings(dict(zip(names, state.marginals().tolist())), (2, 2), window=(2, 2))
        >>> bool(jnp.max(jnp.abs(found.theta + 0.3)) < 1e-9)
        True
    """
    terms = [parse_term(name) for name in marginals]
    values = np.array([float(v) for v in marginals.values()])
    columns = int(shape[1])
    inside = all(site < shape[0] * columns for term in terms for site, _ in term)
    if not terms or len(set(terms)) != len(terms) or not np.all(np.abs(values) <= 1) or not inside:
        raise DataError(
            "A rectangle needs marginals of distinct Pauli strings on its sites, numbers from -1 to 1.",
            got=f"{len(terms)} terms, {len(set(terms))} distinct, on {shape[0]} x {columns} sites",
            expected=f"sites 0 to {shape[0] * columns - 1}, each string once",
            try_='{"Z0 Z1": 0.5, "X0": 0.3}',
        )
    wide = [min(int(w), int(n)) for w, n in zip(window, shape)]
    boxes = [_box(term, columns) for term in terms]
    spans = np.max([[high - low for low, high in box] for box in boxes], axis=0)
    if len(wide) != 2 or np.any(spans > wide) or wide[0] * wide[1] > engine.LARGEST:
        raise ConfigError(
            "A window of this size does not serve.",
            got=f"{tuple(window)}",
            expected=f"at least {tuple(spans.tolist())} and at most {engine.LARGEST} sites in all",
            try_="window=(3, 3)",
        )
    plans = [[_parts(*box[axis], wide[axis], int(shape[axis]), combine) for axis in (0, 1)] for box in boxes]
    plain = [[_parts(*box[axis], wide[axis], int(shape[axis]), False) for axis in (0, 1)] for box in boxes]
    wanted = {(x, y) for three in (*plans, *plain) for x in three[0] for y in three[1]}
    regions = {region: _region(terms, region, columns) for region in wanted}
    found = solve_windows(values, regions, errors is not None)
    signed = [
        [((x, y), cx * cy) for (x, cx), (y, cy) in itertools.product(plan[0].items(), plan[1].items())]
        for plan in plans
    ]
    alone = [(next(iter(single[0])), next(iter(single[1]))) for single in plain]
    return combined(found, signed, alone, spread_of(errors, len(terms)))


def _box(term: Term, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First coordinate and the one after the last, along x and y."""
    x, y = [site // columns for site, _ in term], [site % columns for site, _ in term]
    return (min(x), max(x) + 1), (min(y), max(y) + 1)


def _parts(first: int, end: int, width: int, last: int, combine: bool) -> dict[Part, int]:
    """Windows along one axis with their signs."""
    if not combine or width == last or width < end - first + 1:
        return {(int(np.clip((first + end - width) // 2, 0, last - width)), width): 1}
    left, right, shared = spread_windows(first, end, width, last)
    total: dict[Part, int] = {}
    for part, sign in ((left, 1), (right, 1), (shared, -1)):
        total[part] = total.get(part, 0) + sign
    return {part: sign for part, sign in total.items() if sign}


def _region(terms: list[Term], region: tuple[Part, Part], columns: int) -> tuple[int, dict[tuple, int]]:
    """Number of sites, and the terms inside with sites counted from the corner of the window."""
    (x0, wx), (y0, wy) = region
    inside = {}
    for k, term in enumerate(terms):
        (xl, xh), (yl, yh) = _box(term, columns)
        if x0 <= xl and xh <= x0 + wx and y0 <= yl and yh <= y0 + wy:
            moved = tuple(((i // columns - x0) * wy + i % columns - y0, letter) for i, letter in term)
            inside[tuple(sorted(moved))] = k
    return wx * wy, inside
