"""Orbits of configurations under a group: packed states, their first image, and what keeps them.

A configuration is one integer, the digits of its modes side by side. An image under an element is a few lookups in
tables of pieces. The first image of a state starts with the smallest image of its leading part; when the group permutes
few sets of modes among each other, that part is looked up too, and only the elements that reach it are tried.
"""

from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

_PIECE = 8  # bits of one lookup
_LEADING = 18  # largest leading part, in bits
_PAIRS = 2**29  # elements times leading parts that are worked out
_ROWS = 2**16  # states looked at at once
_FEW = 8  # elements before the states that fail are taken out


class Orbits:
    """The orbits of configurations under the elements of an `Action`.

    `codes(digits)` packs, `digits(codes)` unpacks; `first(codes)` gives the smallest image of each state and an element
    that leads there; `keeping(codes)` lists the elements that keep first images. The order of the codes is the order of
    this object, not that of the basis.
    """

    def __init__(self, action: Any):
        self.action, self.n = action, action.n_modes
        self.width = max(1, int(action.highest).bit_length())
        self.total = self.width * self.n
        self.dtype = np.dtype(np.uint32 if self.total <= 32 else np.uint64)
        leading = _leading_modes(action.permutations, self.width)
        order = [*leading, *(m for m in range(self.n) if m not in set(leading))]
        self.place = np.empty(self.n, np.int64)  # shift of each mode
        self.place[order] = self.width * np.arange(self.n)[::-1]
        self.low = self.total - self.width * len(leading)
        self._tables()
        self.classes = self._classes() if leading else []

    # packing

    def codes(self, digits: np.ndarray) -> np.ndarray:
        """Packed states of digits `[..., modes]`."""
        code = np.zeros(digits.shape[:-1], self.dtype)
        for m in range(self.n):
            code |= digits[..., m].astype(self.dtype) << self.dtype.type(self.place[m])
        return code

    def digits(self, codes: np.ndarray) -> np.ndarray:
        """Digits `int8[..., modes]` of packed states."""
        mask = self.dtype.type(2**self.width - 1)
        return np.stack([(codes >> self.dtype.type(p) & mask).astype(np.int8) for p in self.place], axis=-1)

    def _tables(self) -> None:
        per = max(1, _PIECE // self.width) * self.width
        starts = np.arange(0, self.total, per)
        base, top = self.action.highest + 1, self.action.highest
        self.shifts = starts
        self.table = np.zeros((len(starts), self.action.order, 2**per), self.dtype)
        content = np.arange(2**per)
        for i, start in enumerate(starts):
            for m in np.flatnonzero((self.place >= start) & (self.place < start + per)):
                digit = content >> (self.place[m] - start) & 2**self.width - 1
                digit = np.minimum(digit, base - 1)
                moved = self.place[self.action.permutations[:, m]]
                value = np.where(self.action.reversed[:, None], top - digit[None, :], digit[None, :])
                self.table[i] |= value.astype(self.dtype) << moved.astype(self.dtype)[:, None]
        self.piece = self.dtype.type(2**per - 1)

    def image(self, element: Any, codes: np.ndarray) -> np.ndarray:
        """Images of states under one element, or each under its own."""
        out = np.zeros(np.shape(codes), self.dtype)
        for shift, table in zip(self.shifts, self.table):
            content = codes >> self.dtype.type(shift) & self.piece
            out |= table[element, content] if np.ndim(element) else table[element][content]
        return out

    # first images

    def _classes(self) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """For each set of modes that elements bring to the front: one such element, and by the content of the set the
        smallest leading part, where the list of elements that reach it begins, and that list."""
        front = self.place >= self.low
        source = np.argsort(self.action.permutations, axis=1)
        keys = np.zeros((self.action.order, self.n), bool)
        keys[np.arange(self.action.order)[:, None], source[:, front]] = True
        _, member = np.unique(keys, axis=0, return_inverse=True)
        found = []
        for j in range(member.max() + 1):
            elements = np.flatnonzero(member.ravel() == j)
            chosen = elements[0]
            states = self._content(int(chosen))
            smallest = np.full(len(states), self.dtype.type(2**self.total - 1 >> self.low))
            for g in elements:
                np.minimum(smallest, self.image(int(g), states) >> self.dtype.type(self.low), out=smallest)
            content, reach = [], []
            for g in elements:
                hit = np.flatnonzero(self.image(int(g), states) >> self.dtype.type(self.low) == smallest)
                content.append(hit)
                reach.append(np.full(len(hit), g))
            content, reach = np.concatenate(content), np.concatenate(reach)
            order = np.argsort(content, kind="stable")
            starts = np.searchsorted(content[order], np.arange(len(states) + 1))
            found.append((int(chosen), smallest, starts, reach[order]))
        return found

    def _content(self, element: int) -> np.ndarray:
        """The state, zero elsewhere, that the element takes to each leading part."""
        part = np.arange(2 ** (self.total - self.low), dtype=self.dtype) << self.dtype.type(self.low)
        state, mask = np.zeros_like(part), self.dtype.type(2**self.width - 1)
        for m in range(self.n):
            goal = self.place[self.action.permutations[element, m]]
            if goal >= self.low:
                digit = np.minimum(part >> self.dtype.type(goal) & mask, self.dtype.type(self.action.highest))
                digit = self.dtype.type(self.action.highest) - digit if self.action.reversed[element] else digit
                state |= digit << self.dtype.type(self.place[m])
        return state

    def _reaching(self, codes: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """The smallest leading part of each state; for each class the states, where their elements begin, elements."""
        contents = [self.image(c[0], codes) >> self.dtype.type(self.low) for c in self.classes]
        smallest = np.stack([c[1][content] for c, content in zip(self.classes, contents)])
        best, parts = smallest.min(axis=0), []
        for (_, _, starts, reach), content, here in zip(self.classes, contents, smallest):
            rows = np.flatnonzero(here == best)
            if not len(rows):
                continue
            begin = starts[content[rows]]
            counts = starts[content[rows] + 1] - begin
            first = np.cumsum(counts) - counts
            elements = reach[np.arange(counts.sum()) - np.repeat(first - begin, counts)]
            parts.append((rows, first, elements))
        return best, parts

    def first(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smallest image of each state, and an element that leads there."""
        pieces = [self._first(codes[i : i + _ROWS]) for i in range(0, len(codes), _ROWS)]
        if not pieces:
            return codes, np.zeros(0, np.int64)
        return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])

    def _first(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.classes:
            best, element = codes.copy(), np.full(len(codes), -1)
            for g in range(self.action.order):
                new = self.image(g, codes)
                better = new < best if g else np.ones(len(codes), bool)
                best, element = np.where(better, new, best), np.where(better, g, element)
            return best, element
        leading, parts = self._reaching(codes)
        bits = max(1, (self.action.order - 1).bit_length())
        below = np.uint64(2**self.low - 1)
        key = np.full(len(codes), np.iinfo(np.uint64).max, np.uint64)
        for rows, starts, elements in parts:
            counts = np.diff(starts, append=len(elements))
            images = self.image(elements, np.repeat(codes[rows], counts)).astype(np.uint64) & below
            found = np.minimum.reduceat(images << np.uint64(bits) | elements.astype(np.uint64), starts)
            key[rows] = np.minimum(key[rows], found)
        images = (key >> np.uint64(bits)).astype(self.dtype) | leading << self.dtype.type(self.low)
        return images, (key & np.uint64(2**bits - 1)).astype(np.int64)

    def are_first(self, codes: np.ndarray) -> np.ndarray:
        """True for states that are their own smallest image; most others fail on the first few elements."""
        alive = np.arange(len(codes))
        if self.classes:
            leading = codes >> self.dtype.type(self.low)
            for chosen, smallest, *_ in self.classes:
                here = smallest[self.image(chosen, codes[alive]) >> self.dtype.type(self.low)]
                alive = alive[here >= leading[alive]]
            alive = alive[self.first(codes[alive])[0] == codes[alive]]
        else:
            states = codes
            for g in range(self.action.order):
                keep = self.image(g, states) >= states
                if not keep.all() and (g < _FEW or g % _FEW == 0):
                    alive, states = alive[keep], states[keep]
            alive = alive[self.first(states)[0] == states]
        good = np.zeros(len(codes), bool)
        good[alive] = True
        return good

    def keeping(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a row and an element that keeps it, for states that are their own first image."""
        rows, elements = [], []
        for start in range(0, len(codes), _ROWS):
            part = codes[start : start + _ROWS]
            if self.classes:
                for states, starts, tried in self._reaching(part)[1]:
                    owner = np.repeat(states, np.diff(starts, append=len(tried)))
                    same = self.image(tried, part[owner]) == part[owner]
                    rows.append(owner[same] + start)
                    elements.append(tried[same])
            else:
                for g in range(self.action.order):
                    same = np.flatnonzero(self.image(g, part) == part)
                    rows.append(same + start)
                    elements.append(np.full(len(same), g))
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.concatenate(rows), np.concatenate(elements)

    def factors(self, elements: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The factor of each state under its own element."""
        out = np.ones(len(codes), complex)
        if self.action.is_trivial or not len(codes):
            return out
        order = np.argsort(elements, kind="stable")
        present, starts = np.unique(elements[order], return_index=True)
        for g, rows in zip(present, np.split(order, starts[1:])):
            out[rows] = self.action.factors(int(g), self.digits(codes[rows]).astype(np.int64))
        return out


def _leading_modes(permutations: np.ndarray, width: int) -> list[int]:
    """The largest block, of up to 18 bits, that the group moves as a whole; empty where there is none worth it."""
    n = permutations.shape[1]
    best: list[int] = []
    seen: set[frozenset[int]] = set()
    firsts = permutations.min(axis=0)  # blocks of other modes are images of those of the first of their orbit
    for start in range(n):
        for other in range(n) if firsts[start] == start else ():
            block = _block(permutations, start, other) if other != start else frozenset([start])
            if block in seen or not 2 <= len(block) < n:
                continue
            seen.add(block)
            bits = width * len(block)
            if bits > _LEADING or len(permutations) * 2**bits > _PAIRS or len(block) <= len(best):
                continue
            if len(np.unique(np.sort(permutations[:, sorted(block)], axis=1), axis=0)) <= 8:
                best = sorted(block)
        if start and best:
            break
    return best if width * len(best) >= 6 else []


def _block(permutations: np.ndarray, a: int, b: int) -> frozenset[int]:
    """The smallest set with a and b whose images are equal or disjoint: what chains of images of the pair connect."""
    n = permutations.shape[1]
    linked = np.zeros((n, n), bool)
    linked[permutations[:, a], permutations[:, b]] = True
    labels = connected_components(linked, directed=False)[1]
    return frozenset(np.flatnonzero(labels == labels[a]).tolist())
