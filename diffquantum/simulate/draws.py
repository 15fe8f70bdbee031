"""Random numbers by counter, and the bases that shots of an observable choose from."""

import numpy as np

from qml._core.types import Array


def threefry(words: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Two random words for each counter (x, y): Threefry-2x32 with 20 rounds.

    Source: Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    schedule = (words[0], words[1], words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    x, y = x + schedule[0], y + schedule[1]
    for i in range(5):
        for shift in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x = x + y
            y = ((y << np.uint32(shift)) | (y >> np.uint32(32 - shift))) ^ x
        x, y = x + schedule[(i + 1) % 3], y + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


def commuting_groups(strings: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Pauli strings in groups whose members agree wherever both are not I, so that one basis measures a group."""
    groups: list[tuple[str, list[str]]] = []
    for s in dict.fromkeys(strings):
        for i, (basis, members) in enumerate(groups):
            if all("I" in (a, b) or a == b for a, b in zip(basis, s)):
                groups[i] = ("".join(b if a == "I" else a for a, b in zip(basis, s)), [*members, s])
                break
        else:
            groups.append((s, [s]))
    return tuple(tuple(members) for _, members in groups)
