r"""Projective representations: unitary matrices with $D(a)\,D(b) = \mu(a, b)\,D(ab)$.

They are the representations of the twisted group algebra, $u_a u_b = \mu(a, b)\, u_{ab}$. A Hermitian element of it,
multiplied from the right, commutes with the algebra acting from the left, so each of its eigenspaces is one irrep.
"""

import numpy as np
from jaxtyping import Complex

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import character_table, roots_of_unity, snapped, sorted_rows
from symmetries.group import FiniteGroup
from symmetries.representation import ATTEMPTS, canonical, error_of, generator_images, irrep_matrices, spread

LARGEST = 3000


@descriptor
class ProjectiveIrrep:
    r"""One irreducible projective representation.

    Args:
        characters: `[g]`, $\chi(g) = \mathrm{tr}\,D(g)$; not constant on classes.
        matrices: `[g, d, d]`, unitary.

    Example:
        >>> import numpy as np
        >>> from symmetries import FiniteGroup, projective_irreps
        >>> [irrep.dimension for irrep in projective_irreps(FiniteGroup.cyclic(2), np.ones((2, 2)))]
        [1, 1]
    """

    characters: Complex[np.ndarray, " g"]
    matrices: Complex[np.ndarray, "g d d"]

    @property
    def dimension(self) -> int:
        """Dimension of the representation."""
        return self.matrices.shape[1]

    @property
    def weights(self) -> Complex[np.ndarray, " g"]:
        r"""Coefficients of the projector $\sum_g w_g\, u_g$ of a representation with this multiplier."""
        return self.dimension / len(self.characters) * self.characters.conj()


def projective_irreps(group: FiniteGroup, multiplier: np.ndarray) -> tuple[ProjectiveIrrep, ...]:
    r"""All irreducible projective representations of a group with one multiplier.

    $$D(a)\,D(b) = \mu(a, b)\,D(ab), \qquad \sum_g |\chi(g)|^2 = |G|, \qquad \sum d^2 = |G| .$$

    Args:
        group: the group.
        multiplier: `[g, g]`, numbers of modulus one with $\mu(a, b)\,\mu(ab, c) = \mu(a, bc)\,\mu(b, c)$.

    Returns:
        The irreps by dimension, then by characters; the same at every call. If all multipliers are one they are the
        irreps of `character_table`, in its order.

    Raises:
        SymmetryError: the multiplier is no cocycle, or its shape is not `[g, g]`.

    Example:
        The Pauli matrices are the only representation of the Klein four-group with their multiplier:

        >>> import numpy as np
        >>> from symmetries import FiniteGroup, projective_irreps
        >>> pauli = np.array([np.eye(2), [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]])
        >>> klein = FiniteGroup(np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]))
        >>> products = np.einsum("aij,bjk->abik", pauli, pauli)
        >>> multiplier = np.einsum("abik,abki->ab", products, pauli[klein.product_table]) / 2
        >>> [irrep] = projective_irreps(klein, multiplier)
        >>> irrep.dimension, irrep.characters
        (2, array([2.+0.j, 0.+0.j, 0.+0.j, 0.+0.j]))

    Source:
        Bradley and Cracknell, The Mathematical Theory of Symmetry in Solids (1972), section 3.7.
    """
    cocycle = _checked(group, multiplier)
    if np.abs(cocycle - 1).max() < 1e-12:
        irreps = character_table(group).irreps
        return tuple(ProjectiveIrrep(irrep.characters, irrep_matrices(group, irrep)) for irrep in irreps)
    for attempt in range(ATTEMPTS):
        found = _decomposed(group, cocycle, attempt)
        if sum(irrep.dimension**2 for irrep in found) == group.order:
            rows = sorted_rows(np.array([irrep.characters for irrep in found]), group.identity)
            return tuple(found[i] for i in rows)
    raise SymmetryError(
        "The twisted group algebra could not be decomposed.",
        got=f"a group of order {group.order}",
        expected="irreps with sum of squared dimensions equal to the order",
        try_="a smaller group, e.g. the isometries that keep a momentum without the translations",
    )


def projective_characters(group: FiniteGroup, multiplier: np.ndarray) -> Complex[np.ndarray, "irreps g"]:
    """Characters of `projective_irreps`, one row each.

    Example:
        >>> import numpy as np
        >>> from symmetries import FiniteGroup, projective_characters
        >>> projective_characters(FiniteGroup.cyclic(2), np.array([[1, 1], [1, -1]])).imag + 0.0
        array([[ 0.,  1.],
               [ 0., -1.]])
    """
    return np.stack([irrep.characters for irrep in projective_irreps(group, multiplier)])


def _checked(group: FiniteGroup, multiplier: np.ndarray) -> np.ndarray:
    cocycle, table = np.asarray(multiplier, complex), group.product_table
    if cocycle.shape != table.shape:
        raise _not_a_cocycle(f"shape {cocycle.shape}", f"shape {table.shape}")
    if not np.abs(np.abs(cocycle) - 1).max() < 1e-9:
        raise _not_a_cocycle(f"a number of modulus {np.abs(cocycle).flat[np.abs(np.abs(cocycle) - 1).argmax()]:.6g}")
    if group.order > LARGEST:
        raise SymmetryError(
            "This group is too large for projective irreps.",
            got=f"order {group.order}",
            expected=f"order <= {LARGEST}",
            try_="the isometries that keep a momentum, without the translations",
        )
    for b in group.generators:  # enough in the middle: what associates is closed under products
        left = cocycle[:, b][:, None] * cocycle[table[:, b]]
        right = cocycle[:, table[b]] * cocycle[b][None, :]
        worst = np.unravel_index(np.abs(left - right).argmax(), left.shape)
        if not np.abs(left - right)[worst] < 1e-9:
            a, c = (int(i) for i in worst)
            raise _not_a_cocycle(f"m(a,b) m(ab,c) / m(a,bc) m(b,c) = {left[worst] / right[worst]:.6g} at {(a, b, c)}")
    return cocycle


def _not_a_cocycle(got: str, expected: str = "m(a,b) m(ab,c) = m(a,bc) m(b,c), all of modulus one") -> SymmetryError:
    return SymmetryError(
        "The multiplier of a projective representation is a cocycle.",
        got=got,
        expected=expected,
        try_="m[a, b] from matrices: D(a) D(b) = m[a, b] D(ab)",
    )


def _decomposed(group: FiniteGroup, cocycle: np.ndarray, attempt: int) -> list[ProjectiveIrrep]:
    """Irreps on the eigenspaces of a Hermitian element that acts from the right, each once."""
    table, order = group.product_table, group.order
    random = np.random.default_rng(attempt)
    weights = random.normal(size=order) + 1j * random.normal(size=order)
    matrix = np.zeros((order, order), complex)
    matrix[table, np.arange(order)[:, None]] = weights[None, :] * cocycle  # u_b u_h = cocycle[b, h] u_bh
    levels, vectors = np.linalg.eigh(matrix + matrix.conj().T)
    cuts = np.flatnonzero(np.diff(levels) > 1e-9 * np.ptp(levels)) + 1
    found: list[ProjectiveIrrep] = []
    for space in np.split(vectors, cuts, axis=1):
        if sum(irrep.dimension**2 for irrep in found) == order:
            break
        if any(_contains(group, cocycle, irrep, space[:, 0]) for irrep in found):
            continue
        matrices = spread(group, generator_images(group, space, cocycle), cocycle)
        if error_of(group, matrices, cocycle) > 1e-9:
            return []
        matrices = snapped(canonical(group, matrices, cocycle), 1e-13)
        characters = _exact(group, cocycle, np.trace(matrices, axis1=1, axis2=2))
        if abs(np.vdot(characters, characters).real / order - 1) > 1e-9:  # two irreps of one level
            return []
        found.append(ProjectiveIrrep(characters, matrices))
    return found


def _contains(group: FiniteGroup, cocycle: np.ndarray, irrep: ProjectiveIrrep, vector: np.ndarray) -> bool:
    """Whether a vector of the regular representation belongs to an irrep: the length of its projection."""
    everything = np.arange(group.order)
    back = group.product_table[group.inverse]  # [g, a] -> g^-1 a
    moved = cocycle[everything[:, None], back] * vector[back]
    return bool(np.linalg.norm(irrep.weights @ moved) > 0.5)


def _exact(group: FiniteGroup, cocycle: np.ndarray, characters: np.ndarray) -> np.ndarray:
    r"""Characters from whole multiplicities of the eigenvalues.

    $D(g)^k = \pi_k\, D(g^k)$ and $D(g)^n = \pi_n\,\mu(e, e)$ for $g$ of order $n$: eigenvalues are $n$-th roots.
    """
    table, unit = group.product_table, group.identity
    dimension = round(abs(characters[unit]))
    result = np.empty(len(characters), complex)
    for g in range(len(characters)):
        power, factor, traces = g, 1.0 + 0j, [complex(dimension)]
        for _ in range(int(group.element_orders[g]) - 1):
            traces.append(factor * characters[power])
            factor, power = factor * cocycle[power, g], int(table[power, g])
        n = len(traces)
        turn = np.exp(1j * np.angle(factor * cocycle[unit, unit]) / n)
        counts = np.round((np.fft.fft(np.array(traces) / turn ** np.arange(n)) / n).real)
        result[g] = turn * (counts @ roots_of_unity(n))
    return snapped(result, 1e-13)
