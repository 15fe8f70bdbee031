"""Functions of Hermitian matrices with safe derivatives."""

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

__all__ = ["expm_h", "frechet", "gibbs", "log_partition", "logm_h", "spectral", "sqrtm_h", "trace_spectral"]
