"""Words for what is none of the classes, chosen by how a CLIP embeds them: a background for classes of one's own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sclip_lightning.data.reading.words import SCENE_WORDS, read_words
from sclip_lightning.errors import ConfigError
from sclip_lightning.towers import Clip, build_text_bank
from sclip_lightning.windows import Texts

__all__ = ["NEAR", "NUMBER", "choose_words", "passed_over"]

#: How many words are taken.
NUMBER = 64
#: A word whose embedding has this cosine or more with that of a name would take the pixels of its class.
NEAR = 0.9


def choose_words(
    clip: Clip,
    synonyms: Sequence[Sequence[str]],
    templates: Sequence[str],
    device: torch.device | str,
    cache: Path | None,
    embed: Callable[[Callable[[], Texts]], Texts] = lambda make: make(),
) -> tuple[str, ...]:
    """The first words for scenes that are near no name of any class; the same for the same weights and names.

    Args:
        clip: The model.
        synonyms: The names of each class.
        templates: Prompt templates with one ``{}`` each.
        device: Where the text tower runs.
        cache: Folder for embeddings; None keeps none.
        embed: Calls what embeds names; several processes that are to have the same words call it in one of them.

    Returns:
        Up to 64 words, in the order of the list, which begins with common ones.

    Raises:
        ConfigError: All of them are near a name.
    """
    words = read_words(SCENE_WORDS)
    scenes = embed(lambda: build_text_bank(clip, [[word] for word in words], templates, device, cache))
    names = embed(lambda: build_text_bank(clip, synonyms, templates, device, cache))
    nearest = (scenes.queries @ names.queries.T).amax(dim=1).tolist()
    taken = {name.casefold() for one in synonyms for name in one}
    pairs = zip(words, nearest, strict=True)
    chosen = [word for word, cosine in pairs if cosine < NEAR and word.casefold() not in taken]
    if not chosen:
        msg = (
            f"To this CLIP all {len(words)} words for scenes are nearly the same as one of your classes (cosines of "
            f"{NEAR} or more), so that none is left for a background. Give words of yours instead: --background FILE."
        )
        raise ConfigError(msg)
    return tuple(chosen[:NUMBER])


def passed_over(chosen: Sequence[str]) -> list[str]:
    """Words that would have been chosen, were they not near a class."""
    words = read_words(SCENE_WORDS)
    return [word for word in words[: words.index(chosen[-1])] if word not in chosen]
