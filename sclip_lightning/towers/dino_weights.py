"""Loading networks of the DINO family: by timm's name, from a folder, or the demo's own."""

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO, DEMO_FEATURES
from sclip_lightning.towers.checkpoints import check_finite, fit, read_state_dict
from sclip_lightning.towers.dino import FeatureTower

__all__ = ["PUBLISHED", "load_features", "repository_of"]

#: Name that stands for the weights that timm's own repository on the Hugging Face Hub has for a network.
PUBLISHED = "published"
#: The files in such a repository, and in a network's folder: tensors and nothing that could be run, and what they fit.
_FILE, _CONFIG = "model.safetensors", "config.json"
#: How a folder is named, as for CLIP.
_FOLDER = "local-dir:"
#: Names of networks that are of this family and a transformer.
_FAMILY = "vit_*dino*"


def load_features(architecture: str, weights: str | None = PUBLISHED) -> FeatureTower:
    """Load a network of the DINO family, on the CPU.

    Args:
        architecture: timm's name for it, such as ``vit_base_patch8_224.dino``; ``local-dir:FOLDER`` with timm's
            ``config.json`` inside, as repositories on the Hugging Face Hub have it; or ``demo`` for the small network
            that comes with the package.
        weights: ``published`` for those on the Hugging Face Hub or in its local cache, the path of a checkpoint with
            timm's names, which for DINO are the authors' own (a state dict of ``torch.save`` or safetensors), or None
            for random weights. With ``local-dir:`` and ``demo``, both ``published`` and ``demo`` stand for the
            ``model.safetensors`` in that folder.

    Raises:
        CheckpointError: timm has no such network, the folder has none, or weights are not found, cannot be read, do
            not fit or hold values that are not finite.
    """
    source = f"{_FOLDER}{DEMO_FEATURES}" if architecture == DEMO else architecture
    if source.startswith(_FOLDER):
        return _load_from(Path(source.removeprefix(_FOLDER)).expanduser(), architecture, weights)
    _check_name(architecture)
    path = None if weights is None else _find(architecture, weights)  # before the network is made, which takes seconds
    network = _create(architecture, {})
    if path is None:
        return _untrained(network, architecture)
    return _loaded(network, architecture, path, PUBLISHED if weights == PUBLISHED else path.name)


def _untrained(network: nn.Module, architecture: str) -> FeatureTower:
    return FeatureTower(network, architecture, "untrained (random)")


def _loaded(network: nn.Module, architecture: str, path: Path, description: str) -> FeatureTower:
    fit(network, read_state_dict(path), path, "network")
    check_finite(network, description)
    return FeatureTower(network, architecture, description)


def _load_from(folder: Path, architecture: str, weights: str | None) -> FeatureTower:
    """Load the network that a folder describes.

    What the configuration says beyond the shapes of the weights, such as the number of heads, changes features, too:
    its checksum becomes part of the description.
    """
    name, options = _read_config(folder)
    path = None
    if weights in (PUBLISHED, DEMO):
        path = folder / _FILE
        if not path.is_file():
            msg = (
                f"There are no weights in the folder {folder}: expected {_FILE} beside {_CONFIG}. Put it there, give "
                "the path of a checkpoint as weights, or null for random weights."
            )
            raise CheckpointError(msg)
    elif weights is not None:
        path = _find(architecture, weights)
    try:
        network = _create(name, options)
    except Exception as error:  # whatever timm's constructors raise where options do not fit
        msg = (
            f"timm cannot make the network that {folder / _CONFIG} describes: {name} with model_args {options} "
            f"({type(error).__name__}: {_one_line(error)}). Copy the file again from where the weights come from."
        )
        raise CheckpointError(msg) from error
    _check_kind(network, name, folder)
    if path is None:
        return _untrained(network, architecture)
    checksum = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode()).hexdigest()[:12]
    return _loaded(network, architecture, path, f"{path.name} with {_CONFIG} {checksum}")


def _read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """The name of a network and its options, as timm writes them."""
    import timm

    path = folder / _CONFIG
    what = f"Expected a folder with {_CONFIG}, as timm writes it, and {_FILE}."
    if not path.is_file():
        missing = f"has no {_CONFIG}" if folder.is_dir() else "is no folder"
        msg = f"The network's folder {folder} {missing}. {what}"
        raise CheckpointError(msg)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        name, options = config["architecture"], config.get("model_args") or {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} describes no network ({type(error).__name__}: {_one_line(error)}). {what}"
        raise CheckpointError(msg) from error
    if not (isinstance(name, str) and isinstance(options, dict) and timm.is_model(name)):
        msg = f"{path} describes no network that timm {timm.__version__} has, but {name!r}. {what}"
        raise CheckpointError(msg)
    return name, options


def _create(name: str, options: dict[str, Any]) -> nn.Module:
    import timm

    fixed = {"pretrained": False, "num_classes": 0, "dynamic_img_size": True}
    return timm.create_model(name, **(options | fixed))


def _check_kind(network: nn.Module, name: str, folder: Path) -> None:
    """Refuse what is no plain vision transformer whose last norm comes after each patch."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(network, (Eva, VisionTransformer)) or isinstance(network.norm, nn.Identity):
        msg = (
            f"{name}, which {folder / _CONFIG} describes, has no features of patches after its last norm, as "
            "networks of the DINO family have. Choose another network."
        )
        raise CheckpointError(msg)


def _check_name(architecture: str) -> None:
    import timm

    known = sorted({*timm.list_models(_FAMILY), *timm.list_models(_FAMILY, pretrained=True)})
    if architecture not in known:
        near = get_close_matches(architecture, known, cutoff=0.3) or known
        msg = (
            f"timm {timm.__version__} has no network {architecture!r} of the DINO family. Set network to one it has, "
            f"such as {' or '.join(near)}, to {_FOLDER}FOLDER, or to {DEMO}."
        )
        raise CheckpointError(msg)


def _find(architecture: str, weights: str) -> Path:
    path = _download(architecture) if weights == PUBLISHED else Path(weights).expanduser()
    if not path.is_file():
        msg = (
            f"The weights {weights!r} of {architecture} are no file. Give the path of a checkpoint, {PUBLISHED} for "
            "those on the Hugging Face Hub, or null for random weights."
        )
        raise CheckpointError(msg)
    return path


def repository_of(architecture: str) -> str:
    """The repository on the Hugging Face Hub that has the published weights of one of timm's networks.

    Raises:
        CheckpointError: timm has no such network of this family, or knows of no weights for it.
    """
    import timm

    _check_name(architecture)
    published = timm.get_pretrained_cfg(architecture)
    repository = published.hf_hub_id if published else None
    if not repository:
        msg = f"timm knows of no published weights for {architecture}. Name a checkpoint, or give null for random ones."
        raise CheckpointError(msg)
    return str(repository)


def _download(architecture: str) -> Path:
    from huggingface_hub import hf_hub_download

    repository = repository_of(architecture)
    try:
        return Path(hf_hub_download(repository, _FILE))
    except Exception as error:  # offline errors come from whichever HTTP library the client is built on
        msg = (
            f"The weights of {architecture} could not be fetched from the Hugging Face Hub and are not in the local "
            f"cache ({type(error).__name__}: {_one_line(error)}). On a machine with network, download "
            f"{_FILE} from https://huggingface.co/{repository}, put it anywhere on this one, and name it as weights."
        )
        raise CheckpointError(msg) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
