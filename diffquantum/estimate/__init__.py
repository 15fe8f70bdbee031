"""Expected values and gradients from shots."""

from diffquantum.estimate.roulette import Roulette, tuned
from diffquantum.estimate.sampled import SampledExpectation, gradient, sampled, value

__all__ = ["Roulette", "SampledExpectation", "gradient", "sampled", "tuned", "value"]
