"""Elementary rings of bonds: triangles, squares, hexagons."""

from collections.abc import Callable, Iterable

Point = tuple[int, tuple[int, ...]]  # a site, and the copy of the torus it is seen in
Ring = tuple[Point, ...]


class Cover:
    """The infinite cover of a graph on a torus: every site once in each copy of the torus.

    On it a ring that winds around the torus does not close.

    Args:
        n_sites: number of sites.
        bonds: `(i, j, windings)`; site `j` in copy `w + windings` is next to site `i` in copy `w`.
        depth: up to how many steps `distance` must know.
    """

    def __init__(self, n_sites: int, bonds: Iterable[tuple[int, int, tuple[int, ...]]], depth: int):
        self.n_sites = n_sites
        self.next: list[list[Point]] = [[] for _ in range(n_sites)]
        self.origin: tuple[int, ...] = ()
        for i, j, winding in bonds:
            self.origin = (0,) * len(winding)
            self.next[i].append((j, winding))
            self.next[j].append((i, tuple(-w for w in winding)))
        self._steps = [self._search(site, depth) for site in range(n_sites)]

    def near(self, point: Point) -> list[Point]:
        """The points that share a bond with one."""
        return [(site, _sum(point[1], winding)) for site, winding in self.next[point[0]]]

    def distance(self, one: Point, two: Point) -> int | None:
        """Number of steps between two points, or `None` if they are more than `depth`."""
        return self._steps[one[0]].get((two[0], _difference(two[1], one[1])))

    def angle(self, before: Point, middle: Point, after: Point) -> tuple[int, frozenset[Point]]:
        """Two bonds that meet, whatever copy they are seen in."""
        return middle[0], frozenset((site, _difference(copy, middle[1])) for site, copy in (before, after))

    def angles(self, ring: Ring) -> set:
        """All angles of a ring."""
        return {self.angle(ring[k - 2], ring[k - 1], ring[k]) for k in range(len(ring))}

    def rings(self, start: int, length: int, closed: set) -> Iterable[Ring]:
        """Rings without short cuts and without an angle in `closed`, whose lowest site is `start`, in one direction."""
        stack: list[Ring] = [((start, self.origin),)]
        while stack:
            path = stack.pop()
            k = len(path)
            for point in self.near(path[-1]):
                if point[0] < start or (k == length - 1 and point < path[1]):
                    continue
                if any(self.distance(path[m], point) != min(k - m, length - k + m) for m in range(k)):
                    continue
                if k > 1 and self.angle(path[-2], path[-1], point) in closed:
                    continue
                ring = (*path, point)
                if k < length - 1:
                    stack.append(ring)
                elif not self.angles(ring) & closed:
                    yield ring

    def _search(self, site: int, depth: int) -> dict[Point, int]:
        steps = {(site, self.origin): 0}
        edge = list(steps)
        for step in range(1, depth + 1):
            edge = [point for old in edge for point in self.near(old) if steps.setdefault(point, step) == step]
            edge = list(dict.fromkeys(edge))
        return steps


def elementary_rings(
    cover: Cover, longest: int, area: Callable[[Ring], float]
) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Corners of the elementary rings of a graph, and whether some are not listed because they coincide.

    A ring is elementary if no way between two of its corners is shorter than along the ring, and no two of its bonds
    that meet belong to a shorter elementary ring. Corners start at the lowest site and go around such that `area` is
    positive; where it is zero the second corner is lower than the last.
    """
    closed, found, merged = set(), {}, False
    for length in range(3, longest + 1):
        fresh = [ring for site in range(cover.n_sites) for ring in cover.rings(site, length, closed)]
        for ring in fresh:
            corners = tuple(site for site, _ in ring)
            if corners[1] > corners[-1]:
                corners, ring = corners[:1] + corners[:0:-1], ring[:1] + ring[:0:-1]
            merged |= len(set(corners)) < length or corners in found
            if len(set(corners)) == length:
                found.setdefault(corners, area(ring))
            closed |= cover.angles(ring)
    turned = [corners if size >= 0 else corners[:1] + corners[:0:-1] for corners, size in found.items()]
    return tuple(sorted(turned, key=lambda corners: (len(corners), corners))), merged


def _sum(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, two))


def _difference(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(one, two))
