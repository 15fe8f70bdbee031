"""Names of the irreps of point groups, worked out from the isometries themselves.

A, B: one dimension, +1 or -1 under the principal rotation. E, T, G, H: two, three, four, five dimensions; the
number of E says what the principal rotation of order $n$ does, $\\chi = 2\\cos(2\\pi m/n)$ for `Em`. The two
complex irreps that a cyclic group has in place of an E are `E+` and `E-`, with $\\chi = e^{\\pm 2\\pi i m/n}$ for
the rotation by $+2\\pi/n$. In $S_n$ and $D_{nd}$ without inversion the rotary reflection of highest order takes the
place of the principal rotation. Subscripts 1, 2: +1 or -1 under a reference among the twofold axes across the principal
one, or among the mirrors that contain it: the one whose axis (mirror line) is closest to x, then y. So on a square
lattice B1 is even in the mirror along x, like $x^2 - y^2$, and B2 is like $xy$. g, u: even or odd under inversion.
Prime, double prime: even or odd under the mirror across the principal axis.

One dimension: A is even and B is odd under $x \\to -x$. The names need an axis system: a rotated crystal may swap
B1 and B2.
"""

import numpy as np
from jaxtyping import Complex, Float

TOLERANCE = 1e-4


def mulliken_labels(
    matrices: Float[np.ndarray, "g d d"], characters: Complex[np.ndarray, "irreps g"]
) -> tuple[str, ...] | None:
    """A name for each irrep of a point group.

    Args:
        matrices: `[g, d, d]`, orthogonal.
        characters: `[irreps, g]`, in the same order of elements.

    Returns:
        One label an irrep, or `None` in more than three dimensions.
    """
    if matrices.shape[1] > 3:
        return None
    solid = _in_space(matrices)
    proper = np.linalg.det(solid) > 0
    inversion = _find(solid, -np.eye(3))
    mirror = _horizontal_mirror(solid, proper)
    if inversion is not None:
        half, special, suffixes = proper, inversion, ("g", "u")
    elif mirror is not None:
        half, special, suffixes = proper, mirror, ("'", "''")
    else:
        half, special, suffixes = np.ones(len(solid), bool), None, ("", "")
    names = [_letters(solid[half], row[half]) for row in characters]
    if special is not None:
        names = [name + suffixes[int(row[special].real < 0)] for name, row in zip(names, characters)]
    return tuple(names) if len(set(names)) == len(names) else None


def _in_space(matrices: np.ndarray) -> np.ndarray:
    """Isometries of the line or the plane as isometries of space; those of the line turn about z."""
    solid = np.tile(np.eye(3), (len(matrices), 1, 1))
    d = matrices.shape[1]
    solid[:, :d, :d] = matrices
    if d == 1:
        solid[:, 1, 1] = matrices[:, 0, 0]
    return solid


def _find(matrices: np.ndarray, matrix: np.ndarray) -> int | None:
    hits = np.flatnonzero(np.abs(matrices - matrix).max(axis=(1, 2)) < TOLERANCE)
    return int(hits[0]) if len(hits) else None


def _angle(rotation: np.ndarray) -> float:
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))


def _axis(rotation: np.ndarray) -> np.ndarray:
    """Axis of a proper rotation, the last component that is not zero positive."""
    axis = np.linalg.svd(rotation - np.eye(3))[2][-1]
    last = axis[np.flatnonzero(np.abs(axis) > TOLERANCE)[-1]]
    return axis if last > 0 else -axis


def _turns_forward(rotation: np.ndarray) -> bool:
    """Whether a rotation goes counterclockwise about its axis."""
    twist = rotation - rotation.T
    return float(_axis(rotation) @ [twist[2, 1], twist[0, 2], twist[1, 0]]) > -TOLERANCE


def _closeness(direction: np.ndarray) -> tuple[float, ...]:
    """Sort key of an undirected axis: the one closest to x, then to y, is largest."""
    first = direction[np.flatnonzero(np.abs(direction) > TOLERANCE)[0]]
    return tuple(np.round(direction * np.sign(first), 4) + 0.0)


def _horizontal_mirror(solid: np.ndarray, proper: np.ndarray) -> int | None:
    """The mirror across the principal axis; in a group without rotations, the mirror."""
    angles = [_angle(m) if p else 0.0 for m, p in zip(solid, proper)]
    turning = [i for i, angle in enumerate(angles) if angle > TOLERANCE]
    principal = min(turning, key=lambda i: angles[i]) if turning else None
    for i, matrix in enumerate(solid):
        if not proper[i] and abs(np.trace(matrix) - 1) < TOLERANCE:
            normal = _axis(-matrix)
            if principal is None or abs(abs(normal @ _axis(solid[principal])) - 1) < TOLERANCE:
                return i
    return None


def _letters(solid: np.ndarray, characters: np.ndarray) -> str:
    """The name without suffix. An improper element R stands for the rotation -R, which gives an isomorphic group."""
    order, dimension = len(solid), round(characters[_find(solid, np.eye(3))].real)  # type: ignore[index]
    if order == 1:
        return "A"
    improper = np.linalg.det(solid) < 0
    rotations = np.where(improper[:, None, None], -solid, solid)
    angles = np.array([_angle(r) for r in rotations])
    threefold = np.flatnonzero(np.abs(angles - 2 * np.pi / 3) < TOLERANCE)
    if order in (12, 24, 60) and len(threefold) >= 8:
        return _cubic(rotations, angles, characters, threefold, dimension)
    turns = np.where(improper & (angles < np.pi - TOLERANCE), np.pi - angles, angles)  # of -S by pi - a: S by a
    smallest = turns[angles > TOLERANCE].min()
    primary = np.flatnonzero((np.abs(turns - smallest) < TOLERANCE) & (angles > TOLERANCE))
    n = round(2 * np.pi / smallest)
    if order == n:
        generator = next(i for i in primary if _turns_forward(rotations[i]) != (improper[i] and n > 2))
        m = round(np.angle(characters[generator]) * n / (2 * np.pi))
        if m == 0 or 2 * abs(m) == n:
            return "B" if m else "A"
        return f"E{abs(m) if n > 4 else ''}{'+' if m > 0 else '-'}"
    if (
        n == 2 and len(primary) == 3 and (np.linalg.det(solid) > 0).all()
    ):  # three twofold axes: B3, B2, B1 along x, y, z
        x, y, z = sorted(primary, key=lambda i: _closeness(_axis(rotations[i])), reverse=True)
        even = [characters[i].real > 0 for i in (z, y, x)]
        return "A" if all(even) else f"B{even.index(True) + 1}"
    principal = next(i for i in primary if n > 2 or np.linalg.det(solid[i]) > 0)
    if dimension == 2:
        m = round(np.arccos(np.clip(characters[principal].real / 2, -1, 1)) * n / (2 * np.pi))
        return f"E{m if n > 4 else ''}"
    letter = "A" if characters[principal].real > 0 else "B"
    return f"{letter}{1 if characters[_reference(solid, rotations, int(principal))].real > 0 else 2}"


def _reference(solid: np.ndarray, rotations: np.ndarray, principal: int) -> int:
    """The element that tells subscripts 1 and 2 apart."""
    axis = _axis(rotations[principal])
    across = [
        i for i, r in enumerate(rotations) if abs(_angle(r) - np.pi) < TOLERANCE and abs(_axis(r) @ axis) < TOLERANCE
    ]
    twofold = [i for i in across if np.linalg.det(solid[i]) > 0]
    if twofold:
        return max(twofold, key=lambda i: _closeness(_axis(rotations[i])))
    return max(across, key=lambda i: _closeness(np.cross(axis, _axis(rotations[i]))))


def _cubic(
    rotations: np.ndarray, angles: np.ndarray, characters: np.ndarray, threefold: np.ndarray, dimension: int
) -> str:
    """Tetrahedral, octahedral and icosahedral groups."""
    if len(rotations) == 12:
        if dimension == 3:
            return "T"
        diagonal = max(threefold, key=lambda i: (_turns_forward(rotations[i]), _closeness(_axis(rotations[i]))))
        m = round(float(np.angle(characters[diagonal])) * 3 / (2 * np.pi))
        return ("A", "E+", "E-")[m]
    letter = "AETGH"[dimension - 1]
    numbered = dimension == 3 or (dimension == 1 and len(rotations) == 24)
    fastest = int(np.where(angles > TOLERANCE, angles, np.inf).argmin())
    return f"{letter}{1 if np.real(characters[fastest]) > 0 else 2}" if numbered else letter
