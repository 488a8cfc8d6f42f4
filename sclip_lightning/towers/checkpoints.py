"""Loading CLIP: any open_clip ViT, with published weights, a local checkpoint, or none."""

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO, DEMO_NETWORKS

__all__ = ["Clip", "fingerprint", "load_clip"]

#: Entries of OpenAI's archives that describe the model and are no parameters.
_METADATA = {"input_resolution", "context_length", "vocab_size"}


@dataclass
class Clip:
    """A CLIP model, its tokenizer and where its weights come from.

    Attributes:
        model: open_clip model in eval mode, float32, loaded on the CPU.
        tokenizer: Maps a list of strings to [N, context] int64 tokens.
        architecture: open_clip's model name.
        weights: What was loaded, in words for a report.
        fingerprint: SHA-256 of all parameters and buffers, hexadecimal.
    """

    model: Any
    tokenizer: Callable[[list[str]], Tensor]
    architecture: str
    weights: str
    fingerprint: str


def load_clip(architecture: str = "ViT-B-16-quickgelu", weights: str | None = "openai") -> Clip:
    """Load a CLIP model.

    Args:
        architecture: An open_clip model name, ``local-dir:FOLDER`` with an ``open_clip_config.json`` inside, or
            ``demo`` for the small model that comes with the package.
        weights: One of open_clip's tags for that model (downloaded into its cache), the path of a checkpoint file (a
            state dict of open_clip or OpenAI, plain, safetensors or as TorchScript archive), or None for random
            weights. With ``local-dir:`` and ``demo`` any tag stands for the checkpoint in that folder.

    Raises:
        CheckpointError: Unknown model or tag, no network, unreadable file, weights that do not fit the model or hold
            values that are not finite.
    """
    tag = weights if weights is not None and not Path(weights).expanduser().is_file() else None
    source = f"local-dir:{DEMO_NETWORKS}" if architecture == DEMO else architecture
    model = _create(source, tag)
    if weights is None:
        description = "untrained (random)"
    elif tag is None:
        path = Path(weights).expanduser()
        _fit(model, _read_state_dict(path), path)
        description = path.name
    else:
        description = "those in the folder" if source.startswith("local-dir:") else tag
    _check_finite(model, description)
    model.eval().requires_grad_(False)
    tokenizer = open_clip.get_tokenizer(source)
    return Clip(model, tokenizer, architecture, description, fingerprint(model))


def _create(architecture: str, tag: str | None) -> nn.Module:
    """Build the model and, where a tag is given, let open_clip fetch and load its weights."""
    folder = architecture.removeprefix("local-dir:") if architecture.startswith("local-dir:") else None
    if folder is None and architecture not in open_clip.list_models():
        near = get_close_matches(architecture, open_clip.list_models(), cutoff=0.3)
        msg = f"open_clip has no model {architecture!r}. Set --model.architecture to one it has, such as {near}."
        raise CheckpointError(msg)
    tags = open_clip.list_pretrained_tags_by_model(architecture) if folder is None else []
    if folder is None and tag is not None and tag not in tags:
        msg = (
            f"Weights {tag!r} are neither a file nor a tag that open_clip knows for {architecture}. Set "
            f"--model.weights to the path of a checkpoint, to one of {tags}, or to null for random weights."
        )
        raise CheckpointError(msg)
    try:
        with _quiet():
            return open_clip.create_model(
                architecture,
                pretrained=None if folder else tag,
                load_weights=tag is not None,
                require_pretrained=tag is not None,
            )
    except (OSError, RuntimeError, ValueError) as error:
        if folder is not None:
            msg = f"No CLIP model could be loaded from the folder {folder}: {error}"
        else:
            msg = (
                f"The weights {tag!r} of {architecture} could not be fetched or loaded ({_first_line(error)}). Without "
                'a network, fetch the checkpoint on a machine that has one (python -c "import open_clip; '
                f"open_clip.create_model('{architecture}', pretrained='{tag}')\"), copy the file here and name it with "
                "--model.weights FILE."
            )
        raise CheckpointError(msg) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log lines of the libraries underneath: whatever matters in them comes back in an error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read any of the checkpoint formats into plain parameter names."""
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        elif _is_torchscript(path):
            with warnings.catch_warnings():  # deprecated for new files, but the archives are what they are
                warnings.simplefilter("ignore", FutureWarning)
                content = torch.jit.load(path, map_location="cpu").state_dict()
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError, SafetensorError) as error:
        msg = (
            f"The checkpoint {path} cannot be read ({_first_line(error)}). Expected a state dict of torch.save, "
            "a safetensors file or a TorchScript archive; is the file complete?"
        )
        raise CheckpointError(msg) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        msg = f"The checkpoint {path} holds no state dict of tensors but {type(content).__name__}; CLIP needs one."
        raise CheckpointError(msg)
    return {name.removeprefix("module."): value for name, value in content.items()}


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _fit(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load ``state`` into ``model``, or say what does not fit."""
    if state.keys() >= _METADATA and not any(isinstance(module, QuickGELU) for module in model.modules()):
        msg = (
            f"The checkpoint {path} is an archive of OpenAI's, trained with QuickGELU, but the model uses another "
            "activation and would be quietly wrong. Set --model.architecture to its -quickgelu variant, for example "
            "ViT-B-16-quickgelu."
        )
        raise CheckpointError(msg)
    state = {name: value for name, value in state.items() if name not in _METADATA}
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the model needs {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if missing or unexpected or shapes:
        problems = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", sorted(shapes)))
            if names
        ]
        msg = (
            f"The checkpoint {path} does not fit the model; parameters: {'; '.join(problems)}. Set "
            "--model.architecture to the model that these weights were saved from."
        )
        raise CheckpointError(msg)
    model.load_state_dict(state)


def _check_finite(model: nn.Module, description: str) -> None:
    bad = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if bad:
        msg = (
            f"The weights {description!r} hold NaN or infinite values in {len(bad)} parameters ({', '.join(bad[:3])}"
            f"{', ...' if len(bad) > 3 else ''}); every score would be NaN. Fetch or save the checkpoint again."
        )
        raise CheckpointError(msg)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers, hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
