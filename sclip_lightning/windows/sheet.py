"""What a decoder makes of an image's windows, and what comparing that with the texts gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.windows.grid import WindowGrid
from sclip_lightning.windows.scene import Texts

__all__ = ["Sheet", "Tokens", "compare_with_texts"]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Dense features in the space of the text embeddings.

    Attributes:
        features: [W, r, c, E], not normalised; under autocast the dtype may be lower than float32.
        class_token: [W, E], what the same computation makes of the class token; None where a decoder has none.
        values: [W, r', c', E], the last block's values alone, brought into the same space; None unless asked for.
        embedding: [W, E], what CLIP with its own last block makes of each window as a whole; None where a decoder does
            not come by it.
        grid: Where the W windows lie; one window, the image itself, for a decoder that puts its windows together.
    """

    features: Tensor
    grid: WindowGrid
    class_token: Tensor | None = None
    values: Tensor | None = None
    embedding: Tensor | None = None

    @classmethod
    def join(cls, parts: Sequence["Tokens"]) -> "Tokens":
        """The tokens of chunks of windows, one after the other."""

        def joined(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        features = torch.cat([part.features for part in parts])
        return cls(features, parts[0].grid, joined("class_token"), joined("values"), joined("embedding"))


@dataclass(frozen=True, eq=False)
class Sheet:
    """Logits of all queries on the windows' cells: all windows side by side are one sheet.

    Attributes:
        logits: [W, r, c, Q] float32.
        grid: Where the W windows lie, or one window that is the image at any stated size.
        tokens: What the logits were made of; None once the sheet has left its grid, or where no step asks for them.
    """

    logits: Tensor
    grid: WindowGrid
    tokens: Tokens | None = None


def compare_with_texts(features: Tensor, texts: Texts) -> Tensor:
    """Cosines of features [..., E] with all queries; [..., Q] float32, whatever autocast says around it."""
    with torch.autocast(features.device.type, enabled=False):
        return F.normalize(features.float(), dim=-1) @ texts.queries.T
