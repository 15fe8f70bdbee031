"""What networks on the patches of a lattice have in common: tokens embedded, blocks one after another, a head."""

from typing import Any

import numpy as np
from flax import nnx

from qml._core.types import Array
from qml.ansatz.combine import Combinable
from qml.ansatz.tokens import Tokens


class PatchNetwork(Combinable, nnx.Module):
    """Base of `ViT`, `ConvNeXt` and `ResConv`, which say what `embed`, `blocks` and `head` are."""

    tokens: Tokens
    embed: Any
    blocks: Any
    head: Any

    def check_space(self, hilbert: Any) -> None:
        """Raise if the configurations of a space are not those this network was made for.

        Raises:
            SpaceError: other sites or local states.
        """
        self.tokens.check_space(hilbert)

    def invariances(self) -> np.ndarray:
        """Permutations `[g, modes]` that leave every amplitude alone: translations by whole patches."""
        return self.tokens.translations

    def __call__(self, x: Array) -> Array:
        y = self.embed(self.tokens.embed(x, self.embed.kernel.dtype))
        for block in self.blocks:
            y = block(y)
        return self.head(y)
