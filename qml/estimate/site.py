"""Operators on one site, by name or by matrix, as tables of local states."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import AbstractHilbert

Table = tuple[tuple[complex, ...], ...]

SPIN_NAMES = ("X", "Y", "Z", "Sx", "Sy", "Sz", "S+", "S-", "SS")
PARTICLE_NAMES = ("n", "Sz", "create", "annihilate")


class Products(NamedTuple):
    r"""$\sum_p A^p_i B^p_j$ on sites with the same local states; hashable.

    Args:
        sites: entries of a configuration that the operators act on.
        left: matrices $A^p$ in the order of the local states.
        right: matrices $B^p$.
        odd: fermion operators that change the parity, with the signs of the modes between them.
        fold: weight of the spin up and the spin down mode of a site of fermions with spin; empty for one mode a site.
    """

    sites: tuple[int, ...]
    left: tuple[Table, ...]
    right: tuple[Table, ...]
    odd: bool
    fold: tuple[float, ...]

    @property
    def is_hermitian(self) -> bool:
        """True where every $A_i B_j$ is a Hermitian operator, i = j included."""
        pairs = [(np.array(a), np.array(b)) for a, b in zip(self.left, self.right)]
        return all(_hermitian(a) and _hermitian(b) and _hermitian(a @ b) for a, b in pairs) and not self.odd

    @property
    def is_positive(self) -> bool:
        r"""True where $B = A^\dagger$, so that $\sum_{ij} \bar w_i w_j A_i B_j$ is Hermitian for all $w$."""
        return all(np.allclose(np.array(a).conj().T, np.array(b), atol=1e-14) for a, b in zip(self.left, self.right))

    @property
    def n_values(self) -> int:
        """Number of places i: the sites, or half as many for fermions with spin that are counted together."""
        return len(self.sites) // len(self.fold) if self.fold else len(self.sites)


def products(hilbert: AbstractHilbert, operators: Any, sites: Sequence[int] | None = None) -> Products:
    """What two operators, or one, mean on the sites of a space.

    Args:
        hilbert: the space.
        operators: a name, a matrix `[d, d]` in the order of the local states, or a pair of them.
        sites: entries of a configuration, with the same local states; `None` is all.

    Raises:
        SpaceError: an unknown name, sites that do not exist or differ, or a name that needs other sites.
        ShapeError: a matrix of another size.
    """
    chosen = _sites(hilbert, sites)
    levels = hilbert.site_states[chosen[0]]
    pair = operators if isinstance(operators, tuple) else (operators, operators)
    if len(pair) != 2:
        raise ShapeError("A correlator has two operators.", got=len(pair), expected="2", try_='("S+", "S-")')
    if isinstance(operators, str) and operators == "SS":
        spins = [_table(_matrix(levels, name)) for name in ("Sx", "Sy", "Sz")]
        _refuse_particles(hilbert, levels, "SS")
        return Products(chosen, tuple(spins), tuple(spins), False, ())
    fold = _fold(hilbert, pair, sites)
    if fold:
        number = _table(_matrix(levels, "n"))
        return Products(chosen, (number,), (number,), False, fold)
    a, b = (_named(hilbert, levels, name) for name in pair)
    odd = False
    if hilbert.fermionic_modes[chosen[0]]:
        odd = _parity(a)
        if odd != _parity(b):
            raise SpaceError(
                "The product of these operators changes the parity of the number of fermions.",
                got=pair,
                expected="two operators that change it, or two that do not",
                try_='("create", "annihilate"), "n"',
            )
        if odd and list(chosen) != sorted(chosen):
            raise SpaceError(
                "Fermion modes are given in the order of the space, which decides on the signs.",
                got=f"sites={chosen}",
                expected=f"sites={tuple(sorted(chosen))}",
                try_="sites in increasing order",
            )
    return Products(chosen, (_table(a),), (_table(b),), odd, ())


def _fold(hilbert: AbstractHilbert, pair: tuple[Any, Any], sites: Any) -> tuple[float, ...]:
    """Weights of the two modes of a site, where fermions with spin are counted by site."""
    if hilbert.components != 2:
        return ()
    weights = {"n": (1.0, 1.0), "Sz": (0.5, -0.5)}
    found = [weights.get(name) if isinstance(name, str) else None for name in pair]
    if found[0] is None and found[1] is None:
        return ()
    if found[0] is None or found[0] != found[1] or sites is not None:
        raise SpaceError(
            "Counted by site, fermions with spin have correlators n n and Sz Sz on all sites.",
            got=f"{pair}, sites={sites}",
            expected='"n" or "Sz" alone, without sites',
            try_="matrices [2, 2] or create and annihilate, which act on modes",
        )
    return found[0]


def _sites(hilbert: AbstractHilbert, sites: Sequence[int] | None) -> tuple[int, ...]:
    chosen = tuple(range(hilbert.n_sites)) if sites is None else tuple(int(i) for i in sites)
    exist = len(chosen) > 0 and len(set(chosen)) == len(chosen) and all(0 <= i < hilbert.n_sites for i in chosen)
    if not exist or len({(hilbert.site_states[i], hilbert.fermionic_modes[i]) for i in chosen}) > 1:
        raise SpaceError(
            "Correlators are between distinct sites with the same local states.",
            got=f"sites={sites} of {hilbert}",
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1} of one kind",
            try_="sites=, those of one kind",
        )
    return chosen


def _named(hilbert: AbstractHilbert, levels: tuple[int, ...], name: Any) -> np.ndarray:
    if isinstance(name, str):
        matrix = _matrix(levels, name)
        _refuse_particles(hilbert, levels, name)
        return matrix
    matrix = np.asarray(name)
    if matrix.shape != (len(levels),) * 2 or not np.all(np.isfinite(matrix)):
        raise ShapeError(
            "An operator on one site is a matrix of its local states.",
            got=f"shape {matrix.shape}",
            expected=f"finite numbers [{len(levels)}, {len(levels)}]",
            try_=f"rows and columns in the order {levels}",
        )
    return matrix


def _matrix(levels: tuple[int, ...], name: str) -> np.ndarray:
    """The matrix of a name in the order of the local states."""
    d = len(levels)
    values = np.array(levels, float)
    if name in ("n", "create", "annihilate"):
        lower = np.diag(np.sqrt(np.arange(1.0, d)), 1)  # <n - 1| b |n>
        return {"n": np.diag(values), "create": lower.T, "annihilate": lower}[name]
    if name not in SPIN_NAMES or name == "SS":
        raise SpaceError(
            "There is no operator of this name on one site.",
            got=name,
            expected=f"one of {SPIN_NAMES} for spins, {PARTICLE_NAMES} for particles",
            try_='"Z", "n", ("S+", "S-"), or a matrix',
        )
    s, m = (d - 1) / 2, values[1:] / 2
    up = np.diag(np.sqrt(s * (s + 1) - m * (m + 1)), 1)  # <m + 1| S+ |m>, m descending
    spin = {"S+": up, "S-": up.T, "Sx": (up + up.T) / 2, "Sy": (up - up.T) / 2j, "Sz": np.diag(values / 2)}
    return spin[name] if name in spin else 2 * spin["S" + name.lower()]


def _refuse_particles(hilbert: AbstractHilbert, levels: tuple[int, ...], name: str) -> None:
    spins = levels[0] == -levels[-1] and len(levels) == levels[0] + 1
    wanted = name in ("n", "create", "annihilate")
    if spins == wanted or (name in ("X", "Y", "Z") and len(levels) != 2):
        raise SpaceError(
            "These sites have no operator of this name.",
            got=f"{name} on local states {levels}",
            expected='"X", "Y", "Z" on spins 1/2, "Sx" ... "SS" on spins, "n", "create", "annihilate" on particles',
            try_='"n"' if spins is False else '"Sz"',
        )


def _parity(matrix: np.ndarray) -> bool:
    """True for a matrix that changes the occupation of a fermion mode; both at once is refused."""
    diagonal, other = np.any(np.diag(matrix) != 0), np.any(matrix - np.diag(np.diag(matrix)) != 0)
    if diagonal and other:
        raise SpaceError(
            "This operator has no definite fermion parity.",
            got=matrix.tolist(),
            expected="a diagonal matrix, or one without a diagonal",
            try_='"n", "create", "annihilate"',
        )
    return bool(other)


def _table(matrix: np.ndarray) -> Table:
    return tuple(tuple(complex(v) for v in row) for row in matrix)


def _hermitian(matrix: np.ndarray) -> bool:
    return bool(np.allclose(matrix, matrix.conj().T, atol=1e-14 * max(1.0, float(np.abs(matrix).max()))))


def real_if_real(table: np.ndarray) -> np.ndarray:
    """The same numbers, real where all imaginary parts vanish."""
    real, imag = np.real(table), np.imag(table)
    return real if np.all(np.abs(imag) <= 1e-14 * max(1.0, float(np.abs(table).max(initial=0)))) else table
