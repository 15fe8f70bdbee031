"""Natural gradient: stochastic reconfiguration over parameters or over samples, whichever is smaller."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ConfigError, SpaceError, unknown_name
from qml._core.precision import real_dtype
from qml._core.tree import realify
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.gradient import forces
from qml.estimate.kernel import kernel, structured_share
from qml.estimate.metric import jacobian, residual
from qml.estimate.precondition import AbstractPreconditioner, Direction
from qml.estimate.samples import Samples

_METHODS = ("auto", "sr", "minsr")


class SR(AbstractPreconditioner):
    r"""Stochastic reconfiguration: solves $S x = F$, regularised.

    With rows $\bar O$ and residuals $\epsilon$: $S = \bar O^T\bar O$, $F = \bar O^T\epsilon$. Solved over parameters,
    $x = (S + \lambda)^{-1} \bar O^T\epsilon$, or over samples, $x = \bar O^T (\bar O\bar O^T + \lambda)^{-1}\epsilon$:
    the same vector. Over samples, the kernel of a network whose weights mostly enter once is put together from
    activations and cotangents, and $\bar O$ is never stored. Solves are done in the widest real numbers JAX holds.

    Args:
        shift: $\lambda > 0$, added to the diagonal; the default is 1e-3.
        cutoff: instead of a shift, the relative eigenvalue below which modes are dropped smoothly:
            $1/l \to 1/\bigl(l\,(1 + (\mathrm{cutoff}\; l_{max}/l)^6)\bigr)$. For time evolution, 1e-8 or so.
        chunk: rows held at once while derivatives are taken; `None` takes as many as fit in 1 GiB.
        method: `"sr"` (over parameters), `"minsr"` (over samples), or `"auto"`, the smaller one.

    Raises:
        ConfigError: both or no valid regularisation, or an unknown method.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.estimate import SR
        >>> x = SR(shift=1.0).solve(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([2.0, 5.0]))
        >>> bool(jnp.allclose(x, jnp.array([1.0, 2.0])))
        True

    Source: Sorella, Phys. Rev. B 71, 241103 (2005); over samples: arXiv:2302.01941 and arXiv:2310.05715; cutoff:
    arXiv:2108.03409 and arXiv:2212.11289.
    """

    shift: float | int | Float[Array, ""] | None
    cutoff: float | Float[Array, ""] | None
    chunk: int | None = eqx.field(static=True)
    method: str = eqx.field(static=True)

    def __init__(
        self,
        shift: float | int | Float[Array, ""] | None = None,
        cutoff: float | Float[Array, ""] | None = None,
        *,
        chunk: int | None = None,
        method: str = "auto",
    ):
        if shift is not None and cutoff is not None:
            raise ConfigError(
                "SR takes a shift or a cutoff, not both.",
                got=f"shift={shift}, cutoff={cutoff}",
                expected="one of them",
                try_="SR(shift=1e-3) for ground states, SR(cutoff=1e-8) for time evolution",
            )
        if method not in _METHODS:
            unknown_name("method of SR", method, _METHODS)
        shift = 1e-3 if shift is None and cutoff is None else shift
        value = shift if cutoff is None else cutoff
        if not isinstance(value, jax.Array) and not (value is not None and 0 < value < float("inf")):
            raise ConfigError(
                "The regularisation of SR is a positive number.",
                got=value,
                expected="a float > 0",
                try_="SR(shift=1e-3)",
            )
        self.shift, self.cutoff, self.chunk, self.method = shift, cutoff, chunk, method

    def over_samples(self, rows: int, params: int) -> bool:
        """Whether the solve is over samples: as asked, or where there are fewer rows than parameters."""
        return self.method == "minsr" or (self.method == "auto" and rows < params)

    def solve(self, rows: Float[Array, "rows params"], right: Float[Array, " rows"]) -> Float[Array, " params"]:
        r"""The regularised solution of $\bar O x \approx \epsilon$.

        Args:
            rows: $\bar O$, see `jacobian`.
            right: $\epsilon$, see `residual`.

        Returns:
            $x$, in the order of `tree.realify(params)`.
        """
        rows, right = rows.astype(real_dtype()), right.astype(real_dtype())
        if self.over_samples(*rows.shape):
            return self._invert(lambda: _lower_gram(rows), right) @ rows
        return self._invert(lambda: _lower_gram(rows.T), right @ rows)

    def direction(
        self, ansatz: Ansatz, params: Params, samples: Samples, local: Any, *, real_time: bool = False
    ) -> Direction:
        r"""The step of the parameters that follows the energy gradient, or the Schroedinger equation.

        Args:
            ansatz: the wave function.
            params: its parameters.
            samples: weighted configurations.
            local: local energies `[samples]`.
            real_time: False: $(S+\lambda)x = \mathrm{Re}\langle\bar O(E_{loc}-\bar E)\rangle$, to be stepped as
                $\theta \leftarrow \theta - \eta x$ (imaginary time: $d\theta = -x\,d\tau$). True: $x = \dot\theta$ of
                $S\dot\theta = \mathrm{Re}\langle\bar O(-i)(E_{loc}-\bar E)\rangle$, to be stepped as $d\theta = x\,dt$.

        Returns:
            The direction.

        Raises:
            SpaceError: real time is asked of a real log psi, which has no phase to turn.
        """
        if real_time and not ansatz.is_complex:
            raise SpaceError(
                "A real log psi cannot follow real time evolution: it has no phase.",
                got=f"{ansatz.name} with dtype {ansatz.dtype}",
                expected="a complex log psi",
                try_="RBM(hilbert, dtype=complex, rngs=nnx.Rngs(0))",
            )
        local = jnp.asarray(local)
        return _direction(self, ansatz, params, samples, -1j * local if real_time else local)

    def init(self, params: Params) -> tuple[()]:
        """Nothing is remembered."""
        return ()

    def step(
        self, ansatz: Ansatz, params: Params, samples: Samples, local: Any, state: Any = ()
    ) -> tuple[Direction, Any]:
        """See `AbstractPreconditioner.step`; the same as `direction`."""
        return self.direction(ansatz, params, samples, local), state

    def _invert(self, make: Callable[[], Array], right: Array) -> Array:
        if self.cutoff is None:
            return _solve_shifted(make, right, jnp.asarray(self.shift, right.dtype))
        matrix = make()
        values, vectors = jnp.linalg.eigh(matrix, UPLO="L", symmetrize_input=False)
        relative = values / values[-1]
        safe = jnp.where(relative > 0, relative, 1.0)
        inverse = jnp.where(relative > 0, 1.0 / (safe * (1.0 + (self.cutoff / safe) ** 6)), 0.0)
        return vectors @ (jnp.where(values[-1] > 0, inverse / values[-1], 0.0) * (vectors.T @ right))


@jax.jit(static_argnums=1)
def _direction(rule: SR, ansatz: Ansatz, params: Params, samples: Samples, local: Array) -> Direction:
    right = residual(ansatz, samples, local).astype(real_dtype())
    if rule.over_samples(right.shape[0], realify(params)[0].shape[0]) and structured_share(ansatz, params) >= 0.5:
        return _through_kernel(rule, ansatz, params, samples, right)
    rows = jacobian(ansatz, params, samples, chunk=rule.chunk).astype(real_dtype())
    x = rule.solve(rows, right)
    moved = rows @ x
    return Direction(realify(params)[1](x), jnp.sum(moved**2), jnp.sum(moved * right))


def _through_kernel(rule: SR, ansatz: Ansatz, params: Params, samples: Samples, right: Array) -> Direction:
    r"""$x = \bar O^T y$ with $(T + \lambda)\,y = \epsilon$, from the kernel alone: no matrix of derivatives."""

    def matrix() -> Array:
        return kernel(ansatz, params, samples, chunk=rule.chunk)

    y = rule._invert(matrix, right)
    root = jnp.sqrt(samples.weights)
    parts = y.reshape(-1, root.shape[0]) / jnp.where(root > 0, root, 1.0)[None, :]  # forces() weights them again
    local = parts[0] + 1j * parts[1] if ansatz.is_complex else parts[0]
    x = forces(ansatz, params, samples, local, chunk=rule.chunk)
    moved = matrix() @ y
    return Direction(x, jnp.sum(moved**2), jnp.sum(moved * right))


def _lower_gram(rows: Array) -> Array:
    """Lower triangle of `rows @ rows.T`, without most of the upper one."""
    half = rows.shape[0] // 2
    top, bottom = rows[:half], rows[half:]
    corner = jnp.zeros((half, rows.shape[0] - half), rows.dtype)
    return jnp.block([[top @ top.T, corner], [bottom @ top.T, bottom @ bottom.T]])


def _solve_shifted(matrix: Callable[[], Array], right: Array, shift: Array) -> Array:
    """Cholesky solve of a positive matrix given by its lower triangle; by eigenvalues cut at zero where that fails.

    The matrix is made again where it fails, so that nothing is kept for a case that hardly ever happens.
    """
    made = matrix()
    factor = jnp.linalg.cholesky(made + shift * jnp.eye(made.shape[0], dtype=made.dtype), symmetrize_input=False)
    x = jax.scipy.linalg.cho_solve((factor, True), right)

    def by_eigenvalues() -> Array:
        again = matrix()

        def solve() -> Array:
            values, vectors = jnp.linalg.eigh(again, UPLO="L", symmetrize_input=False)
            return vectors @ ((vectors.T @ right) / (jnp.maximum(values, 0) + shift))

        return jax.lax.cond(jnp.all(jnp.isfinite(again)), solve, lambda: x)

    return jax.lax.cond(jnp.all(jnp.isfinite(x)), lambda: x, by_eigenvalues)
