"""Text embeddings of class names: prompts, averaging, and a cache on disk."""

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from sclip_lightning.errors import ConfigError
from sclip_lightning.files import replacing
from sclip_lightning.towers import lazy_open_clip as open_clip
from sclip_lightning.towers.checkpoints import Clip
from sclip_lightning.windows import Texts, full_float32

__all__ = ["build_text_bank", "encode_prompts", "resolve_templates"]

#: Prompts per pass through the text tower.
BATCH_SIZE = 256
#: Prompts that must begin alike for that beginning to be computed by itself, and most beginnings in memory at a time:
#: each takes up to 1 MiB.
SHARED, BEGINNINGS = 16, 64

#: Bytes of the checksum at the end of a cached bank.
SEAL = 32


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Turn the option into templates with one ``{}`` each.

    Args:
        templates: ``"imagenet"`` for the 80 of CLIP's ImageNet evaluation (Radford et al., ICML 2021), from open_clip's
            own list, ``"none"`` for the bare name, or a list of templates.

    Raises:
        ConfigError: Another word, an empty list, or a template without ``{}``.
    """
    if templates == "imagenet":
        return tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
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
    templates: Sequence[str],
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
    """Embed prompts; returns [N, D] float32, not normalised, on ``device``.

    CLIP's text tower is causal and reads its output at the end-of-text token: what follows that token cannot matter,
    and what many prompts begin with (a template up to its name) is the same for all of them. The former is cut off,
    the latter is computed once. Towers of another kind run as they are.
    """
    tokens = clip.tokenizer(list(prompts))
    model = clip.model.to(device)
    with tqdm(
        total=len(tokens), desc="Encoding prompts", unit="prompt", leave=False, disable=len(tokens) < 1024
    ) as bar:
        if not _is_plain(model):
            parts = []
            for batch in tokens.split(BATCH_SIZE):
                parts.append(model.encode_text(batch.to(device)).float())
                bar.update(len(batch))
            return torch.cat(parts)
        # Every prompt has a token before its end; one that had none would show as NaN and not as whatever lay there.
        encoded = torch.full((len(tokens), model.text_projection.shape[1]), torch.nan, device=device)
        for beginnings, chosen, rows in _by_beginning(tokens):
            _, past = _run(model, beginnings.to(device))
            start = beginnings.shape[1]
            for batch in _lengths(tokens[chosen]).argsort(stable=True).split(BATCH_SIZE):
                ends = tokens[chosen[batch], start:]
                ends = ends[:, : int(_lengths(ends).max())].to(device)
                x, _ = _run(model, ends, [(k[rows[batch]], v[rows[batch]]) for k, v in past])
                x = model.ln_final(x[torch.arange(len(x)), ends.argmax(dim=1)])  # end-of-text has the highest id
                encoded[chosen[batch]] = (x @ model.text_projection).float()
                bar.update(len(batch))
        return encoded


def _is_plain(model: Any) -> bool:
    """Whether the text tower is causal, reads end-of-text and has CLIP's own blocks."""
    causal = getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", None) == "argmax"
    if not causal or not isinstance(model.text_projection, Tensor):
        return False
    block = model.transformer.resblocks[0]
    parts = {name for name, _ in block.named_children()}
    return parts == {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"} and hasattr(block.attn, "in_proj_weight")


def _by_beginning(tokens: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Sort prompts by the longest beginning that at least ``SHARED`` of them have.

    Yields:
        Beginnings of one length, [G, p] tokens; indices of the prompts that begin so, [n]; the beginning of each, [n].
    """
    lengths = _lengths(tokens)
    left = torch.ones(len(tokens), dtype=torch.bool)
    for start in range(int(lengths.max()) - 1, 0, -1):
        longer = (left & (lengths > start)).nonzero()[:, 0]
        found, group, counts = tokens[longer, :start].unique(dim=0, return_inverse=True, return_counts=True)
        shared = (counts >= (SHARED if start > 1 else 1)).nonzero()[:, 0]
        for some in shared.split(BEGINNINGS) if len(shared) else ():
            row = torch.full((len(found),), -1).scatter(0, some, torch.arange(len(some)))[group]
            chosen = longer[row >= 0]
            left[chosen] = False
            yield found[some], chosen, row[row >= 0]


def _run(
    model: Any, tokens: Tensor, past: Sequence[tuple[Tensor, Tensor]] = ()
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The blocks of the text tower.

    Args:
        model: The CLIP model.
        tokens: [B, n].
        past: Of each block, keys and values [B, heads, p, d] of the tokens before; none by default.

    Returns:
        [B, n, D], and of each block the keys and values of these tokens.
    """
    batch, number = tokens.shape
    start = past[0][0].shape[2] if past else 0
    x = model.token_embedding(tokens) + model.positional_embedding[start : start + number]
    mask = model.attn_mask[start : start + number, : start + number]
    made = []
    for index, block in enumerate(model.transformer.resblocks):
        attention = block.attn
        packed = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = packed.view(batch, number, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        made.append((k, v))
        if past:
            k, v = (torch.cat(both, dim=2) for both in zip(past[index], (k, v), strict=True))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + block.ls_1(attention.out_proj(y.transpose(1, 2).flatten(2)))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return x, made


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
