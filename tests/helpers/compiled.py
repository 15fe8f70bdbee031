"""How often a function is traced: once where one compiled program serves all calls."""

from collections.abc import Callable
from typing import Any

import jax


class Counted:
    """A jitted function that counts how often it is traced.

    JAX's own count of compiled programs may be zero where its shared cache has been emptied in between.
    """

    def __init__(self, function: Callable[..., Any]):
        self.traces = 0

        def counting(*args: Any) -> Any:
            self.traces += 1
            return function(*args)

        self.jitted = jax.jit(counting)

    def __call__(self, *args: Any) -> Any:
        return self.jitted(*args)
