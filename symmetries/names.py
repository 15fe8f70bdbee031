"""Names of isometries: what they do, about which axis, through which point."""

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from symmetries._errors import SymmetryError

TOLERANCE = 1e-5


def isometry_name(matrix: Float[np.ndarray, "d d"], shift: Any = None) -> str:
    r"""What the map $r \to R\,r + t$ does, in one to three dimensions.

    `Id`, `Translation[...]`; `Rot(90°)` counterclockwise, in space about the axis that follows; `Refl(45°)` across the
    line at this angle, in space `Refl[...]` across the plane with this normal; `Inv`; `RotoRefl(90°)[...]`, a rotation
    and a reflection across its axis; `Screw(180°)[...]` and `Glide[...]` with the translation along the axis or plane,
    then `ax` and the normal of the plane. `O[...]` is a fixed point (a point of the axis or plane), left out at zero.

    Args:
        matrix: `[d, d]`, orthogonal.
        shift: `[d]`, the translation; zero if left out.

    Raises:
        SymmetryError: the matrix is not orthogonal, or has more than three dimensions.

    Example:
        >>> import numpy as np
        >>> from symmetries import isometry_name
        >>> isometry_name(np.array([[0.0, -1.0], [1.0, 0.0]]), [1.0, 0.0])
        'Rot(90°)O[1/2,1/2]'
        >>> isometry_name(np.diag([-1.0, -1.0, 1.0]), [0.0, 0.0, 0.5])
        'Screw(180°)[0,0,1/2]'
        >>> isometry_name(np.diag([1.0, 1.0, -1.0]), [0.5, 0.0, 0.5])
        'Glide[1/2,0,0]ax[0,0,1]O[0,0,1/4]'
    """
    d = matrix.shape[0]
    move = np.zeros(d) if shift is None else np.asarray(shift, float)
    if not 1 <= d <= 3 or matrix.shape != (d, d) or np.abs(matrix @ matrix.T - np.eye(d)).max() > TOLERANCE:
        raise SymmetryError(
            "Isometries of one to three dimensions have names.",
            got=f"a matrix of shape {matrix.shape}",
            expected="R R^T = 1, [d, d] with d <= 3",
            try_="numpy.eye(3)",
        )
    less = np.eye(d) - matrix
    centre = np.linalg.pinv(less, rcond=1e-6) @ move
    along = move - less @ centre
    slides = np.linalg.norm(along) > TOLERANCE
    if np.abs(less).max() < TOLERANCE:
        return f"Translation{_vector(move)}" if slides else "Id"
    origin = f"O{_vector(centre)}" if np.linalg.norm(centre) > TOLERANCE else ""
    if np.linalg.det(matrix) > 0:
        if d == 2:
            return f"Rot({_degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))}){origin}"
        axis, angle = axis_and_angle(matrix)
        if not slides:
            return f"Rot({_degrees(angle)}){_direction(axis)}{origin}"
        turned = angle if along @ axis > 0 else -angle
        return f"Screw({_degrees(turned if abs(angle - np.pi) > TOLERANCE else angle)}){_vector(along)}{origin}"
    if d == 1:
        return f"Refl{origin}"
    if d == 2:
        angle = np.arctan2(matrix[1, 0], matrix[0, 0]) / 2 % np.pi
        kind = f"Glide{_vector(along)}" if slides else f"Refl({_degrees(angle if np.pi - angle > TOLERANCE else 0.0)})"
        return kind + origin
    if np.abs(matrix + np.eye(3)).max() < TOLERANCE:
        return f"Inv{origin}"
    axis, angle = axis_and_angle(-matrix)
    if abs(angle - np.pi) < TOLERANCE:
        return (f"Glide{_vector(along)}ax{_direction(axis)}" if slides else f"Refl{_direction(axis)}") + origin
    return f"RotoRefl({_degrees(angle + np.pi if angle < 0 else angle - np.pi)}){_direction(axis)}{origin}"


def axis_and_angle(rotation: Float[np.ndarray, "3 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    r"""Axis of a proper rotation, its last component that is not zero positive, and the angle in $(-\pi, \pi]$.

    Example:
        >>> import numpy as np
        >>> from symmetries.names import axis_and_angle
        >>> axis, angle = axis_and_angle(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
        >>> axis, round(angle / np.pi, 6)
        (array([0., 0., 1.]), -0.5)
    """
    axis = np.linalg.svd(rotation - np.eye(3))[2][-1]
    axis = axis * np.sign(axis[np.flatnonzero(np.abs(axis) > TOLERANCE)[-1]]) + 0.0
    twist = rotation - rotation.T
    sine = float(axis @ [twist[2, 1], twist[0, 2], twist[1, 0]]) / 2
    angle = float(np.arctan2(sine, (np.trace(rotation) - 1) / 2))
    return axis, np.pi if abs(angle + np.pi) < TOLERANCE else angle


def _degrees(angle: float) -> str:
    return (
        f"{round(float(np.degrees(angle)), 3):g}°".replace("-0°", "0°")
        if abs(angle) < 1e-9
        else f"{np.degrees(angle):.6g}°"
    )


def _direction(axis: np.ndarray) -> str:
    """An axis in the smallest whole numbers where there are some."""
    scaled = axis / np.abs(axis[np.abs(axis) > TOLERANCE]).min()
    for factor in range(1, 7):
        whole = np.round(scaled * factor)
        if np.abs(whole - scaled * factor).max() < TOLERANCE * factor:
            return _vector(whole)
    return _vector(axis / np.linalg.norm(axis))


def _vector(vector: np.ndarray) -> str:
    return "[" + ",".join(_number(float(x)) for x in vector) + "]"


def _number(x: float) -> str:
    """A fraction, or a fraction of a square root, where there is one with small numbers."""
    sign = "-" if x < -TOLERANCE else ""
    for root in (1, 2, 3, 5, 6):
        value = Fraction(abs(x) / root**0.5).limit_denominator(24)
        if abs(float(value) * root**0.5 - abs(x)) < TOLERANCE:
            top = str(value.numerator)
            if root > 1:
                top = ("" if top == "1" else top) + f"√{root}"
            return sign + top + ("" if value.denominator == 1 else f"/{value.denominator}")
    return f"{x:.4g}"
