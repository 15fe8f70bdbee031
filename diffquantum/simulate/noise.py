r"""Noise after every gate: depolarising and amplitude damping, on each qubit the gate acts on."""

import dataclasses

import numpy as np

from diffquantum.simulate.gates import PAULI, transfer_of
from qml._core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Noise:
    r"""What happens to each qubit of a gate after the gate: $\mathcal{D}_p$, then $\mathcal{A}_\gamma$.

    $$\mathcal{D}_p(\rho) = (1 - p)\,\rho + \tfrac{p}{2}\,\mathrm{tr}(\rho)\,1, \qquad
    \mathcal{A}_\gamma(\rho) = K_0 \rho K_0^\dagger + K_1 \rho K_1^\dagger,\quad
    K_0 = \mathrm{diag}(1, \sqrt{1-\gamma}),\ K_1 = \sqrt\gamma\, |0\rangle\langle1|$$

    Args:
        depolarising: the probability $p$ in [0, 1] to forget the qubit.
        damping: the probability $\gamma$ in [0, 1] that |1> decays.

    Raises:
        ConfigError: a probability outside [0, 1].

    Example:
        >>> from diffquantum.simulate.noise import Noise
        >>> Noise(depolarising=0.1).transfer().diagonal().round(3).tolist()
        [1.0, 0.9, 0.9, 0.9]
    """

    depolarising: float = 0.0
    damping: float = 0.0

    def __post_init__(self):
        if not (0 <= self.depolarising <= 1 and 0 <= self.damping <= 1):
            raise ConfigError(
                "Noise is given by probabilities.",
                got=f"depolarising={self.depolarising}, damping={self.damping}",
                expected="numbers between 0 and 1",
                try_="Noise(depolarising=0.001)",
            )

    def kraus(self) -> list[np.ndarray]:
        """The Kraus operators of both together."""
        p, g = self.depolarising, self.damping
        first = [np.sqrt(w) * PAULI[a] for a, w in zip("IXYZ", (1 - 0.75 * p, p / 4, p / 4, p / 4))]
        second = [np.diag([1.0, np.sqrt(1 - g)]), np.array([[0.0, np.sqrt(g)], [0.0, 0.0]])]
        return [b @ a for a in first for b in second]

    def transfer(self) -> np.ndarray:
        """The transfer matrix on Pauli components."""
        return transfer_of(self.kraus())
