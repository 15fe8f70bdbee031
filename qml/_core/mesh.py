"""Devices: samples are sharded over one mesh axis named `chains`, parameters are replicated."""

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qml._core.errors import ShapeError
from qml._core.types import PyTree

AXIS = "chains"


def chains_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all (or the first `devices`) devices along the axis `chains`.

    Raises:
        ShapeError: more devices are asked for than there are.
    """
    have = jax.devices()
    count = len(have) if devices is None else devices
    if not 1 <= count <= len(have):
        raise ShapeError(
            "There are not so many devices.",
            got=count,
            expected=f"1 to {len(have)}",
            try_="devices=None for all of them",
        )
    auto = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((count,), (AXIS,), devices=have[:count], axis_types=auto)


def shard_rows(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Place arrays with their leading axis split over the mesh; `None` leaves them alone.

    Raises:
        ShapeError: the leading axis does not divide over the devices.
    """
    if mesh is None:
        return tree
    size = mesh.shape[AXIS]
    for leaf in jax.tree.leaves(tree):
        if leaf.shape[0] % size:
            raise ShapeError(
                "The rows do not divide over the devices.",
                got=f"{leaf.shape[0]} rows on {size} devices",
                expected=f"a multiple of {size} rows",
                try_=f"{size * max(1, leaf.shape[0] // size)} rows",
            )
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))
