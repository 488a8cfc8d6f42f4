"""Which weights would have to be fetched before a network can be loaded: looked up in caches, nothing is fetched."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO
from sclip_lightning.towers import lazy_open_clip as open_clip
from sclip_lightning.towers.checkpoints import check_known
from sclip_lightning.towers.dino_weights import PUBLISHED, repository_of

__all__ = ["clip_source", "features_source"]

#: Under what names open_clip looks for a repository's weights, and its folder for what no repository has.
_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_CACHE = "~/.cache/clip"
_HUB = "https://huggingface.co"


def clip_source(architecture: str, weights: str | None) -> str | None:
    """The address that CLIP's weights would come from; None where they are on this machine, or none are needed.

    Args:
        architecture: As for :func:`~sclip_lightning.towers.load_clip`.
        weights: Likewise.

    Raises:
        CheckpointError: open_clip has no such model or weights.
    """
    local = architecture == DEMO or architecture.startswith("local-dir:")
    if weights is None or local or Path(weights).expanduser().is_file():
        return None
    check_known(architecture, weights)
    source = open_clip.get_pretrained_cfg(architecture, weights)
    if hub := source.get("hf_hub"):
        repository, _, name = hub.rpartition("/")
        names = [name] if name else _FILES
        return None if any(_is_cached(repository, one) for one in names) else f"{_HUB}/{repository}"
    url = str(source["url"])
    return None if (Path(_CACHE).expanduser() / url.rpartition("/")[2]).is_file() else url


def features_source(architecture: str, weights: str | None) -> str | None:
    """The same for a network of the DINO family; arguments as for :func:`~sclip_lightning.towers.load_features`.

    Raises:
        CheckpointError: timm has no such network, or the weights are no file.
    """
    if weights not in (None, DEMO, PUBLISHED) and not Path(weights).expanduser().is_file():
        raise CheckpointError(f"The weights {weights!r} of {architecture} are no file. Name a file that is there.")
    if weights != PUBLISHED or architecture == DEMO or architecture.startswith("local-dir:"):
        return None
    repository = repository_of(architecture)
    return None if _is_cached(repository, "model.safetensors") else f"{_HUB}/{repository}"


def _is_cached(repository: str, name: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, name), str)
