"""Search for subgroups, given how to close a set under products."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

Elements = tuple[int, ...]
Closure = Callable[[Int[np.ndarray, " k"]], Int[np.ndarray, " h"]]


def prime_factors(n: int) -> list[int]:
    """The primes that divide a number."""
    return [k for k in range(2, n + 1) if n % k == 0 and all(k % j for j in range(2, k))]


def normal_subgroups(classes: tuple[Elements, ...], generated_by: Closure) -> tuple[Elements, ...]:
    """All normal subgroups: those that single conjugacy classes generate, and what these generate together."""

    def closed(elements: Elements) -> Elements:
        return tuple(generated_by(np.array(elements)).tolist())

    closures = {closed(members) for members in classes}
    found, frontier = set(closures), closures
    while frontier:
        joins = {tuple(sorted({*one, *two})) for one in frontier for two in closures}
        frontier = {closed(join) for join in joins} - found
        found |= frontier
    return tuple(sorted(found, key=lambda members: (len(members), members)))


def subgroups(orders: Int[np.ndarray, " g"], generated_by: Closure, conjugates: Callable) -> tuple[Elements, ...]:
    """One subgroup of each conjugacy class: every one is a smaller one and an element of prime power order.

    Args:
        orders: `[g]`, orders of the elements.
        generated_by: what some elements generate.
        conjugates: the images `[g, h]` of a set of elements under conjugation by all.
    """
    steps = [g for g, order in enumerate(orders.tolist()) if len(prime_factors(order)) == 1]
    first = (int(np.argmin(orders)),)
    found, stack = {first}, [first]
    while stack:
        smaller = stack.pop()
        for g in set(steps).difference(smaller):
            images = np.sort(conjugates(generated_by(np.array([*smaller, g]))), axis=1)
            key = tuple(images[np.lexsort(images.T[::-1])[0]].tolist())
            if key not in found:
                found.add(key)
                stack.append(key)
    return tuple(sorted(found, key=lambda members: (len(members), members)))
