"""Text embeddings of class names: prompts, averaging, and a cache on disk."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.towers.checkpoints import Clip
from sclip_lightning.windows import Texts, full_float32

__all__ = ["build_text_bank", "encode_prompts", "resolve_templates"]

#: The 80 prompt templates of CLIP's ImageNet evaluation (Radford et al., ICML 2021), from open_clip's own list.
IMAGENET_TEMPLATES = tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)

#: Prompts per pass through the text tower.
BATCH_SIZE = 256

#: Bytes of the checksum at the end of a cached bank.
SEAL = 32


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Turn the option into templates with one ``{}`` each.

    Args:
        templates: ``"imagenet"`` for the 80 published ones, ``"none"`` for the bare name, or a list of templates.

    Raises:
        ConfigError: Another word, an empty list, or a template without ``{}``.
    """
    if templates == "imagenet":
        return IMAGENET_TEMPLATES
    if templates == "none":
        return ("{}",)
    if isinstance(templates, str) or not templates or any(template.count("{}") != 1 for template in templates):
        msg = (
            f"--model.templates is {templates!r}; expected 'imagenet' (80 prompts), 'none' (the bare name) or a list "
            "of texts that each hold one {} for the class name, for example ['a photo of a {}.']."
        )
        raise ConfigError(msg)
    return tuple(templates)


def build_text_bank(
    clip: Clip,
    synonyms: Sequence[Sequence[str]],
    templates: Sequence[str] = IMAGENET_TEMPLATES,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
) -> Texts:
    """Embed every name of every class.

    Each name fills every template; each prompt's embedding is L2-normalised, a name's prompts are averaged, and the
    mean is L2-normalised (Radford et al., ICML 2021, section 3.1.4).

    Args:
        clip: The model; its weights, configuration and tokenizer take part in the name of the cache file.
        synonyms: One or more names per class.
        templates: Prompt templates with one ``{}`` each.
        device: Where the text tower runs.
        cache: Folder for finished banks; None neither reads nor writes any.
    """
    names = [name for names in synonyms for name in names]
    classes = torch.tensor([index for index, names in enumerate(synonyms) for _ in names])
    file = cache / f"{_key(clip, names, templates)}.npy" if cache else None
    queries = _read(file, (len(names), clip.text_width)) if file else None
    if queries is None:
        prompts = [template.replace("{}", name) for name in names for template in templates]
        embeddings = encode_prompts(clip, prompts, device)
        means = F.normalize(embeddings, dim=-1).unflatten(0, (len(names), -1)).mean(dim=1)
        queries = F.normalize(means, dim=-1).cpu()
        if file:
            _write(file, queries)
    return Texts(queries, classes)


@torch.no_grad()
@full_float32()
def encode_prompts(clip: Clip, prompts: Sequence[str], device: torch.device | str = "cpu") -> Tensor:
    """Embed prompts in batches of similar length; returns [N, D] float32, not normalised, on ``device``."""
    tokens = clip.tokenizer(list(prompts))
    order = _lengths(tokens).argsort(stable=True)
    model = clip.model.to(device)
    batches = order.split(BATCH_SIZE)
    progress = tqdm(batches, "Encoding prompts", unit="batch", leave=False, disable=len(batches) < 4)
    encoded = torch.cat([_encode(model, tokens[batch].to(device)) for batch in progress])
    return encoded[order.argsort().to(encoded.device)]


def _encode(model: Any, tokens: Tensor) -> Tensor:
    """Text tower on [B, context] tokens.

    CLIP's text tower is causal and reads its output at the end-of-text token, so what follows that token cannot matter:
    the padding (most of the 77 positions for a short prompt) is cut off instead of computed. Towers of another kind run
    as they are.
    """
    causal = getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", None) == "argmax"
    if not causal or not isinstance(model.text_projection, Tensor):
        return model.encode_text(tokens).float()
    length = int(_lengths(tokens).max())
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    end = tokens.argmax(dim=1)  # end-of-text has the highest id
    x = model.ln_final(x[torch.arange(len(x), device=x.device), end])
    return (x @ model.text_projection).float()


def _lengths(tokens: Tensor) -> Tensor:
    """Number of tokens up to and including end-of-text, [N]."""
    return tokens.argmax(dim=1) + 1


def _key(clip: Clip, names: Sequence[str], templates: Sequence[str]) -> str:
    """Name of a bank: everything that its embeddings depend on, the device and its rounding aside."""
    tokens = clip.tokenizer([*names, *templates])  # what another tokenizer or context length would make otherwise
    parts = (
        open_clip.__version__,
        clip.fingerprint,
        clip.configuration,
        str(tuple(tokens.shape)),
        hashlib.sha256(tokens.numpy().tobytes()).hexdigest(),
        str(len(names)),
        *names,
        *templates,
    )
    digest = hashlib.sha256()
    for part in parts:  # lengths keep different splits of the same text apart
        encoded = part.encode()
        digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.hexdigest()[:32]


def _read(file: Path, shape: tuple[int, int]) -> Tensor | None:
    """The bank in a file; None where there is none, or one that is damaged or another than its name says."""
    try:
        content = file.read_bytes()
        stored, seal = content[:-SEAL], content[-SEAL:]
        if seal != _seal(file, stored):
            return None
        queries = np.load(BytesIO(stored), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if queries.shape != shape or queries.dtype != np.float32:
        return None
    return torch.from_numpy(queries) if (abs(np.linalg.norm(queries, axis=1) - 1) < 1e-4).all() else None


def _write(file: Path, queries: Tensor) -> None:
    """Write so that other processes see either no file or a whole one; a cache that cannot be written is no error."""
    stored = BytesIO()
    np.save(stored, queries.numpy())
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(stored.getvalue() + _seal(file, stored.getvalue()))
    except OSError:
        return


def _seal(file: Path, stored: bytes) -> bytes:
    """Checksum of a bank under its name, behind the bank itself: numpy's readers ignore what follows the array."""
    return hashlib.sha256(file.name.encode() + stored).digest()
