"""Figures of a run: energy, observables, learned coefficients."""

import pathlib
from typing import Any

import numpy as np

from drivers.io.history import History
from qml._core.errors import DataError, need

INK, ACCENT, SOFT = "#1f2430", "#2f6fab", "#c8553d"
SIZE = (6.4, 4.0)


def _figure(title: str | None, x: str, y: str, *, size: tuple[float, float] = SIZE, lower: str | None = None) -> Any:
    """A figure in the style of all figures here: one panel, or with `lower` a second, smaller one below it."""
    need("matplotlib", "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if lower else 1, sharex=True, squeeze=False, height_ratios=[2, 1] if lower else [1])
    for axes, label in zip(panels[:, 0], (y, lower), strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#e6e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_ylabel(label)
    figure.axes[-1].set_xlabel(x)
    if title:
        figure.axes[0].set_title(title, loc="left", color=INK, fontsize=11)
    return figure


def _save(figure: Any, out: Any) -> Any:
    if out is not None:
        path = pathlib.Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure


def _abscissa(history: History) -> tuple[np.ndarray, str]:
    """Time where the run evolves, else the number of the step."""
    if "time" in history.names:
        return history["time"], r"time $t$ ($\hbar = 1$)"
    return history.steps, "step"


def _band(axes: Any, x: np.ndarray, value: np.ndarray, error: np.ndarray, color: str, label: str | None) -> None:
    """A line with a band of two standard errors."""
    axes.plot(x, value, color=color, linewidth=1.4, label=label)
    if np.any(error > 0):
        axes.fill_between(x, value - 2 * error, value + 2 * error, color=color, alpha=0.22, linewidth=0)


def energy(history: History, exact: Any = None, *, out: Any = None, title: str | None = None) -> Any:
    """The energy of a run with a band of two standard errors; with the exact one, its relative error below.

    Args:
        history: the record of a run.
        exact: the exact energy, if it is known.
        out: file to write, e.g. `DIR/plots/energy.png`.
        title: of the figure.

    Returns:
        A Matplotlib figure.

    Raises:
        DataError: the run recorded no energy.
        MissingExtraError: Matplotlib is not installed.

    Example:
        >>> import drivers
        >>> history = drivers.History([(i, {"energy.mean": -1.0 - 0.1 * i, "energy.error": 0.02}) for i in range(5)])
        >>> len(drivers.plot.energy(history, exact=-1.5).axes)
        2
    """
    name = next((n for n in ("energy", "objective", "loss") if n in history), "energy")
    value, error = np.real(history[name]), history.errors(name)
    x, label = _abscissa(history)
    below = None if exact is None else r"$|E-E_0|\,/\,|E_0|$"
    figure = _figure(title, label, f"{name} $E$" if name == "energy" else name, lower=below)
    axes = figure.axes[0]
    shown = slice(len(value) // 20 if exact is None else 0, None)  # the first steps would flatten all others
    _band(axes, x[shown], value[shown], error[shown], ACCENT, "run")
    if exact is not None:
        axes.axhline(exact, color=SOFT, linestyle="--", linewidth=1.2, label=f"exact {exact:.6g}")
        axes.legend(frameon=False)
        gap = np.abs(value - exact) / max(abs(exact), 1e-300)
        figure.axes[1].semilogy(x, np.maximum(gap, 1e-16), color=ACCENT, linewidth=1.1)
    return _save(figure, out)


def observable(
    history: History, name: str, exact: Any = None, *, out: Any = None, title: str | None = None, label: Any = None
) -> Any:
    """A recorded observable with a band of two standard errors.

    Args:
        history: the record of a run.
        name: column, the name given in `observe`.
        exact: exact values, one for each recorded step.
        out: file to write.
        title: of the figure.
        label: text of the vertical axis; `None` is the name.

    Returns:
        A Matplotlib figure.

    Raises:
        DataError: no such column, or `exact` has another length.

    Example:
        >>> import drivers
        >>> history = drivers.History([(i, {"time": 0.1 * i, "mx.mean": 1.0 - i, "mx.error": 0.1}) for i in range(3)])
        >>> drivers.plot.observable(history, "mx").axes[0].get_ylabel()
        'mx'
    """
    value, error = history[name], history.errors(name)
    if value.ndim != 1:
        raise DataError(
            "Only a scalar observable can be drawn as a line.",
            got=f"{name} of shape {value.shape[1:]}",
            expected="one number a step",
            try_="plotting history[name] yourself",
        )
    x, axis = _abscissa(history)
    figure = _figure(title, axis, name if label is None else label)
    axes = figure.axes[0]
    _band(axes, x, np.real(value), error, ACCENT, "run")
    if exact is not None:
        exact = np.asarray(exact)
        if exact.shape != value.shape:
            raise DataError(
                "There must be one exact value for each recorded step.",
                got=exact.shape,
                expected=value.shape,
                try_="exact values at history['time']",
            )
        axes.plot(x, exact.real, color=SOFT, linestyle="--", linewidth=1.2, label="exact")
        axes.legend(frameon=False)
    return _save(figure, out)


def coefficients(model: Any, exact: Any = None, *, out: Any = None, title: str | None = None) -> Any:
    """Couplings of a Gibbs model, or of a learned Hamiltonian, with bars of two standard errors.

    Args:
        model: a `PauliGibbs`, `TiedGibbs` or `VectorGibbs`, or what its `hamiltonian()` returns.
        exact: true values, in the order of the terms.
        out: file to write.
        title: of the figure.

    Returns:
        A Matplotlib figure.

    Example:
        >>> import jax.numpy as jnp, drivers, qml
        >>> model = qml.gibbs.PauliGibbs(("ZZ", "XI"), jnp.array([1.0, -0.5]))
        >>> len(drivers.plot.coefficients(model).axes)
        1
    """
    from qml.gibbs import LearnedHamiltonian

    learned = model if isinstance(model, LearnedHamiltonian) else model.hamiltonian()
    value, error = np.asarray(learned.coefficients.mean), np.asarray(learned.coefficients.error)
    names = [_term(word) for word in learned.terms]
    size = (max(SIZE[0], 0.16 * len(names) + 1.5), SIZE[1])
    figure = _figure(title, "term", r"coefficient $\theta_j$", size=size)
    axes = figure.axes[0]
    place = np.arange(len(names))
    known = np.where(np.isfinite(error), error, 0.0)
    axes.errorbar(
        place, value, yerr=2 * known, fmt="o", color=ACCENT, markersize=3.5, capsize=2, linewidth=1.0, label="found"
    )
    if exact is not None:
        axes.scatter(place, np.asarray(exact), marker="_", s=70, color=SOFT, zorder=3, label="true")
        axes.legend(frameon=False)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_xticks(place, names, rotation=90, fontsize=7)
    return _save(figure, out)


def _term(word: str) -> str:
    """`IXZ` as `X1 Z2`."""
    return " ".join(f"{letter}{site}" for site, letter in enumerate(word) if letter != "I")


def run_directory(folder: Any) -> list[pathlib.Path]:
    """Draw what a run directory recorded into its `plots/`: the energy, and every observable with error bars.

    Args:
        folder: a run directory.

    Returns:
        The files written.

    Raises:
        DataError: the folder is no run directory, or nothing was recorded.
    """
    from drivers.io.run_dir import RunDir

    place = RunDir.open(folder)
    history = place.history()
    written = []
    if any(name in history for name in ("energy", "objective", "loss")):
        energy(history, out=place.plots / "energy.png")
        written.append(place.plots / "energy.png")
    for name in history.names:
        stem = name.removesuffix(".mean")
        if stem != name and stem != "energy" and history[name].ndim == 1:
            observable(history, stem, out=place.plots / f"{stem}.png")
            written.append(place.plots / f"{stem}.png")
    if not written:
        raise DataError(
            "Nothing to draw was recorded.",
            got=f"columns {', '.join(history.names) or 'none'}",
            expected="an energy, an objective or observables",
            try_="running some steps first",
        )
    return written
