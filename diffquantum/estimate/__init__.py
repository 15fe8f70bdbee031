"""Expected values and gradients from shots."""

from diffquantum.estimate.roulette import Roulette, tuned
from diffquantum.estimate.rules import ExitMean, FiniteDifference, Score
from diffquantum.estimate.sampled import Regenerative, SampledExpectation, gradient, sampled, value

__all__ = [
    "ExitMean", "FiniteDifference", "Regenerative", "Roulette", "SampledExpectation", "Score", "gradient", "sampled",
    "tuned", "value",
]  # fmt: skip
