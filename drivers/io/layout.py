"""Trees as named plain arrays: the form in which a step is compiled, exported, saved and restored."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError, ShapeError
from qml._core.types import PyTree


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _key_name(leaf: Any) -> str:
    """The random bit generator of a typed key array, or nothing for other arrays."""
    return str(jax.random.key_impl(leaf)) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else ""


class Layout:
    """Names, shapes and types of the arrays of a tree, with everything else the tree holds; hashable.

    Args:
        names: dotted path of each array.
        shapes: shape of each array; of a key array, of its data.
        dtypes: dtype name of each array.
        keys: generator of each key array, `""` for other arrays.
        static: the structure and the leaves that are no arrays; `None` when read from a file.
    """

    __slots__ = ("_hash", "dtypes", "keys", "names", "shapes", "static")

    def __init__(
        self,
        names: Sequence[str],
        shapes: Sequence[tuple[int, ...]],
        dtypes: Sequence[str],
        keys: Sequence[str],
        static: tuple | None,
    ):
        self.names, self.dtypes, self.keys = tuple(names), tuple(dtypes), tuple(keys)
        self.shapes = tuple(tuple(s) for s in shapes)
        self.static = static
        self._hash = hash((self.names, self.shapes, self.dtypes, self.keys, static))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Layout) or self._hash != other._hash:
            return False
        return self.rows() == other.rows() and self.static == other.static

    def __len__(self) -> int:
        return len(self.names)

    def rows(self) -> list[tuple[str, tuple[int, ...], str, str]]:
        """One tuple `(name, shape, dtype, key generator)` an array."""
        return list(zip(self.names, self.shapes, self.dtypes, self.keys, strict=True))

    def to_json(self) -> list[dict]:
        """The table as plain data, without the structure."""
        return [{"name": n, "shape": list(s), "dtype": d, "key": k} for n, s, d, k in self.rows()]

    @classmethod
    def from_json(cls, rows: list[dict]) -> "Layout":
        """The table read back; `unflatten` is not possible then.

        Raises:
            DataError: a row is malformed.
        """
        try:
            return cls(
                [str(r["name"]) for r in rows],
                [tuple(int(i) for i in r["shape"]) for r in rows],
                [np.dtype(r["dtype"]).name for r in rows],
                [str(r["key"]) for r in rows],
                None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "A table of arrays is malformed.",
                got=repr(error),
                expected="rows with name, shape, dtype and key",
                try_="a copy of the run directory that is intact",
            ) from None

    def structs(self) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types for tracing."""
        return [jax.ShapeDtypeStruct(s, np.dtype(d)) for s, d in zip(self.shapes, self.dtypes, strict=True)]

    def unflatten(self, leaves: Sequence[Any]) -> PyTree:
        """The tree back from its plain arrays, key data wrapped to keys again."""
        if self.static is None:
            raise DataError(
                "The structure of this tree was not kept.",
                got="a layout read from a file",
                expected="a layout made from a tree",
                try_="resume(DIR, like=state)",
            )
        treedef, others = self.static
        arrays = iter(jax.random.wrap_key_data(x, impl=k) if k else x for x, k in zip(leaves, self.keys, strict=True))
        return jax.tree.unflatten(treedef, [next(arrays) if o is _ARRAY else o for o in others])

    def difference(self, other: "Layout") -> str:
        """A sentence on the first array in which two layouts differ."""
        for mine, yours in zip(self.rows(), other.rows(), strict=False):
            if mine != yours:
                return f"{mine[0]} is {mine[2]}{list(mine[1])}, {yours[0]} is {yours[2]}{list(yours[1])}"
        if len(self) != len(other):
            return f"{len(self)} arrays against {len(other)}"
        return "the parts that are no arrays differ"


class _Marker:
    """Stands for an array among the static leaves."""

    __slots__ = ()


_ARRAY = _Marker()


def flatten(tree: PyTree) -> tuple[list[jax.Array], Layout]:
    """Split a tree into plain arrays and the layout that puts them back.

    Args:
        tree: any tree; JAX and NumPy arrays and scalars are its arrays, typed keys too; all else is static, hashable.

    Returns:
        The arrays (key data for keys, no weak types), and the layout.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from drivers.io.layout import flatten
        >>> leaves, layout = flatten({"a": jnp.zeros(2), "key": jax.random.key(0), "n": 3})
        >>> layout.names, layout.unflatten(leaves)["n"]
        (('a', 'key'), 3)
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    leaves, names, keys, others = [], [], [], []
    for path, leaf in paths:
        if not _is_array(leaf):
            others.append(leaf)
            continue
        others.append(_ARRAY)
        names.append(jax.tree_util.keystr(path, simple=True, separator=".") or "value")
        keys.append(_key_name(leaf))
        plain = jax.random.key_data(leaf) if keys[-1] else jnp.asarray(leaf)
        traced = isinstance(plain, jax.core.Tracer)
        strong = jax.lax.convert_element_type if traced else lambda x, dtype: jax.device_put(np.asarray(x, dtype))
        leaves.append(strong(plain, plain.dtype) if plain.weak_type else plain)  # on the host nothing is compiled
    shapes, dtypes = [x.shape for x in leaves], [x.dtype.name for x in leaves]
    return leaves, Layout(names, shapes, dtypes, keys, (treedef, tuple(others)))


def names_of(tree: PyTree) -> list[str]:
    """Dotted names of all leaves of a tree, in the order of `jax.tree.leaves`.

    Raises:
        ShapeError: two leaves have one name.
    """
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    for name in names:
        if names.count(name) > 1:
            raise ShapeError(
                "Two entries of a step's info have one name.",
                got=name,
                expected="distinct dotted names",
                try_="names without dots",
            )
    return names


def nest(names: Sequence[str], values: Sequence[Any]) -> dict:
    """Dotted names and values as nested dictionaries.

    Example:
        >>> from drivers.io.layout import nest
        >>> nest(["energy.mean", "energy.error", "time"], [1.0, 0.1, 2.0])
        {'energy': {'mean': 1.0, 'error': 0.1}, 'time': 2.0}
    """
    out: dict = {}
    for name, value in zip(names, values, strict=True):
        *path, last = name.split(".")
        here = out
        for part in path:
            here = here.setdefault(part, {})
        here[last] = value
    return out


def unnest(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one dictionary with dotted names."""
    out = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out.update(unnest(value, f"{prefix}{name}."))
        else:
            out[f"{prefix}{name}"] = value
    return out
