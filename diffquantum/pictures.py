"""Pictures: a program beside its derivative program, where shifts go in, and error bars against shots."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from diffquantum.estimate import Roulette, gradient
from diffquantum.estimate.sampled import Rule
from diffquantum.expectation import expectation
from diffquantum.ir import Program
from diffquantum.simulate.shots import sample
from diffquantum.transform.derivative import occurrence_program, parameter_number
from qml._core.errors import need
from qml._core.types import RandomKey

NEW, WIDTH, LINE = "tab:red", 0.076, 0.19  # color of what is new; inches a letter and a line take


def side_by_side(
    program: Program, other: Program, *, titles: tuple[str, str] = ("program", "derivative program"), out: Any = None
) -> Any:
    """The Q# texts of two programs beside each other; lines that only the second one has are red.

    Args:
        program: the program.
        other: another one, like `derivative(program, "phi")`.
        titles: what stands above them.
        out: a file to write; `None` is none.

    Returns:
        A matplotlib figure.

    Example:
        >>> import diffquantum
        >>> from diffquantum.pictures import side_by_side
        >>> turn = diffquantum.load("operation Turn(t : Double) : Result { use q = Qubit(); Ry(t, q); MResetZ(q) }")
        >>> len(side_by_side(turn, diffquantum.derivative(turn, "t")).axes)
        2
    """
    texts = [p.to_qsharp().splitlines() for p in (program, other)]
    rows = max(map(len, texts))
    widths = [max(map(len, text)) for text in texts]
    figure, axes = _figure(widths, WIDTH * sum(widths) + 0.4, LINE * rows + 0.5)
    for axis, text, title in zip(axes, texts, titles):
        axis.axis("off")
        axis.set_title(title, loc="left", fontsize=11)
        for i, line in enumerate(text):
            color = NEW if axis is axes[1] and line not in texts[0] else "black"
            settings: Any = {"family": "monospace", "fontsize": 8.5, "va": "top", "transform": axis.transAxes}
            axis.text(0, 1 - i / rows, line, color=color, **settings)
    return _saved(figure, out)


def occurrences(
    program: Program,
    theta: Any,
    key: RandomKey,
    parameter: int | str,
    laws: Mapping[str, Roulette] | None = None,
    *,
    shots: int = 10_000,
    most: int = 30,
    out: Any = None,
) -> Any:
    """How often a run meets occurrence k of a parameter, from shots, and with what chance laws put a shift there.

    Args:
        program: the program.
        theta: the parameters `[params]`.
        key: a typed key.
        parameter: a parameter.
        laws: laws with hazards by name, as `estimate.tuned` finds them; `None` is the one of `Roulette.mixture()`.
        shots: runs that are looked at.
        most: occurrences that are shown.
        out: a file to write; `None` is none.

    Returns:
        A matplotlib figure.
    """
    met = reached(program, theta, key, parameter, shots)
    laws = {"Roulette.mixture()": Roulette.mixture()} if laws is None else laws
    k = np.arange(1, most + 1)
    figure, (axis,) = _figure([1], 5.2, 3.6)
    axis.bar(k, [np.mean(met >= i) for i in k], color="lightgray", label=f"occurrence k happens, {shots} runs")
    for name, law in laws.items():
        axis.plot(k, [law.probability(int(i)) for i in k], "o-", markersize=3, label=f"shift at k: {name}")
    axis.set(xlabel="occurrence k", ylabel="probability", yscale="log", ylim=(0.3 / shots, 1.5))
    axis.legend(fontsize=8)
    return _saved(figure, out)


def reached(program: Program, theta: Any, key: RandomKey, parameter: int | str, shots: int) -> np.ndarray:
    """How many occurrences of a parameter each of some runs meets `[shots]`."""
    counting = occurrence_program(program, (parameter_number(program, parameter),))
    found = sample(counting, jax.numpy.asarray(theta, float), key, shots)
    return np.asarray(found.outputs[1])


def errors(
    program: Program,
    observable: Any,
    theta: Any,
    key: RandomKey,
    parameter: int | str,
    rules: Mapping[str, Rule],
    *,
    shots: Sequence[int] = (1_000, 4_000, 16_000),
    out: Any = None,
) -> Any:
    """A derivative with its error bar against the number of shots, for some estimators, and its exact value.

    Args:
        program: the program.
        observable: a `PauliSum` on the register, or `None` for a program that returns a number.
        theta: the parameters `[params]`.
        key: a typed key.
        parameter: a parameter.
        rules: estimators by name, like `{"Roulette()": Roulette(), "Score()": Score()}`.
        shots: the numbers of shots.
        out: a file to write; `None` is none.

    Returns:
        A matplotlib figure.
    """
    theta, number = jax.numpy.asarray(theta, float), parameter_number(program, parameter)
    figure, (axis,) = _figure([1], 5.2, 3.6)
    sizes = np.array(shots)
    for shift, (name, rule) in enumerate(rules.items()):
        keys = jax.random.split(jax.random.fold_in(key, shift), len(shots))
        found = [gradient(program, observable, theta, k, n, rule, (number,)) for k, n in zip(keys, shots, strict=True)]
        middles, bars = ([float(getattr(s, part)[0]) for s in found] for part in ("mean", "error"))
        axis.errorbar(sizes * 1.12**shift, middles, bars, fmt="o", capsize=3, markersize=4, label=name)
    slope = float(jax.grad(expectation(program, observable))(theta)[number])
    axis.axhline(slope, color="black", linewidth=0.8, label="exact")
    axis.set(xscale="log", xlabel="shots, pilot counted", ylabel=f"dE / d {program.parameters[number]}")
    axis.legend(fontsize=8)
    return _saved(figure, out)


def _figure(widths: Sequence[int], width: float, height: float) -> tuple[Any, Any]:
    """A figure with panels beside each other, that no window shows."""
    need("matplotlib", "plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, len(widths), width_ratios=list(widths), squeeze=False)[0]


def _saved(figure: Any, out: Any) -> Any:
    if out is not None:
        path = pathlib.Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure
