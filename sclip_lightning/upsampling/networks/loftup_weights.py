"""LoftUp's published weights: where they come from, and the three layouts they are found in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO, DEMO_NETWORKS
from sclip_lightning.upsampling.networks.loftup import LoftUpNetwork
from sclip_lightning.upsampling.networks.released import misfits

__all__ = ["PUBLISHED", "HubFile", "find_weights", "load_loftup"]

_CHANNELNORM = "channelnorm.norm."
_LIGHTNING_CHANNELNORM = "model.1.norm."  # in the authors' training module, model is (backbone, ChannelNorm)


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face Hub.

    Attributes:
        repo: Repository.
        file: File in it: a pickle of tensors or safetensors.
        revision: Branch, tag or commit; None for the default branch.
    """

    repo: str = "haiwen/loftup-clip"
    file: str = "pytorch_model.bin"
    revision: str | None = None


#: The authors' weights for the patch tokens of OpenAI's CLIP ViT-B/16.
PUBLISHED = HubFile()


def find_weights(name: str) -> HubFile | Path:
    """Read an option: a local file, ``owner/repository/file`` on the Hub where there is no such file, or ``demo``.

    A file on the Hub may be changed by its owner at any time; ``owner/repository/file@commit`` is always the same one.
    """
    if name == DEMO:
        return DEMO_NETWORKS / "loftup.safetensors"
    path = Path(name).expanduser()
    parts = name.split("/")
    if path.is_file() or len(parts) < 3 or path.is_absolute() or name.startswith((".", "~")):
        return path
    file, _, revision = "/".join(parts[2:]).partition("@")
    return HubFile("/".join(parts[:2]), file, revision or None)


def load_loftup(weights: HubFile | str | Path | None = PUBLISHED, dim: int = 512) -> LoftUpNetwork:
    """Build LoftUp and load its weights, all of them or none.

    Three layouts are recognised: the authors' ``pytorch_model.bin`` (keys ``upsampler.*`` and ``channelnorm.norm.*``);
    their Lightning checkpoints (the same below ``state_dict``, the ChannelNorm as ``model.1.norm.*``, the backbone's
    keys ignored); and the mixin's export (keys without a prefix), which lacks the ChannelNorm and is refused.

    Args:
        weights: A file on the Hub (or in its local cache), also as ``owner/repository/file``, a local file, ``demo``
            for the small network that comes with the package, or None for random weights, which are of use in tests
            only.
        dim: Channels of the backbone's features: 512 for CLIP ViT-B/16 after the projection.

    Returns:
        The network in eval mode on the CPU; its parameters take no gradients.

    Raises:
        CheckpointError: The file is not found, cannot be read, is in none of the layouts, lacks the ChannelNorm, does
            not fit by name or shape, or holds a value that is not finite.
    """
    network = LoftUpNetwork(dim).requires_grad_(False)
    if weights is not None:
        source = find_weights(weights) if isinstance(weights, str) else weights
        path = _download(source) if isinstance(source, HubFile) else source
        state = _published_names(_read(path), path)
        _check(state, network.state_dict(), path)
        network.load_state_dict(state)
    return network


def _download(source: HubFile) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source.repo, source.file, revision=source.revision))
    except Exception as error:  # offline errors come from whichever HTTP library the client is built on
        raise CheckpointError(
            f"LoftUp weights: cannot fetch {source.file} of {source.repo} from the Hugging Face Hub, and it is not in "
            f"the local cache ({type(error).__name__}: {_one_line(error)}). On a machine with network, download "
            f"https://huggingface.co/{source.repo}/resolve/{source.revision or 'main'}/{source.file}, put it anywhere "
            f"on this machine, and name it with --model.upsampler.weights."
        ) from error


def _read(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(
            f"LoftUp weights: {path} does not exist or is not a file. Expected {PUBLISHED.file} from "
            f"https://huggingface.co/{PUBLISHED.repo}; download it there or correct the path."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise nearly anything from inside the readers
        raise CheckpointError(
            f"LoftUp weights: {path} cannot be read as tensors ({type(error).__name__}: {_one_line(error)}). Nothing "
            f"but tensors is unpickled, for safety: download the file again, or save its state_dict alone."
        ) from error


def _published_names(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors of any layout under the names of the first; refuses the one that lacks the ChannelNorm."""
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(x, Tensor) for x in tensors.values()):
        raise CheckpointError(
            f"LoftUp weights: {path} holds no state dict. Expected a mapping from names such as "
            f"upsampler.first_conv.1.weight to tensors, by itself or under the key state_dict."
        )
    state = {str(name): tensor for name, tensor in tensors.items()}
    if f"{_LIGHTNING_CHANNELNORM}weight" in state:
        state = {name.replace(_LIGHTNING_CHANNELNORM, _CHANNELNORM): tensor for name, tensor in state.items()}
        state = {name: tensor for name, tensor in state.items() if name.startswith(("upsampler.", _CHANNELNORM))}
    if f"{_CHANNELNORM}weight" not in state and any(name.endswith("first_conv.1.weight") for name in state):
        raise CheckpointError(
            f"LoftUp weights: {path} has the upsampler but not the ChannelNorm in front of it ({_CHANNELNORM}weight "
            f"and .bias are missing), and without it the output is wrong. Exports such as model.safetensors are made "
            f"without it; use {PUBLISHED.file} from https://huggingface.co/{PUBLISHED.repo}, which has both."
        )
    return state


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    if problems := misfits(state, expected):
        raise CheckpointError(
            f"LoftUp weights: {path} does not fit LoftUp for {len(expected['channelnorm.norm.weight'])} channels: "
            f"{problems}. Use {PUBLISHED.file} from "
            f"https://huggingface.co/{PUBLISHED.repo}, or weights that were trained on the same features."
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
