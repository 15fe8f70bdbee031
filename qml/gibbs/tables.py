"""Tables of shots: what their columns must be, readout errors of single sites, and shots of other programs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError
from qml._core.types import Array, Float, Int


def confusion(readout: Any, n_sites: int) -> Float[np.ndarray, "sites 2 2"]:
    r"""$A^s_{xt}$, the probability that site s is read as x where t is right.

    Args:
        readout: probability of a flip, one for all sites or one for each `[sites]`; or $p(1|0), p(0|1)$ of each site
            `[sites, 2]`; or whole matrices `[sites, 2, 2]`, whose columns sum to one.
        n_sites: number of sites.

    Raises:
        DataError: these are no probabilities, the shape is another, or a site is read the same whatever is right.

    Example:
        >>> from qml.gibbs.tables import confusion
        >>> print(confusion(0.1, 1)[0])
        [[0.9 0.1]
         [0.1 0.9]]
    """
    try:
        given = np.asarray(readout, dtype=float)
    except (TypeError, ValueError):
        given = np.array(np.nan)
    if given.shape in ((), (n_sites,)):
        given = np.stack([np.broadcast_to(given, (n_sites,))] * 2, axis=-1)
    if given.shape == (n_sites, 2):
        up, down = given[:, 0], given[:, 1]
        given = np.stack([np.stack([1 - up, down], -1), np.stack([up, 1 - down], -1)], -2)
    good = given.shape == (n_sites, 2, 2) and bool(np.all((given >= 0) & (given <= 1)))
    if not good or np.abs(given.sum(axis=1) - 1).max() > 1e-9 or np.abs(np.linalg.det(given)).min() < 1e-6:
        raise DataError(
            "These are no readout errors.",
            got=f"shape {given.shape}: {given.ravel()[:4].tolist()}",
            expected=f"probabilities: a number, [{n_sites}], [{n_sites}, 2] or [{n_sites}, 2, 2] columns of sum 1, "
            "and readings that tell 0 from 1",
            try_="readout=0.02, or p(1|0) and p(0|1) of each site",
        )
    return given


def qiskit_bits(counts: Mapping, n_sites: int) -> tuple[list[list[int]], list[Any]]:
    """Bits in site order of a table of Qiskit: qubit 0 is the last letter of its bit strings.

    Args:
        counts: keys are bit strings (spaces between registers are left out), hexadecimal numbers or ints.
        n_sites: number of measured qubits, all of them.

    Raises:
        DataError: a key is none of these, or has another number of bits.
    """
    rows = []
    for key in counts:
        word = key.replace(" ", "") if isinstance(key, str) else key
        if isinstance(word, str) and re.fullmatch("0x[0-9a-fA-F]+", word):
            word = int(word, 16)
        if isinstance(word, int | np.integer) and not isinstance(word, bool) and 0 <= word < 2**n_sites:
            word = format(int(word), f"0{n_sites}b")
        if not (isinstance(word, str) and re.fullmatch(f"[01]{{{n_sites}}}", word)):
            raise DataError(
                "This is no outcome of these qubits.",
                got=repr(key),
                expected=f"{n_sites} bits 0 or 1, or a hexadecimal number",
                try_="counts of all measured qubits, one bit for each letter of the basis",
            )
        rows.append([int(bit) for bit in reversed(word)])
    return rows, list(counts.values())


def result_bits(shots: Sequence, n_sites: int) -> list[list[int]]:
    """Bits of the results that a Q# program returned shot by shot: Zero and One, False and True or 0 and 1.

    Args:
        shots: for each shot an array or tuple of results in site order (arrays in arrays are taken apart).
        n_sites: number of results of a shot.

    Raises:
        DataError: a shot is something else, such as a loss of a qubit.
    """
    words = {"Zero": 0, "One": 1, "0": 0, "1": 1, "False": 0, "True": 1}

    def flat(value: Any) -> list[Any]:
        return [x for part in value for x in flat(part)] if isinstance(value, list | tuple) else [value]

    rows = [[words.get(str(value).rsplit(".", 1)[-1], -1) for value in flat(shot)] for shot in shots]
    bad = [k for k, row in enumerate(rows) if len(row) != n_sites or -1 in row]
    if bad:
        raise DataError(
            "A shot does not have one result for each site.",
            got=f"shot {bad[0]}: {shots[bad[0]]!r}"[:120],
            expected=f"{n_sites} results Zero or One",
            try_="a program that returns the results of all sites, in site order",
        )
    return rows


def check_table(table: Any, kinds: Any) -> None:
    """Raise where a table does not map bases to shots, or maps one to none.

    Raises:
        DataError: see above.
    """
    named = isinstance(table, Mapping)
    if not named or not all(isinstance(rows, kinds) for rows in table.values()):
        raise DataError(
            "A table of shots maps bases to counts of bit strings, or to lists of results.",
            got=type(table).__name__,
            expected='{"ZZ": {"00": 7, "11": 5}}',
            try_="ShotData(bases, outcomes, counts, setting) for arrays",
        )
    empty = [str(basis) for basis, rows in table.items() if not rows]
    if empty:
        raise DataError(
            "A basis has no shots.",
            got=f"nothing for {', '.join(empty)}",
            expected="at least one outcome for each basis of the table",
            try_="leave out a basis that was not measured",
        )


def whole_bits(outcomes: Any, n_sites: int) -> np.ndarray:
    """Outcomes as bits `[rows, sites]`.

    Raises:
        DataError: anything else.
    """
    try:
        bits = np.asarray(outcomes)
    except ValueError:
        bits = np.array("ragged")
    good = bits.ndim == 2 and bits.shape[1] == n_sites and bits.dtype.kind in "biuf" and np.isin(bits, (0, 1)).all()
    if not good:
        raise DataError(
            "Outcomes are bits, one for each site.",
            got=f"shape {bits.shape}, dtype {bits.dtype}"
            + (f", values {np.unique(bits)[:5].tolist()}" if bits.dtype.kind in "biuf" else ""),
            expected=f"0 or 1 [rows, {n_sites}]",
            try_="(1 - x) // 2 turns eigenvalues +1 and -1 into bits",
        )
    return bits.astype(np.int8)


def whole_numbers(values: Any, what: str, rows: int) -> Int[np.ndarray, " rows"]:
    """Whole numbers that are not negative, one for each row.

    Raises:
        DataError: anything else.
    """
    try:
        array = np.asarray(values)
        good = array.shape == (rows,) and array.dtype.kind in "biuf" and np.isfinite(array).all()
        good = good and (array >= 0).all() and (array == np.floor(array)).all() and (array < 2**53).all()
    except (TypeError, ValueError):
        array, good = np.array("ragged"), False
    if not good:
        raise DataError(
            f"Each row has one {what}, a whole number that is not negative.",
            got=f"shape {array.shape}: {array.ravel()[:5].tolist()}",
            expected=f"{rows} integers >= 0",
            try_=f"one finite {what} for each row of outcomes",
        )
    return array.astype(np.int64)


def canonical(codes: np.ndarray, bits: np.ndarray, counts: np.ndarray, setting: np.ndarray) -> tuple[Array, ...]:
    """Equal bases and equal rows merged, sorted; rows and settings without shots left out."""
    keep = counts > 0
    used, setting = np.unique(codes[setting[keep]], axis=0, return_inverse=True)
    rows, where = np.unique(np.column_stack([setting.reshape(-1), bits[keep]]), axis=0, return_inverse=True)
    total = np.zeros(len(rows), np.int64)
    np.add.at(total, where.reshape(-1), counts[keep])
    out = (used.astype(np.int8), rows[:, 1:].astype(np.int8), rows[:, 0].astype(np.int32), total)
    return tuple(jnp.asarray(a) for a in out)
