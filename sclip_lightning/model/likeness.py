"""Names that a network cannot tell apart: which of two classes a pixel gets is then rounding noise."""

from collections.abc import Sequence

from sclip_lightning.model.sliding_window import SlidingWindowSegmentor

__all__ = ["SAME", "alike", "warning_of"]

#: Names whose embeddings have a larger cosine than this are one name to the network.
SAME = 0.9999
#: Most pairs that a warning names.
SHOWN = 3


def alike(segmentor: SlidingWindowSegmentor, synonyms: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Pairs of names of different classes whose embeddings are nearly equal.

    Args:
        segmentor: With an embedding for each name.
        synonyms: The names of each class, in its order.
    """
    words = [word for names in synonyms for word in names]
    near = (segmentor.queries @ segmentor.queries.T > SAME).triu(1)
    near &= segmentor.query_classes[:, None] != segmentor.query_classes
    return [(words[a], words[b]) for a, b in near.nonzero().tolist()]


def warning_of(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """What to say of such pairs, in one sentence; nothing without any."""
    if not pairs:
        return []
    named = "; ".join(f"{a} and {b}" for a, b in pairs[:SHOWN]) + ("; ..." if pairs[SHOWN:] else "")
    return [f"These names are the same to this CLIP, and which of two classes a pixel gets is chance: {named}."]
