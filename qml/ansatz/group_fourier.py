"""Convolutions over a finite group, done where they are cheap: in its irreps, or in those of its translations."""

import abc
import dataclasses
from functools import cached_property
from typing import Any, NamedTuple, final

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, unknown_name
from qml._core.types import Array, Float, Int
from symmetries import FiniteGroup, SpaceGroup, character_table, irrep_matrices

MODES = ("auto", "dense", "fft", "irreps")
_LISTED = 192  # elements of a group whose normal subgroups are searched


class GroupConvolution(abc.ABC):
    r"""$z_{og} = \sum_{ck} V_{ock}\,y_{c,gk}$ over a finite group.

    Implementations are frozen dataclasses, constants of compiled programs. Features are held in the order `elements`.
    """

    @property
    @abc.abstractmethod
    def elements(self) -> Int[np.ndarray, " order"]:
        """Group elements in the order of the features."""

    @abc.abstractmethod
    def __call__(
        self, kernel: Float[Array, "out into order"], y: Float[Array, "batch into order"]
    ) -> Float[Array, "batch out order"]:
        """The convolution; the kernel is in the order of the group, the features in that of `elements`."""

    @abc.abstractmethod
    def operations(self, features: int) -> int:
        """Multiplications for one configuration, about."""


@final
@dataclasses.dataclass(frozen=True)
class AbelianFourier(GroupConvolution):
    r"""By Fourier transform over an abelian normal subgroup $N$, such as the translations.

    With $g = t\,p_i$, $t \in N$, and one $p_i$ a coset: $\hat z_i(k) = \sum_j \hat K_{ij}(k)\,\hat y_j(k)$ with
    $K_{ij}(\tau) = V(p_i^{-1} \tau\,p_j)$; of each pair of conjugate characters one is done. The trivial subgroup gives
    the plain matrix product, with the kernel spread over pairs of elements.

    Args:
        group: the group.
        subgroup: elements of $N$.

    Source: Cohen and Welling, arXiv:1602.07576.
    """

    group: FiniteGroup
    subgroup: tuple[int, ...]

    def __hash__(self) -> int:
        return hash((self.group.order, self.subgroup))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbelianFourier) and self.subgroup == other.subgroup and _same(self.group, other.group)

    @cached_property
    def _cosets(self) -> np.ndarray:
        return self.group.cosets(np.array(self.subgroup), side="right")

    @property
    def elements(self) -> Int[np.ndarray, " order"]:
        return self._cosets.reshape(-1)

    @cached_property
    def _pairs(self) -> np.ndarray:
        """`[i, j, t]`: the element $p_i^{-1} t p_j$."""
        table, first = self.group.product_table, self._cosets[:, list(self.subgroup).index(self.group.identity)]
        left = table[self.group.inverse[first]][:, list(self.subgroup)]
        return table[left[:, None, :], first[None, :, None]]

    @cached_property
    def _waves(self) -> tuple[Any, Any]:
        """Real characters `[k, t]`, and one of each conjugate pair of complex ones."""
        subgroup = self.group.subgroup(np.array(self.subgroup))
        rows = _characters(subgroup)
        real = np.abs(rows.imag).max(axis=1) < 1e-9
        return rows[real].real, rows[~real][_one_of_each_pair(rows[~real])]

    def operations(self, features: int) -> int:
        cosets, steps = self._cosets.shape
        waves = 0 if steps == 1 else 2 * features * cosets * steps * steps
        real, pairs = (len(rows) for rows in self._waves)
        return waves + (real + 4 * pairs) * (features * cosets) ** 2

    def __call__(self, kernel: Array, y: Array) -> Array:
        cosets, steps = self._cosets.shape
        batch, (real, pairs) = y.shape[0], self._waves
        values, spread = y.reshape(batch, -1, cosets, steps), kernel[:, :, self._pairs]
        total = jnp.zeros((batch, kernel.shape[0], cosets, steps), y.dtype)
        if len(real):
            wave = jnp.asarray(real, y.dtype)
            hat = jnp.einsum("kbcj,kocij->kboi", _wave(values, wave), _wave(spread, wave))
            total = total + jnp.einsum("kboi,kt->boit", hat, wave / steps)
        if len(pairs):
            cosine, sine = (jnp.asarray(part, y.dtype) for part in (pairs.real, pairs.imag))
            one, two = (jnp.concatenate([_wave(v, cosine), s * _wave(v, sine)]) for v, s in ((values, 1), (spread, -1)))
            hat = _complex_product(one, two)
            back = jnp.concatenate([cosine, sine]) * (2 / steps)
            total = total + jnp.einsum("kboi,kt->boit", hat, back)
        return total.reshape(batch, kernel.shape[0], -1)


def _wave(values: Array, wave: Array) -> Array:
    """Sums over the last axis with each wave, the waves first."""
    return jnp.moveaxis(values @ wave.T, -1, 0)


def _complex_product(one: Array, two: Array) -> Array:
    """`kbcj,kocij->kboi` of complex numbers; all real parts come before all imaginary parts."""
    half = one.shape[0] // 2
    left = jnp.concatenate([one[:half], one[half:]], axis=2)
    real, imag = two[:half], two[half:]
    top, bottom = jnp.concatenate([real, -imag], axis=2), jnp.concatenate([imag, real], axis=2)
    right = jnp.concatenate([top, bottom], axis=1)
    both = jnp.einsum("kbcj,kocij->kboi", left, right)
    return jnp.concatenate([both[:, :, : both.shape[2] // 2], both[:, :, both.shape[2] // 2 :]])


class _Family(NamedTuple):
    """Irreps of one dimension, none the conjugate of another: matrices `[irreps, g, d, d]`, and their weight."""

    matrices: np.ndarray
    times: int


@final
@dataclasses.dataclass(frozen=True)
class IrrepFourier(GroupConvolution):
    r"""By Fourier transform over the whole group, in the matrices of its irreps.

    $\hat y(\rho) = \sum_g y_g\,\rho(g)$, $\hat z(\rho) = \hat y(\rho) \sum_k V_k\,\rho(k^{-1})$; of each pair of
    conjugate irreps one is done.

    Args:
        group: the group.

    Source: Roth and MacDonald, arXiv:2104.05085.
    """

    group: FiniteGroup

    def __hash__(self) -> int:
        return hash(self.group.order)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IrrepFourier) and _same(self.group, other.group)

    @property
    def elements(self) -> Int[np.ndarray, " order"]:
        return np.arange(self.group.order)

    @cached_property
    def _families(self) -> tuple[_Family, ...]:
        irreps = character_table(self.group).irreps
        rows = _characters(self.group)
        complex_ = np.abs(rows.imag).max(axis=1) > 1e-9
        paired = np.flatnonzero(complex_)
        kept = [*np.flatnonzero(~complex_), *paired[_one_of_each_pair(rows[paired])]]
        found: dict[tuple, list] = {}
        for k in kept:
            matrices: Any = irrep_matrices(self.group, irreps[k])
            matrices = matrices if np.abs(matrices.imag).max() > 1e-12 else matrices.real
            key = (matrices.shape[1], np.iscomplexobj(matrices), bool(complex_[k]))
            found.setdefault(key, []).append(matrices)
        return tuple(_Family(np.stack(m), 2 if key[2] else 1) for key, m in found.items())

    def operations(self, features: int) -> int:
        order, total = self.group.order, 0
        for matrices, _ in self._families:
            count, _, d, _ = matrices.shape
            unit = 4 if np.iscomplexobj(matrices) else 1
            total += unit * (features**2 * count * d**3) + 2 * min(unit, 2) * features * order * count * d * d
        return total

    def __call__(self, kernel: Array, y: Array) -> Array:
        order, total = self.group.order, jnp.zeros((y.shape[0], kernel.shape[0], self.group.order), y.dtype)
        inverse = np.asarray(self.group.inverse)
        for matrices, times in self._families:
            dtype = jnp.result_type(y.dtype, jnp.complex64) if np.iscomplexobj(matrices) else y.dtype
            basis = jnp.asarray(matrices, dtype)
            hat = jnp.einsum("bcg,rgij->rbcij", y.astype(dtype), basis)
            weights = jnp.einsum("ocg,rgjk->rocjk", kernel.astype(dtype), basis[:, inverse])
            product = jnp.einsum("rbcij,rocjk->rboik", hat, weights)
            share = times * matrices.shape[2] / order
            total = total + share * jnp.einsum("rboik,rgik->bog", product, basis.conj()).real
        return total


def group_convolution(sector: Any, features: int, mode: str = "auto") -> GroupConvolution:
    """The way to convolve over the group of a sector.

    Args:
        sector: a `symmetries.Sector`.
        features: features per element, for the count of operations.
        mode: `"fft"`: over the largest abelian normal subgroup that is known, such as the translations; `"irreps"`:
            over the whole group; `"dense"`: a matrix product; `"auto"`: the one with the fewest operations.

    Raises:
        ConfigError: there is no such mode.
        ShapeError: `"fft"` of a group without an abelian normal subgroup.
    """
    if mode not in MODES:
        unknown_name("way to convolve over a group", mode, MODES)
    group = sector.group
    abelian = AbelianFourier(group, _abelian_subgroup(sector))
    if mode == "fft" and len(abelian.subgroup) == 1 and group.order > 1:
        raise ShapeError(
            "No abelian normal subgroup of this group is known.",
            got=f"a group of order {group.order}",
            expected="translations, or an abelian normal subgroup",
            try_="mode='irreps'",
        )
    dense = AbelianFourier(group, (group.identity,))
    ways: dict[str, GroupConvolution] = {"dense": dense, "fft": abelian}
    if mode == "irreps" or (mode == "auto" and len(abelian.subgroup) ** 2 < group.order <= _LISTED):
        ways["irreps"] = IrrepFourier(group)
    return ways[mode] if mode in ways else min(ways.values(), key=lambda way: way.operations(features))


def _abelian_subgroup(sector: Any) -> tuple[int, ...]:
    """Translations and internal symmetries of a sector of a space group; the largest one found, of another group."""
    group = sector.group
    if isinstance(sector.space_group, SpaceGroup):
        parts = sector.space_group.point_parts
        moved = parts[sector.elements] == parts[sector.space_group.group.identity]
        return tuple(np.flatnonzero(np.repeat(moved, len(sector.powers))).tolist())
    if group.is_abelian:
        return tuple(range(group.order))
    found = [tuple(int(g) for g in group.centre)]
    if group.order <= _LISTED:
        found += [n for n in group.normal_subgroups if group.subgroup(np.array(n)).is_abelian]
    return max(found, key=len)


def _characters(group: FiniteGroup) -> Any:
    """Characters of all irreps, `complex[irreps, g]`."""
    return np.array([irrep.characters for irrep in character_table(group).irreps], complex)


def _one_of_each_pair(rows: np.ndarray) -> np.ndarray:
    """Numbers of rows, one of each row and its conjugate."""
    kept: list[int] = []
    for k, row in enumerate(rows):
        if not any(np.allclose(row, rows[j].conj(), atol=1e-9) for j in kept):
            kept.append(k)
    return np.array(kept, np.int64)


def _same(one: FiniteGroup, two: FiniteGroup) -> bool:
    return one is two or np.array_equal(one.product_table, two.product_table)
