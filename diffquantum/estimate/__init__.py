"""Expected values and gradients from shots."""

from diffquantum.estimate.roulette import Roulette, tuned
from diffquantum.estimate.rules import ExitMean, Score
from diffquantum.estimate.sampled import SampledExpectation, gradient, sampled, value

__all__ = ["ExitMean", "Roulette", "SampledExpectation", "Score", "gradient", "sampled", "tuned", "value"]
