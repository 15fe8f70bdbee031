"""Functions of Hermitian matrices with safe derivatives, and BLAS held to one thread."""

from qml.linalg.products import gibbs_by_products, squarings_for
from qml.linalg.spectral import (
    expm_h,
    frechet,
    gibbs,
    log_partition,
    logm_h,
    spectral,
    sqrtm_h,
    trace_spectral,
)
from qml.linalg.threads import eigh, eigvalsh, jitted, one_thread

__all__ = [
    "eigh",
    "eigvalsh",
    "expm_h",
    "frechet",
    "gibbs",
    "gibbs_by_products",
    "jitted",
    "log_partition",
    "logm_h",
    "one_thread",
    "spectral",
    "sqrtm_h",
    "squarings_for",
    "trace_spectral",
]
