"""Which models of open_clip dense attention can work on, said before any weights are fetched."""

from collections.abc import Mapping
from typing import Any

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers import lazy_open_clip as open_clip

__all__ = ["check_fits", "refusal"]


def refusal(configuration: Mapping[str, Any]) -> str | None:
    """Why dense attention cannot work on a model; None where it can.

    Args:
        configuration: As open_clip describes the model.
    """
    vision = configuration["vision_cfg"]
    timm = vision.get("timm_model_name")
    if timm and "siglip" in timm:
        return (
            "SigLIP has no class token, and pools patches by an attention of its own: patches by themselves are not in "
            "the space of the texts"
        )
    if timm and "eva" in timm:
        return "EVA's tower comes from timm, with rotary positions and blocks of another kind"
    if timm:
        return f"its vision tower is timm's {timm}, whose blocks are of another kind"
    if isinstance(vision.get("layers"), list | tuple):
        return "its vision tower is a ResNet, which has no attention between patches but in its pooling"
    if vision.get("attentional_pool"):
        return "its vision tower pools patches by an attention of its own, as CoCa does"
    return None


def check_fits(source: str, tag: str | None) -> None:
    """Refuse a model that dense attention cannot work on, or weights of another activation than the model's.

    Args:
        source: The name of a model that open_clip has, or ``local-dir:FOLDER`` with a configuration of one.
        tag: Of its weights.

    Raises:
        CheckpointError: It does not fit; nothing has been fetched.
    """
    configuration = open_clip.get_model_config(source)
    if configuration is None:
        return  # for others to say
    if reason := refusal(configuration):
        msg = (
            f"{source} (--model.architecture) does not fit: {reason}. Dense attention needs a plain CLIP ViT (class "
            "token, learned positions, packed query-key-value projection); sclip weights lists those that there are."
        )
        raise CheckpointError(msg)
    published = open_clip.get_pretrained_cfg(source, tag) if tag is not None else {}
    if not published:
        return
    needed, has = bool(published.get("quick_gelu")), bool(configuration.get("quick_gelu"))
    if needed != has:
        variant = f"{source}-quickgelu" if needed else source.removesuffix("-quickgelu")
        msg = (
            f"The weights {tag!r} were trained {'with' if needed else 'without'} QuickGELU, but {source} "
            f"(--model.architecture) is {'without' if needed else 'with'} it and would be quietly wrong. Set it to "
            f"{variant}."
        )
        raise CheckpointError(msg)
