"""Loading CLIP: any open_clip ViT, with published weights, a local checkpoint, or none."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sclip_lightning.errors import CheckpointError
from sclip_lightning.files import DEMO, DEMO_NETWORKS
from sclip_lightning.towers import lazy_open_clip as open_clip
from sclip_lightning.towers.archives import is_archive, note_if_unknown, read_archive
from sclip_lightning.towers.fitting import check_fits
from sclip_lightning.towers.huggingface import (
    converted,
    is_transformers_folder,
    is_transformers_state,
    read_configuration,
    shards_of,
)

__all__ = ["Clip", "check_finite", "check_known", "fingerprint", "fit", "load_clip", "read_state_dict"]

#: Entries of OpenAI's archives that describe the model and are no parameters.
_METADATA = {"input_resolution", "context_length", "vocab_size"}

#: Any model with CLIP's own tokenizer.
_ANY = "ViT-B-32"

#: What the checkpoint in a model's folder may be called, first choice first.
_CHECKPOINTS = [
    f"{stem}{suffix}"
    for suffix in (".safetensors", ".bin", ".pth", ".pt")
    for stem in ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")
]


@dataclass
class Clip:
    """A CLIP model, its tokenizer and where its weights come from.

    Attributes:
        model: open_clip model in eval mode, float32, loaded on the CPU.
        tokenizer: Maps a list of strings to [N, context] int64 tokens.
        architecture: open_clip's model name.
        weights: What was loaded, in words for a report.
        fingerprint: SHA-256 of all parameters and buffers, hexadecimal.
        configuration: open_clip's configuration of the model, as JSON: what parameters do not say, such as which
            activation lies between them.
    """

    model: Any
    tokenizer: Callable[[list[str]], Tensor]
    architecture: str
    weights: str
    fingerprint: str
    configuration: str

    @property
    def configuration_sha256(self) -> str:
        """SHA-256 of ``configuration``, hexadecimal."""
        return hashlib.sha256(self.configuration.encode()).hexdigest()

    @property
    def text_width(self) -> int:
        """E, channels of the space of the text embeddings."""
        return int(self.model.visual.proj.shape[1])


def load_clip(architecture: str = "ViT-B-16-quickgelu", weights: str | None = "openai") -> Clip:
    """Load a CLIP model.

    Args:
        architecture: An open_clip model name, ``local-dir:FOLDER`` with an ``open_clip_config.json`` or the
            ``config.json`` of a CLIPModel of transformers inside, or ``demo`` for the small model that comes with the
            package.
        weights: One of open_clip's tags for that model (downloaded into its cache), the path of a checkpoint file (a
            state dict of open_clip or OpenAI, plain, safetensors or as TorchScript archive, or what open_clip's
            training saves with its optimizer), or None for random
            weights. With ``local-dir:`` and ``demo`` any tag stands for the checkpoint in that folder.

    Raises:
        CheckpointError: Unknown model or tag, a model that dense attention cannot work on, no network, unreadable file,
            weights that do not fit the model or hold values that are not finite.
    """
    file = Path(weights).expanduser() if weights is not None and Path(weights).expanduser().is_file() else None
    source = f"local-dir:{DEMO_NETWORKS}" if architecture == DEMO else architecture
    folder = Path(source.removeprefix("local-dir:")) if source.startswith("local-dir:") else None
    tag = weights if file is None and folder is None else None
    if folder is None:
        check_fits(source, tag)
    configuration = read_configuration(folder) if folder is not None and is_transformers_folder(folder) else None
    model = _create(source, tag) if configuration is None else open_clip.CLIP(**configuration)
    description = tag or "untrained (random)"
    if file is not None:
        state = read_state_dict(file)
        fit(model, state if configuration is None else converted(state), file)
        description = file.name
    elif folder is not None and weights is not None:
        _load_from(folder, model)
        description = "from the model's folder"
    check_finite(model, description)
    model.eval().requires_grad_(False)
    described = json.dumps(configuration or open_clip.get_model_config(source), sort_keys=True)
    context = None if configuration is None else configuration["text_cfg"]["context_length"]
    tokenizer = _tokenizer(source if context is None else _ANY, described, context)
    return Clip(model, tokenizer, architecture, description, fingerprint(model), described)


def check_known(architecture: str, tag: str | None) -> None:
    """Make sure that open_clip has a model and, where a tag is given, weights of this name for it.

    Raises:
        CheckpointError: It has not.
    """
    if architecture not in open_clip.list_models():
        near = get_close_matches(architecture, open_clip.list_models(), cutoff=0.3)
        msg = f"open_clip has no model {architecture!r}. Set --model.architecture to one it has, such as {near}."
        raise CheckpointError(msg)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag is not None and tag not in tags:
        msg = (
            f"Weights {tag!r} are neither a file nor a tag that open_clip knows for {architecture}. Set "
            f"--model.weights to the path of a checkpoint, to one of {tags}, or to null for random weights."
        )
        raise CheckpointError(msg)


@lru_cache(4)
def _tokenizer(source: str, configuration: str, context: int | None) -> Callable[[list[str]], Tensor]:
    """Make a tokenizer, which takes a tenth of a second, once for all models of one source and configuration."""
    del configuration  # it tells apart what a folder held at different times
    tokenizer: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(source, context_length=context)
    return tokenizer


def _create(architecture: str, tag: str | None) -> nn.Module:
    """Build the model and, where a tag is given, let open_clip fetch its weights and load them as tensors alone."""
    folder = architecture.removeprefix("local-dir:") if architecture.startswith("local-dir:") else None
    if folder is None:
        check_known(architecture, tag)
    try:
        with _quiet():
            return open_clip.create_model(
                architecture,
                pretrained=tag,
                load_weights=tag is not None,
                require_pretrained=tag is not None,
                weights_only=True,
            )
    except (OSError, RuntimeError, ValueError) as error:
        if folder is not None:
            msg = (
                f"No CLIP model could be made from the folder {folder} ({_first_line(error)}). Expected "
                "open_clip_config.json, which describes the model, and a checkpoint beside it."
            )
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


def _load_from(folder: Path, model: nn.Module) -> None:
    """Load the checkpoint that lies beside a model's configuration.

    open_clip converts what it has written itself over the years; where it cannot, the file is read as any other, so
    that the error names it and what does not fit.
    """
    path = next((folder / name for name in _CHECKPOINTS if (folder / name).is_file()), None)
    if is_transformers_folder(folder) and (files := [path] if path else shards_of(folder)):
        state = {name: value for file in files for name, value in read_state_dict(file).items()}
        fit(model, converted(state), folder)
        return
    if path is None:
        msg = (
            f"There are no weights in the folder {folder}: expected {_CHECKPOINTS[0]}, {_CHECKPOINTS[5]}, or for a "
            "model of transformers model.safetensors or pytorch_model.bin, beside its configuration. Put the "
            "checkpoint there, name it with --model.weights FILE, or set --model.weights to null for random weights."
        )
        raise CheckpointError(msg)
    try:
        with _quiet():
            open_clip.load_checkpoint(model, str(path), weights_only=True)
    except Exception:  # of whatever kind: reading it once more finds out
        fit(model, read_state_dict(path), path)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read any of the checkpoint formats into plain parameter names. Nothing in the file is run.

    Raises:
        CheckpointError: It cannot be read, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        elif is_archive(path):
            note_if_unknown(path)
            content = read_archive(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise nearly anything from inside the readers
        msg = (
            f"The checkpoint {path} cannot be read ({_first_line(error)}). Expected a state dict of torch.save, "
            "a safetensors file or a TorchScript archive, with nothing but tensors; is the file complete?"
        )
        raise CheckpointError(msg) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        msg = f"The checkpoint {path} holds no state dict of tensors but {type(content).__name__}; save one by itself."
        raise CheckpointError(msg)
    return {str(name).removeprefix("module.").removeprefix("_orig_mod."): value for name, value in content.items()}


def fit(model: nn.Module, state: dict[str, Tensor], path: Path, option: str = "--model.architecture") -> None:
    """Load ``state`` into ``model``, or say what does not fit.

    Args:
        model: The network.
        state: Parameters by name.
        path: Where they come from.
        option: What chooses the network.

    Raises:
        CheckpointError: Parameters are missing, unexpected or of another shape.
    """
    if is_transformers_state(state):
        msg = (
            f"The checkpoint {path} has the names of a model of transformers, whose activation stands in the "
            "config.json beside it. Give the folder of both: --model.architecture local-dir:FOLDER, without "
            "--model.weights."
        )
        raise CheckpointError(msg)
    quick = any(isinstance(module, open_clip.transformer.QuickGELU) for module in model.modules())
    if state.keys() >= _METADATA and not quick:
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
            f"{option} to the model that these weights were saved from."
        )
        raise CheckpointError(msg)
    model.load_state_dict(state)


def check_finite(model: nn.Module, description: str) -> None:
    """Raise CheckpointError where a parameter holds values that are not finite."""
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
