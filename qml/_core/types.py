"""Array types used in public signatures.

One glossary of dimension names: `samples chains sites params terms qubits shots times`.
"""

from typing import Any

from jaxtyping import Array, Bool, Complex, Float, Inexact, Int, Key, PyTree, UInt

__all__ = [
    "Array",
    "Bool",
    "Complex",
    "Configurations",
    "Float",
    "Inexact",
    "Int",
    "Params",
    "PyTree",
    "RandomKey",
    "UInt",
]

RandomKey = Key[Array, ""]
Params = PyTree
Configurations = Any  # int8 [..., sites]; quantum numbers doubled: spin-1/2 is -1 or +1
