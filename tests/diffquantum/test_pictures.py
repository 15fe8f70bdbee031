"""What the pictures show."""

import jax
import numpy as np
import pytest

import diffquantum
from diffquantum import pictures
from diffquantum.estimate import ExitMean, Roulette
from tests.diffquantum.cases import loop


def test_side_by_side(tmp_path):
    """Each line of both texts, the new ones in red; a file."""
    program = loop("T02_RusZ")
    slope = diffquantum.derivative(program, 1, Roulette((0.5,)))
    figure = pictures.side_by_side(program, slope, out=tmp_path / "folder" / "both.png")
    first, second = ({t.get_text(): t.get_color() for t in axis.texts} for axis in figure.axes)
    assert set(first) == set(program.to_qsharp().splitlines()) and set(first.values()) == {"black"}
    assert {line for line, color in second.items() if color == pictures.NEW} == set(second) - set(first)
    assert set(second) == set(slope.to_qsharp().splitlines())
    assert (tmp_path / "folder" / "both.png").stat().st_size > 10_000


@pytest.mark.slow
def test_occurrences():
    """Bars are shares of runs that get that far; curves are the laws."""
    law, shots = Roulette((0.5, 0.25)), 4_000
    settings = {"laws": {"law": law}, "shots": shots, "most": 12}
    (axis,) = pictures.occurrences(loop("T02_RusZ"), [1.0, 0.7], jax.random.key(0), "p", **settings).axes
    heights = np.array([bar.get_height() for bar in axis.patches])
    exact = np.cos(0.5) ** (2 * np.arange(1, 13))
    assert np.max(np.abs(heights - exact) / np.sqrt(exact * (1 - exact) / shots)) < 4.5
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [law.probability(k) for k in range(1, 13)])


@pytest.mark.slow
def test_errors():
    """One point a rule and number of shots, and the exact value."""
    rules = {"exits": ExitMean()}
    figure = pictures.errors(loop("T02_RusZ"), None, [1.0, 0.7], jax.random.key(0), "p", rules, shots=(2, 4))
    (axis,) = figure.axes
    (points,) = axis.containers
    np.testing.assert_allclose(points.lines[0].get_ydata(orig=False), 0.134674095, atol=1e-5)
    np.testing.assert_allclose(axis.lines[-1].get_ydata(orig=False), 0.134674095, atol=1e-8)
