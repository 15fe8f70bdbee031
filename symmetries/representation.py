r"""Matrices of irreducible representations, for any finite group.

One irrep is cut out of the group algebra. Multiplication from the right by a Hermitian element commutes with the group
acting from the left, and its eigenvectors, starting from the irrep's own idempotent, are primitive idempotents: their
left translates span the irrep once. A basis in which commuting elements are diagonal, with phases fixed, makes the
answer unique.
"""

import numpy as np
from jaxtyping import Complex, Inexact

from symmetries._errors import SymmetryError
from symmetries.characters import Irrep, character_table, snapped
from symmetries.group import FiniteGroup

ATTEMPTS = 8


def irrep_matrices(group: FiniteGroup, irrep: Irrep | int) -> Complex[np.ndarray, "g d d"]:
    r"""Unitary matrices $D(g)$ of one irrep, $D(a)\,D(b) = D(ab)$ and $\mathrm{tr}\,D(g) = \chi(g)$.

    They are real where the Frobenius-Schur indicator is $+1$.

    Args:
        group: the group.
        irrep: an irrep of its character table, or the number of one in `character_table(group)`.

    Returns:
        `[g, d, d]`.

    Raises:
        SymmetryError: this is no irrep of the group.

    Example:
        >>> import symmetries
        >>> triangle = symmetries.D(3)
        >>> matrices = symmetries.irrep_matrices(triangle.group, triangle.characters.irrep("E"))
        >>> matrices[3].real.round(3) + 0.0
        array([[ 1.,  0.],
               [ 0., -1.]])

    Source:
        Dixon, Math. Comp. 24, 707 (1970), for the use of the group algebra.
    """
    chosen = _chosen(group, irrep)
    characters, dimension = chosen.characters, chosen.dimension
    if dimension == 1:
        return characters.astype(complex)[:, None, None]
    everything = np.arange(group.order)
    indicator = np.mean(characters[group.product_table[everything, everything]]).real
    real = bool(indicator > 0.5)
    start = np.real(characters) if real else characters.conj()
    for attempt in range(ATTEMPTS):
        vectors = _left_ideal(group, start, dimension, attempt)
        if vectors is None:
            continue
        matrices = canonical(group, spread(group, generator_images(group, vectors)))
        if error_of(group, matrices) < 1e-11 and np.abs(np.trace(matrices, axis1=1, axis2=2) - characters).max() < 1e-9:
            return snapped(matrices, 1e-13)
    raise SymmetryError(
        "The matrices of this irrep could not be found.",
        got=f"irrep {chosen.label} of dimension {dimension}, group of order {group.order}",
        expected="a group of moderate size",
        try_="a subgroup, e.g. the little group of a momentum",
    )


def generator_images(
    group: FiniteGroup, vectors: Inexact[np.ndarray, "g d"], multiplier: Complex[np.ndarray, "g g"] | None = None
) -> dict[int, np.ndarray]:
    """Matrices of the generators on an invariant subspace of the (twisted) regular representation."""
    images = {}
    for g in group.generators:
        back = group.product_table[group.inverse[g]]  # (g v)_a = multiplier[g, g^-1 a] v_(g^-1 a)
        moved = vectors[back] if multiplier is None else multiplier[g, back][:, None] * vectors[back]
        left, _, right = np.linalg.svd(vectors.conj().T @ moved)
        images[g] = left @ right  # the nearest unitary matrix
    return images


def spread(
    group: FiniteGroup, images: dict[int, np.ndarray], multiplier: Complex[np.ndarray, "g g"] | None = None
) -> Inexact[np.ndarray, "g d d"]:
    """Matrices of all elements from those of generators, by the shortest products of them."""
    unit = group.identity
    if not images:
        return np.full((1, 1, 1), 1.0 if multiplier is None else multiplier[unit, unit])
    first = next(iter(images.values()))
    result = np.zeros((group.order, *first.shape), first.dtype)
    result[unit] = np.eye(len(first)) * (1.0 if multiplier is None else multiplier[unit, unit])
    known = np.zeros(group.order, bool)
    known[unit], frontier = True, np.array([unit])
    while len(frontier):
        found = []
        for g, image in images.items():
            targets = group.product_table[frontier, g]
            new = ~known[targets]
            matrices = result[frontier[new]] @ image
            if multiplier is not None:
                matrices = matrices / multiplier[frontier[new], g][:, None, None]
            result[targets[new]] = matrices
            known[targets[new]] = True
            found.append(targets[new])
        frontier = np.concatenate(found)
    return result


def canonical(
    group: FiniteGroup, matrices: Inexact[np.ndarray, "g d d"], multiplier: Complex[np.ndarray, "g g"] | None = None
) -> Inexact[np.ndarray, "g d d"]:
    """The same representation in a basis that depends on the group's numbering alone.

    A commuting set of elements is diagonalised first, then a fixed Hermitian combination of all elements where levels
    are left together; phases make that combination's elements positive along a tree.
    """
    if matrices.shape[1] == 1:
        return matrices
    real = not np.iscomplexobj(matrices)
    random = np.random.default_rng(1)
    weights = [random.normal(size=group.order) + (0 if real else 1j * random.normal(size=group.order)) for _ in "12"]
    mixed = []
    for elements, weight in zip((_commuting(group, multiplier, real), np.arange(group.order)), weights):
        sum_ = np.tensordot(weight[elements], matrices[elements], 1)
        mixed.append((sum_ + sum_.conj().T) / np.sqrt(len(elements) + 1))
    blocks = [np.eye(matrices.shape[1])]
    for hermitian in mixed:
        parts = []
        for block in blocks:
            levels, vectors = np.linalg.eigh(block.conj().T @ hermitian @ block)
            cuts = np.flatnonzero(np.diff(levels) > 1e-7) + 1
            parts += [block @ part for part in np.split(vectors, cuts, axis=1)]
        blocks = parts
    basis = np.concatenate(blocks, axis=1)
    tree = basis.conj().T @ mixed[1] @ basis
    phases = np.ones(len(tree), tree.dtype)
    for j in range(1, len(tree)):
        i = int(np.abs(tree[:j, j]).argmax())
        phases[j] = phases[i] * np.conj(tree[i, j]) / np.abs(tree[i, j])
    basis = basis * phases[None, :]
    return basis.conj().T @ matrices @ basis


def error_of(
    group: FiniteGroup, matrices: Inexact[np.ndarray, "g d d"], multiplier: Complex[np.ndarray, "g g"] | None = None
) -> float:
    """How far matrices are from a unitary representation: the largest fault of the products with generators."""
    eye = np.eye(matrices.shape[1])
    worst = float(np.abs(matrices @ matrices.conj().transpose(0, 2, 1) - eye[None]).max())
    for g in group.generators:
        products = matrices[group.product_table[:, g]]
        if multiplier is not None:
            products = multiplier[:, g][:, None, None] * products
        worst = max(worst, float(np.abs(matrices @ matrices[g] - products).max()))
    return worst


def _chosen(group: FiniteGroup, irrep: Irrep | int) -> Irrep:
    if isinstance(irrep, Irrep):
        size = len(irrep.characters)
        if size == group.order and abs(np.vdot(irrep.characters, irrep.characters) / size - 1) < 1e-9:
            return irrep
        got = f"an irrep {irrep.label} with {size} characters, for a group of order {group.order}"
    else:
        irreps = character_table(group).irreps
        if 0 <= irrep < len(irreps):
            return irreps[irrep]
        got = f"{irrep} of {len(irreps)}"
    raise SymmetryError(
        "This is no irrep of the group.",
        got=got,
        expected="an irrep of symmetries.character_table(group), or its number",
        try_="symmetries.character_table(group).irreps[0]",
    )


def _left_ideal(
    group: FiniteGroup, start: Inexact[np.ndarray, " g"], dimension: int, attempt: int
) -> Inexact[np.ndarray, "g d"] | None:
    """An orthonormal basis of one copy of the irrep in the regular representation; `None` for unlucky numbers.

    Lanczos steps by a Hermitian element $h$ from the central idempotent stay among the polynomials of $h$ in the irrep;
    their eigenvectors are the projectors on the eigenvectors of $h$.
    """
    table, order = group.product_table, group.order
    random = np.random.default_rng(attempt)
    size = min(order, 2 ** (attempt + 2) * dimension)
    support = np.concatenate([random.choice(order, size, replace=False), np.array(group.generators, int)])
    weights = random.normal(size=len(support))
    if np.iscomplexobj(start):
        weights = weights + 1j * random.normal(size=len(support))
    right, left = table[:, group.inverse[support]], table[:, support]
    scale = np.abs(weights).sum()
    chain, diagonal, beside = [start / np.linalg.norm(start)], [], []
    while True:
        image = chain[-1][right] @ weights + chain[-1][left] @ weights.conj()
        diagonal.append(np.vdot(chain[-1], image).real)
        if len(chain) == dimension:
            break
        for _ in range(2):
            image = image - sum(np.vdot(vector, image) * vector for vector in chain)
        beside.append(np.linalg.norm(image))
        if beside[-1] < 1e-5 * scale:  # fewer levels than the dimension
            return None
        chain.append(image / beside[-1])
    levels, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    gaps = np.diff(np.concatenate([[-np.inf], levels, [np.inf]]))
    best = int(np.minimum(gaps[:-1], gaps[1:]).argmax())
    projector = np.stack(chain, axis=1) @ vectors[:, best]
    rows = np.arange(order) if order <= 8 * dimension else random.choice(order, 8 * dimension, replace=False)
    translates = projector[table[group.inverse[rows]]].T
    basis, sizes, _ = np.linalg.svd(translates, full_matrices=False)
    if sizes[dimension - 1] < 0.05 * sizes[0] or (sizes[dimension:] > 1e-8 * sizes[0]).any():
        return None
    return basis[:, :dimension]


def _commuting(group: FiniteGroup, multiplier: np.ndarray | None, real: bool) -> np.ndarray:
    """Generators of an abelian subgroup: reflections first where matrices are real, else elements of high order."""
    commute = group.product_table == group.product_table.T
    if multiplier is not None:
        commute &= np.abs(multiplier - multiplier.T) < 1e-9
    orders = group.element_orders
    ranks = np.lexsort([-orders, orders != 2]) if real else np.argsort(-orders, kind="stable")
    allowed = np.ones(group.order, bool)
    allowed[group.identity] = False
    chosen: list[int] = []
    while allowed.any():
        chosen.append(int(ranks[allowed[ranks]][0]))
        allowed &= commute[chosen[-1]]
        allowed[group.generated_by(np.array(chosen))] = False
    return np.array(chosen, int)
