"""Natural gradient: stochastic reconfiguration over parameters or over samples, whichever is smaller."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ConfigError, SpaceError, unknown_name
from qml._core.precision import real_dtype
from qml._core.tree import realify
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.metric import residual
from qml.estimate.precondition import AbstractPreconditioner, Direction, check_noise, check_positive, said
from qml.estimate.samples import Samples
from qml.estimate.solve import Filter, invert, upper_gram
from qml.estimate.system import METHODS, Options, solve_system

_BLOCKS = (None, "layer", "leaf")
OVER_SAMPLES = ("minsr", "jacobian", "assembled", "streamed")


class SR(AbstractPreconditioner):
    r"""Stochastic reconfiguration: solves $S x = F$, regularised.

    With rows $\bar O$ and residuals $\epsilon$: $S = \bar O^T\bar O$, $F = \bar O^T\epsilon$. Solved over parameters,
    $x = (S + \lambda)^{-1} \bar O^T\epsilon$, or over samples, $x = \bar O^T (\bar O\bar O^T + \lambda)^{-1}\epsilon$:
    the same vector. The form is chosen by its cost (see `qml.estimate.forms`) and said in `Direction.form`: `dense`
    (the matrix $S$), `jacobian` (the kernel $\bar O\bar O^T$ from stored derivatives), `assembled` (the kernel from
    activations and cotangents of layers, $\bar O$ is never stored), `streamed` (the kernel from derivatives by some
    parameters at a time) or `cg` (products $S v$ alone). Solves are done in the widest real numbers JAX holds.

    Args:
        shift: $\lambda > 0$, added to the diagonal; the default is 1e-3.
        cutoff: instead of a shift, the relative eigenvalue below which modes are dropped smoothly:
            $1/l \to 1/\bigl(l\,(1 + (\mathrm{cutoff}\; l_{max}/l)^6)\bigr)$. For time evolution, 1e-8 or so.
        chunk: rows held at once while derivatives are taken; `None` takes as many as fit in 1 GiB.
        method: `"auto"`, the cheapest form that fits in memory; `"sr"` (over parameters) or `"minsr"` (over samples, in
            the cheapest form); or the name of a form.
        trust: longest $\sqrt{x^T S x}$, the Fubini-Study length of the direction; longer ones are scaled down.
        snr: modes whose force has a signal to noise $r$ below this are damped, by $1/(1 + (\mathrm{snr}/r)^6)$.
        blocks: `"layer"` solves for the parameters of each module by itself, `"leaf"` for each array; `None` for all.
        single: derivatives are taken in single precision; sums and solves stay wide.
        tolerance: of `cg`, the residual relative to the force; one not reached is said (`Direction.converged`).
        max_steps: of `cg`.

    Raises:
        ConfigError: both or no valid regularisation, an unknown method, or settings that exclude each other.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.estimate import SR
        >>> x = SR(shift=1.0).solve(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([2.0, 5.0]))
        >>> bool(jnp.allclose(x, jnp.array([1.0, 2.0])))
        True

    Source: Sorella, Phys. Rev. B 71, 241103 (2005); over samples: arXiv:2302.01941 and arXiv:2310.05715; cutoff and
    filter of noise: arXiv:2108.03409 and arXiv:2212.11289; blocks: arXiv:2211.07749.
    """

    shift: float | int | Float[Array, ""] | None
    cutoff: float | Float[Array, ""] | None
    trust: float | Float[Array, ""] | None
    snr: float | Float[Array, ""] | None
    tolerance: float | Float[Array, ""]
    chunk: int | None = eqx.field(static=True)
    method: str = eqx.field(static=True)
    blocks: str | None = eqx.field(static=True)
    single: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self,
        shift: float | int | Float[Array, ""] | None = None,
        cutoff: float | Float[Array, ""] | None = None,
        *,
        chunk: int | None = None,
        method: str = "auto",
        trust: float | int | Float[Array, ""] | None = None,
        snr: float | int | Float[Array, ""] | None = None,
        blocks: str | None = None,
        single: bool = False,
        tolerance: float | Float[Array, ""] = 1e-6,
        max_steps: int = 500,
    ):
        if shift is not None and cutoff is not None:
            raise ConfigError(
                "SR takes a shift or a cutoff, not both.",
                got=f"shift={shift}, cutoff={cutoff}",
                expected="one of them",
                try_="SR(shift=1e-3) for ground states, SR(cutoff=1e-8) for time evolution",
            )
        if method not in METHODS:
            unknown_name("method of SR", method, list(METHODS))
        if blocks not in _BLOCKS:
            unknown_name("blocks of SR", str(blocks), ["layer", "leaf"])
        shift = 1e-3 if shift is None and cutoff is None else shift
        check_positive("regularisation of SR", shift if cutoff is None else cutoff)
        for name, value in {"trust": trust, "snr": snr, "tolerance": tolerance, "max_steps": max_steps}.items():
            if value is not None:
                check_positive(f"{name} of SR", value)
        if method == "cg" and (cutoff is not None or snr is not None):
            raise ConfigError(
                "Conjugate gradients know no eigenvalues: they take a shift.",
                got=f"method='cg', cutoff={cutoff}, snr={snr}",
                expected="a shift alone",
                try_="SR(shift=1e-3, method='cg')",
            )
        self.shift, self.cutoff, self.chunk, self.method = shift, cutoff, chunk, method
        self.trust, self.snr, self.blocks, self.single = trust, snr, blocks, single
        self.tolerance, self.max_steps = tolerance, int(max_steps)

    @property
    def options(self) -> Options:
        """The same settings for `solve_system`."""
        rule = Filter(self.shift, self.cutoff, self.snr)
        return Options(rule, self.method, self.chunk, self.tolerance, self.max_steps, self.blocks, self.single)

    def solve(self, rows: Float[Array, "rows params"], right: Float[Array, " rows"]) -> Float[Array, " params"]:
        r"""The regularised solution of $\bar O x \approx \epsilon$, over samples or over parameters.

        Args:
            rows: $\bar O$, see `jacobian`.
            right: $\epsilon$, see `residual`.

        Returns:
            $x$, in the order of `tree.realify(params)`.
        """
        return _solve(self, rows, right)

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
            The direction, with the form that was taken and how well the system was solved.

        Raises:
            SpaceError: real time is asked of a real log psi, which has no phase to turn.
            ConfigError: noise is to be filtered in a full sum, or `method` names a form that this network has not.
        """
        if real_time and not ansatz.is_complex:
            raise SpaceError(
                "A real log psi cannot follow real time evolution: it has no phase.",
                got=f"{ansatz.name} with dtype {ansatz.dtype}",
                expected="a complex log psi",
                try_="RBM(hilbert, dtype=complex, rngs=nnx.Rngs(0))",
            )
        local = jnp.asarray(local)
        check_noise(self, samples)
        return said(_direction(self, ansatz, params, samples, -1j * local if real_time else local)[0])

    def init(self, params: Params) -> tuple[()]:
        """Nothing is remembered."""
        return ()

    def step(
        self,
        ansatz: Ansatz,
        params: Params,
        samples: Samples,
        local: Any,
        state: Any = (),
        *,
        added: Params | None = None,
    ) -> tuple[Direction, Any]:
        """See `AbstractPreconditioner.step`; the same as `direction`, of the force and what is `added` to it."""
        if added is None:
            return self.direction(ansatz, params, samples, local), state
        return said(_direction(self, ansatz, params, samples, jnp.asarray(local), added=added)[0]), state

    def with_shift(self, shift: Any) -> "SR":
        """See `AbstractPreconditioner.with_shift`."""
        if self.shift is None:
            super().with_shift(shift)
        return eqx.tree_at(lambda rule: rule.shift, self, shift)


@jax.jit
def _solve(rule: SR, rows: Array, right: Array) -> Array:
    rows, right, options = rows.astype(real_dtype()), right.astype(real_dtype()), rule.options
    if rule.method in OVER_SAMPLES or (rule.method not in ("sr", "dense") and rows.shape[0] < rows.shape[1]):
        return invert(lambda: upper_gram(rows), right, options.filter) @ rows
    return invert(lambda: upper_gram(rows.T), right @ rows, options.filter)


@jax.jit(static_argnums=1)
def _direction(
    rule: SR,
    ansatz: Ansatz,
    params: Params,
    samples: Samples,
    local: Array,
    start: Array | None = None,
    scale: Array | None = None,
    added: Params | None = None,
) -> tuple[Direction, Array]:
    r"""The direction and its vector before the trust region, from a start $\phi$ and with a scale $D^{-1}$."""
    wide = real_dtype()
    right = residual(ansatz, samples, local).astype(wide)
    further = None if added is None else realify(added)[0].astype(wide)
    found = solve_system(rule.options, ansatz, params, samples, right, start, scale, further)
    length = jnp.linalg.norm(found.moved)
    factor = 1.0 if rule.trust is None else jnp.minimum(1.0, rule.trust / jnp.where(length > 0, length, rule.trust))
    like, back = realify(params)
    limit = 10 * jnp.asarray(rule.tolerance, wide) if "cg" in found.form else jnp.inf
    return Direction(
        back((factor * found.x).astype(like.dtype)),
        jnp.sum((factor * found.moved) ** 2),
        jnp.sum(factor * found.moved * right),
        found.rest,
        found.steps,
        found.rest <= limit,
        found.form,
    ), found.x
