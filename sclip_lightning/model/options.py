"""The choices that make a segmentor, as the command line names them."""

from dataclasses import dataclass

from sclip_lightning.data.benchmark import ProtocolName
from sclip_lightning.decoding.attention import AttentionVariant
from sclip_lightning.decoding.feedback import check_feedback
from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import Refiner
from sclip_lightning.towers.text import resolve_templates
from sclip_lightning.upsampling import UpsamplingMode
from sclip_lightning.windows.steps import check_order

__all__ = ["SegmentorOptions"]


@dataclass(frozen=True)
class SegmentorOptions:
    """Options of a segmentor; null takes what is published for the classes it is used with.

    Attributes:
        architecture: open_clip model name, local-dir:FOLDER with an open_clip_config.json inside, or demo.
        weights: A tag of open_clip (downloaded once), the path of a checkpoint, or null for random weights.
        attention: Attention of the last block: vanilla, maskclip, sclip, clearclip or naclip.
        residual: Keep the last block's residual connections and MLP; null does as the variant's paper.
        gaussian_std: Standard deviation, in patches, of naclip's window and of the blur in semantic feedback.
        templates: Prompt templates: imagenet (80), none, or a list of texts with one {} each.
        protocol: Whose constants count where none are given, those of SCLIP's authors or of ResCLIP's: the short side
            of images, crop, stride, logit_scale and thresholds. ResCLIP's own hyper-parameters do not depend on it.
        crop: Side of the sliding window in pixels; 0 takes each image whole, null does as the protocol.
        stride: Distance between windows in pixels; null does as the protocol.
        window_batch_size: Most windows in one pass through the tower; bounds memory.
        logit_scale: Factor on the cosines; null takes the protocol's.
        prob_threshold: Pixels less certain than this become class 0; 0 is off, null takes the protocol's.
        area_threshold: Classes smaller than this share of all foreground are dropped; 0 is off, null takes the
            protocol's.
        rcs: Switch on ResCLIP's residual attention.
        rcs_weights: Its tau and lambda; null takes the benchmark's.
        rcs_layers: First and last layer whose attention is mixed in, counted from 1.
        sfr: Switch on ResCLIP's semantic feedback, a second pass through the last block.
        sfr_weights: Its tau and lambda; null takes the benchmark's.
        sfr_threshold: Least probability of a first-pass label; null takes the benchmark's.
        loftup: Switch on LoftUp, which gives the logits a finer grid.
        loftup_weights: A local checkpoint, owner/repository/file on the Hugging Face Hub, or demo. Null, random
            weights, is accepted only together with random CLIP weights.
        loftup_mode: affinity mixes the patches' logits by the likeness of upsampled features; direct compares the
            upsampled features with the text, for which they were not trained; the attention then plays no part.
        loftup_scale: Positions per patch and axis, up to the patch size.
        loftup_temperature: Factor on the likeness in affinity.
        loftup_radius: Patches at most this far away take part in affinity; null for all.
        refiners: Boundary refiners in the order they are applied: PAMR, DenseCRF, Bilateral.

    Raises:
        ConfigError: Templates without a place for the name, semantic feedback for an attention without logits, random
            LoftUp weights next to trained CLIP weights, or refiners in an order that cannot be.
    """

    architecture: str = "ViT-B-16-quickgelu"
    weights: str | None = "openai"
    attention: AttentionVariant = "sclip"
    residual: bool | None = None
    gaussian_std: float = 5.0
    templates: str | list[str] = "imagenet"
    protocol: ProtocolName = "sclip"
    crop: int | None = None
    stride: int | None = None
    window_batch_size: int = 32
    logit_scale: float | None = None
    prob_threshold: float | None = None
    area_threshold: float | None = None
    rcs: bool = False
    rcs_weights: tuple[float, float] | None = None
    rcs_layers: tuple[int, int] = (6, 9)
    sfr: bool = False
    sfr_weights: tuple[float, float] | None = None
    sfr_threshold: float | None = None
    loftup: bool = False
    loftup_weights: str | None = "haiwen/loftup-clip/pytorch_model.bin"
    loftup_mode: UpsamplingMode = "affinity"
    loftup_scale: int = 2
    loftup_temperature: float = 20.0
    loftup_radius: int | None = 2
    refiners: list[Refiner] | None = None

    def __post_init__(self) -> None:
        resolve_templates(self.templates)
        if self.sfr:
            check_feedback(self.attention)
        if self.loftup and self.loftup_weights is None and self.weights is not None:
            msg = (
                "--model.loftup_weights is null, which means random: next to trained CLIP weights the result would "
                "look real and be worthless. Name LoftUp's checkpoint, or set --model.weights to null as well."
            )
            raise ConfigError(msg)
        check_order(self.refiners or [])
