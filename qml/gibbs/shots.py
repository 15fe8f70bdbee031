"""Measured shots in local Pauli bases: the data that Hamiltonians are learned from."""

import io
import itertools
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import DataError
from qml._core.types import Array, Float, Int
from qml.gibbs.tables import canonical, check_table, confusion, qiskit_bits, result_bits, whole_bits, whole_numbers
from qml.operator.strings import PauliStrings, mask_rows

_LETTERS = "XYZ"
_VERSION = 1


@final
class ShotData(eqx.Module):
    r"""Outcomes of local Pauli measurements, each distinct outcome of each basis counted once.

    A basis has one letter X, Y or Z for each site; outcome bit 0 means eigenvalue +1 and bit 1 means -1.

    Args:
        bases: letters `[settings, sites]`, as strings `["XZ", "ZZ"]` or as an array of letters.
        outcomes: bits 0 or 1 `[rows, sites]`.
        counts: how often each row was seen `[rows]`, integers >= 0; `None` is once each.
        setting: which basis each row was measured in `[rows]`; `None` if `bases` has one entry for each row.
        readout: errors of the readout of each site (see `readout.confusion`), which learning then takes into account:
            a probability of a flip, one for each site, $p(1|0)$ and $p(0|1)$ of each, or matrices; `None` is without.

    Raises:
        DataError: wrong letters, shapes or bits, counts that are negative, not whole or not finite, or no shots at all.

    Example:
        >>> from qml.gibbs import ShotData
        >>> ShotData(["XZ", "ZZ"], [[0, 1], [0, 0], [1, 1]], counts=[10, 4, 6], setting=[0, 1, 1])
        ShotData(2 sites, 2 settings, 20 shots)
    """

    bases: Int[Array, "settings sites"]
    outcomes: Int[Array, "rows sites"]
    setting: Int[Array, " rows"]
    counts: Int[Array, " rows"]
    readout: Float[Array, "sites 2 2"] | None

    def __init__(self, bases: Any, outcomes: Any, counts: Any = None, setting: Any = None, readout: Any = None):
        codes = basis_codes(bases)
        bits = whole_bits(outcomes, codes.shape[1])
        counts = np.ones(len(bits), np.int64) if counts is None else whole_numbers(counts, "count", len(bits))
        if setting is None:
            if len(codes) != len(bits):
                raise DataError(
                    "It is unknown which basis each row was measured in.",
                    got=f"{len(codes)} bases and {len(bits)} rows of outcomes",
                    expected="one basis for each row, or setting=",
                    try_="setting=[0, 0, 1, ...], the basis of each row",
                )
            setting = np.arange(len(bits))
        setting = whole_numbers(setting, "setting", len(bits))
        if len(setting) and setting.max() >= len(codes):
            raise DataError(
                "A row was measured in a basis that does not exist.",
                got=f"setting {setting.max()}",
                expected=f"0 to {len(codes) - 1}",
                try_="count settings from 0, in the order of bases",
            )
        if counts.sum() == 0:
            raise DataError("There are no shots.", got="0 shots", expected="at least 1", try_="data with counts > 0")
        self.readout = None if readout is None else jnp.asarray(confusion(readout, codes.shape[1]))
        self.bases, self.outcomes, self.setting, self.counts = canonical(codes, bits, counts, setting)

    @classmethod
    def from_counts(cls, counts: Mapping, readout: Any = None) -> "ShotData":
        """Shots from a table: for each basis, how often each bit string came out.

        Args:
            counts: `{"XZ": {"00": 12, "01": 3}, "ZZ": {...}}`, letters and bits in site order.
            readout: see `ShotData`.

        Raises:
            DataError: the table or one of its bases is empty, or it is malformed.

        Example:
            >>> from qml.gibbs import ShotData
            >>> ShotData.from_counts({"ZZ": {"00": 7, "11": 5}})
            ShotData(2 sites, 1 settings, 12 shots)
        """
        check_table(counts, Mapping)
        rows = [(k, bits, n) for k, table in enumerate(counts.values()) for bits, n in table.items()]
        return cls(
            list(counts),
            [[int(b) if b in "01" else -1 for b in bits] for _, bits, _ in rows],
            [n for _, _, n in rows],
            [k for k, _, _ in rows],
            readout,
        )

    @classmethod
    def from_qiskit(cls, counts: Mapping, readout: Any = None) -> "ShotData":
        """Shots from counts of Qiskit, whose bit strings have qubit 0 last.

        Args:
            counts: `{basis: counts}`, letters of the bases in site order (qubit 0 first), as `from_counts`; keys of the
                counts are Qiskit's bit strings, or hexadecimal numbers.
            readout: see `ShotData`.

        Raises:
            DataError: the table or one of its bases is empty, or it is malformed.

        Example:
            >>> from qml.gibbs import ShotData
            >>> shots = ShotData.from_qiskit({"XZ": {"01": 12, "0x2": 3}})
            >>> shots.outcomes.tolist(), shots.counts.tolist()
            ([[0, 1], [1, 0]], [3, 12])
        """
        check_table(counts, Mapping)
        parts = [qiskit_bits(table, len(basis)) for basis, table in counts.items()]
        setting = [k for k, (bits, _) in enumerate(parts) for _ in bits]
        return cls(
            list(counts), [b for bits, _ in parts for b in bits], [n for _, ns in parts for n in ns], setting, readout
        )

    @classmethod
    def from_qsharp(cls, results: Mapping, readout: Any = None) -> "ShotData":
        """Shots from what Q# programs returned: `{basis: qsharp.run(..., shots)}`, one array of results for each shot.

        Args:
            results: for each basis (letters in site order) a list of shots.
            readout: see `ShotData`.

        Raises:
            DataError: the table or a basis is empty, or a shot has not one result Zero or One for each site.

        Example:
            >>> from qml.gibbs import ShotData
            >>> ShotData.from_qsharp({"ZZ": [["Zero", "One"], ("One", "One")]})
            ShotData(2 sites, 1 settings, 2 shots)
        """
        check_table(results, (list, tuple))
        parts = [result_bits(shots, len(basis)) for basis, shots in results.items()]
        setting = [k for k, rows in enumerate(parts) for _ in rows]
        return cls(list(results), [row for rows in parts for row in rows], None, setting, readout)

    @classmethod
    def from_shadow(cls, bits: Any, recipes: Any, readout: Any = None) -> "ShotData":
        """Classical shadows of random Pauli bases, as PennyLane's `classical_shadow` returns them.

        Args:
            bits: outcomes 0 or 1 `[shots, sites]`.
            recipes: the basis of each site and shot, X = 0, Y = 1, Z = 2 `[shots, sites]`.
            readout: see `ShotData`.

        Raises:
            DataError: other numbers, or shapes that differ.

        Example:
            >>> from qml.gibbs import ShotData
            >>> ShotData.from_shadow([[0, 1], [1, 1]], [[0, 2], [2, 2]]).letters
            ('XZ', 'ZZ')
        """
        codes = np.asarray(recipes)
        if codes.ndim != 2 or codes.dtype.kind not in "iu" or not np.isin(codes, (0, 1, 2)).all():
            raise DataError(
                "A recipe has one basis for each shot and site.",
                got=f"shape {codes.shape}, dtype {codes.dtype}",
                expected="0, 1, 2 for X, Y, Z [shots, sites]",
                try_="bits, recipes = the two arrays of a classical shadow",
            )
        return cls(np.array(list(_LETTERS))[codes], bits, readout=readout)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ShotData":
        """Read shots from an `.npz` file with the columns `bases`, `outcomes`, `counts` (and `setting`, `readout`).

        Raises:
            DataError: the file is missing, truncated, not an `.npz` file, or its columns are malformed.
        """
        try:
            with np.load(io.BytesIO(pathlib.Path(path).read_bytes()), allow_pickle=False) as file:
                columns = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                "This file of shots cannot be read.",
                got=f"{os.fspath(path)}: {error}",
                expected="a whole .npz file without Python objects",
                try_="ShotData.save(path) writes one; a truncated copy must be fetched again",
            ) from None
        missing = [name for name in ("bases", "outcomes", "counts") if name not in columns]
        version = columns.get("version", np.array(_VERSION))
        if missing or version.shape != () or version != _VERSION:
            raise DataError(
                "This file does not hold shots in the known format.",
                got=f"columns {sorted(columns)}, version {version}",
                expected=f"columns bases, outcomes, counts and setting, version {_VERSION}",
                try_="ShotData(bases, outcomes, counts, setting).save(path)",
            )
        names = ("bases", "outcomes", "counts", "setting", "readout")
        return cls(*(columns.get(name) for name in names))

    def save(self, path: str | os.PathLike) -> None:
        """Write an `.npz` file (no Python objects), whole or not at all."""
        buffer = io.BytesIO()
        bases = np.array(list(_LETTERS))[np.asarray(self.bases)]
        columns = {name: np.asarray(getattr(self, name)) for name in ("outcomes", "setting", "counts")}
        if self.readout is not None:
            columns["readout"] = np.asarray(self.readout)
        np.savez_compressed(buffer, allow_pickle=False, version=np.array(_VERSION), bases=bases, **columns)
        target = pathlib.Path(path)
        part = target.with_name(target.name + ".part")
        part.write_bytes(buffer.getvalue())
        os.replace(part, target)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.bases.shape[1]

    @property
    def letters(self) -> tuple[str, ...]:
        """The basis of each setting as a string."""
        return tuple("".join(_LETTERS[c] for c in row) for row in np.asarray(self.bases).tolist())

    @property
    def shots(self) -> int:
        """Number of shots in all."""
        return int(np.sum(np.asarray(self.counts)))

    @classmethod
    def merged(cls, batches: Sequence["ShotData"]) -> "ShotData":
        """All shots of several batches together.

        Raises:
            DataError: there are no batches, or they have different numbers of sites or readout errors.

        Example:
            >>> from qml.gibbs import ShotData
            >>> first = ShotData.from_counts({"ZZ": {"00": 7, "11": 5}})
            >>> ShotData.merged([first, ShotData.from_counts({"XZ": {"00": 3}})])
            ShotData(2 sites, 2 settings, 15 shots)
        """
        if not batches or len({batch.n_sites for batch in batches}) != 1:
            raise DataError(
                "Batches of shots are merged site by site.",
                got=f"{len(batches)} batches of {sorted({batch.n_sites for batch in batches})} sites",
                expected="at least one, all of the same number of sites",
                try_="ShotData.merged([first, second])",
            )
        errors = [np.nan if batch.readout is None else np.asarray(batch.readout) for batch in batches]
        if not all(np.array_equal(errors[0], one, equal_nan=True) for one in errors):
            raise DataError(
                "Batches with different readout errors are not one data set.",
                got=f"{len(batches)} batches",
                expected="the same readout for all",
                try_="learning from the batches of each readout alone",
            )
        first = np.cumsum([0, *(len(batch.bases) for batch in batches)])[:-1]
        bases = [word for batch in batches for word in batch.letters]
        columns = [[np.asarray(getattr(b, name)) for b in batches] for name in ("outcomes", "counts", "setting")]
        setting = np.concatenate([part + start for part, start in zip(columns[2], first)])
        return cls(bases, np.concatenate(columns[0]), np.concatenate(columns[1]), setting, batches[0].readout)

    def total(self) -> Float[Array, ""]:
        """Number of shots in all, also under tracing."""
        return jnp.sum(self.counts.astype(float))

    def table(self) -> Float[Array, "settings size"]:
        """Counts of every outcome of every setting; outcome index with site 0 as its highest bit."""
        place = 2 ** jnp.arange(self.n_sites - 1, -1, -1)
        index = jnp.sum(self.outcomes * place[None, :], axis=1)
        shape = (self.bases.shape[0], 2**self.n_sites)
        return jnp.zeros(shape).at[self.setting, index].add(self.counts.astype(float))

    def moments(self, strings: PauliStrings) -> tuple[Float[Array, " terms"], Float[Array, "terms terms"]]:
        r"""Average of each Pauli string over the shots that measure it, and the covariance of these averages.

        Readout errors are taken out: outcome x of a site counts $(A^{-T} z)_x$ with $z = (1, -1)$, not $z_x$.

        $\mathrm{Cov}_{ij} = \sum_{rows} c\,(s_i - \eta_i)(s_j - \eta_j) / (N_i N_j)$ over shots that measure both.

        Args:
            strings: the strings, on as many sites.

        Returns:
            Averages $\eta$ `[terms]` and their covariance `[terms, terms]`.

        Raises:
            DataError: no setting measures some string.
        """
        self.check_measured(strings)
        fits, support = self._fits(strings)
        counts = np.asarray(self.counts, float)[:, None]  # products of whole numbers overflow
        total = np.sum(fits * counts, axis=0)
        values = 1.0 - 2 * (np.asarray(self.outcomes).astype(np.int64) @ support.T % 2)
        if self.readout is not None:
            worth = np.linalg.solve(np.swapaxes(np.asarray(self.readout), 1, 2), np.array([1.0, -1.0])[None, :, None])
            each = worth[np.arange(self.n_sites)[None, :], np.asarray(self.outcomes).astype(int), 0]
            values = np.prod(np.where(support[None] > 0, each[:, None, :], 1.0), axis=2)
        mean = np.sum(fits * counts * values, axis=0) / total
        centred = fits * (values - mean)
        covariance = (centred * counts).T @ centred / np.outer(total, total)
        return jnp.asarray(mean), jnp.asarray(covariance)

    def check_sites(self, hilbert: Any) -> None:
        """Raise if the shots were taken on another number of sites than a space has.

        Raises:
            DataError: the numbers differ.
        """
        if self.n_sites != hilbert.n_sites:
            raise DataError(
                "The shots and the model have different numbers of sites.",
                got=f"{self.n_sites} sites",
                expected=f"{hilbert.n_sites} sites",
                try_="a model on as many spins as were measured",
            )

    def check_measured(self, strings: PauliStrings) -> None:
        """Raise if no setting measures some string.

        Raises:
            DataError: there is one; it is named.
        """
        unseen = np.flatnonzero(self.times_measured(strings) == 0)
        if unseen.size:
            raise DataError(
                "The shots say nothing about some Pauli strings.",
                got=f"no setting measures {', '.join(strings.short(int(k)) for k in unseen[:6])}",
                expected="every string of the model in at least one basis",
                try_="more bases (brick_bases), fewer terms, or method='likelihood'",
            )

    def times_measured(self, strings: PauliStrings) -> Float[np.ndarray, " terms"]:
        """How many shots measure each string."""
        return np.sum(self._fits(strings)[0] * np.asarray(self.counts)[:, None], axis=0).astype(float)

    def _fits(self, strings: PauliStrings) -> tuple[np.ndarray, np.ndarray]:
        """Which rows measure which strings `[rows, terms]`, and the sites of each string `[terms, sites]`."""
        n = strings.n_sites
        flips, signs = mask_rows(strings.flips, n), mask_rows(strings.signs, n)
        letter = np.where(flips & signs, 1, np.where(flips, 0, 2))
        support = (flips | signs).astype(np.int64)
        misses = (np.asarray(self.bases)[:, None] != letter[None]) & (support[None] > 0)
        return ~np.any(misses, axis=2)[np.asarray(self.setting)], support

    def __repr__(self) -> str:
        if isinstance(self.counts, Tracer) or not isinstance(self.counts, (jax.Array, np.ndarray)):
            return "ShotData(traced)"
        return f"ShotData({self.n_sites} sites, {self.bases.shape[0]} settings, {self.shots} shots)"


def brick_bases(n_sites: int) -> tuple[str, ...]:
    """The nine bases that repeat two letters along the sites; they measure all strings on sites of unlike parity.

    Args:
        n_sites: number of sites.

    Example:
        >>> from qml.gibbs import brick_bases
        >>> brick_bases(3)[:4]
        ('XXX', 'XYX', 'XZX', 'YXY')
    """
    return tuple("".join(pair[i % 2] for i in range(n_sites)) for pair in itertools.product(_LETTERS, repeat=2))


def basis_codes(bases: Any) -> Int[np.ndarray, "settings sites"]:
    """Letters as numbers, X = 0, Y = 1, Z = 2.

    Raises:
        DataError: unknown letters, or rows of unlike length.
    """
    try:
        letters = np.array([[str(a) for a in row] for row in ([bases] if isinstance(bases, str) else bases)])
    except (TypeError, ValueError):
        letters = np.zeros(0)
    if letters.ndim != 2 or letters.size == 0 or not np.isin(letters, list(_LETTERS)).all():
        raise DataError(
            "A basis has one letter for each site.",
            got=repr(bases)[:80],
            expected="letters X, Y, Z [settings, sites]",
            try_='["XZZ", "ZZZ"]',
        )
    return np.searchsorted(list(_LETTERS), letters).astype(np.int8)
