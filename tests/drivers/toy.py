"""A toy driver: noisy gradient descent on a quadratic. Run as a script it fills a run directory, slowly if asked."""

import sys
import time

import jax
import jax.numpy as jnp

import drivers
from qml.estimate.stats import Stats


class Toy(drivers.AbstractDriver):
    """Descend to `target`; the gradient carries Gaussian noise."""

    target: jax.Array
    rate: float = 0.1
    poison: int = -1

    def init(self, thing, key):
        return {"x": thing, "key": jax.random.key(7) if key is None else key, "n": jnp.array(0)}

    def step(self, carry):
        key, sub = jax.random.split(carry["key"])
        noise = jax.random.normal(sub, (32,))
        n = carry["n"] + 1
        x = carry["x"] - self.rate * (carry["x"] - self.target + 0.01 * noise[0])
        x = jnp.where(n == self.poison, jnp.nan, x)
        matrix = jnp.eye(3) + x[:, None] * x[None, :]
        values = jnp.linalg.eigh(matrix)[0]
        return {"x": x, "key": key, "n": n}, {
            "energy": Stats.of(jnp.sum((x - self.target) ** 2) + 0.1 * noise),
            "spectrum": {"top": values[-1], "all": values},
        }

    def final(self, carry):
        return {"energy": Stats.exact(jnp.sum((carry["x"] - self.target) ** 2))}

    def finish(self, thing, carry):
        return carry["x"]


def toy(**settings) -> Toy:
    """The driver all tests use."""
    return Toy(jnp.array([1.0, 2.0, 3.0]), **settings)


def slowly(record) -> None:
    """A callback that leaves time to be killed."""
    print(record.step, flush=True)
    time.sleep(0.05)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    result = toy().run(jnp.zeros(3), steps=int(sys.argv[2]), out=sys.argv[1], callbacks=[slowly], checkpoint_every=4)
    print(result)
