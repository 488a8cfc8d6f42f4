"""Putting a segmentor together from options and from what is published for the classes it is used with."""

from typing import TypeVar

from sclip_lightning.data.benchmark import Protocol, ResclipSettings
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.model.head import Head
from sclip_lightning.model.options import SegmentorOptions
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers.checkpoints import Clip
from sclip_lightning.towers.clip import VisionTower
from sclip_lightning.towers.text import TextBank
from sclip_lightning.upsampling import LogitUpsampler, load_loftup

__all__ = ["build_segmentor", "build_tower", "build_upsampler", "window_of"]

T = TypeVar("T")


def build_tower(clip: Clip, options: SegmentorOptions, resclip: ResclipSettings) -> VisionTower:
    """The dense vision tower; it shares the parameters of ``clip``."""
    residual_attention = None
    if options.rcs:
        residual_attention = ResidualAttention(*_given(options.rcs_weights, resclip.rcs), *options.rcs_layers)
    return VisionTower(clip.model.visual, options.attention, options.residual, options.gaussian_std, residual_attention)


def build_upsampler(clip: Clip, options: SegmentorOptions) -> LogitUpsampler | None:
    """LoftUp with its weights, on the CPU; None where it is switched off."""
    if not options.loftup:
        return None
    return LogitUpsampler(
        load_loftup(options.loftup_weights, dim=clip.model.visual.proj.shape[1]),
        mode=options.loftup_mode,
        scale=options.loftup_scale,
        temperature=options.loftup_temperature,
        radius=options.loftup_radius,
    )


def window_of(options: SegmentorOptions, protocol: Protocol) -> tuple[int, int]:
    """Crop and stride in pixels."""
    return _given(options.crop, protocol.crop), _given(options.stride, protocol.stride)


def build_segmentor(
    tower: VisionTower,
    upsampler: LogitUpsampler | None,
    bank: TextBank,
    options: SegmentorOptions,
    protocol: Protocol,
    resclip: ResclipSettings,
) -> SlidingWindowSegmentor:
    """Put the parts together.

    Args:
        tower: From :func:`build_tower`.
        upsampler: From :func:`build_upsampler`.
        bank: Embeddings of the class names.
        options: What the user chose.
        protocol: Constants for what the user left open.
        resclip: ResCLIP's, likewise.

    Raises:
        ConfigError: Parts or numbers that do not go together; see ``SlidingWindowSegmentor``.
    """
    head = Head(
        logit_scale=_given(options.logit_scale, protocol.logit_scale),
        prob_threshold=_given(options.prob_threshold, protocol.prob_threshold),
        area_threshold=_given(options.area_threshold, protocol.area_threshold),
    )
    feedback = None
    if options.sfr:
        tau, lam = _given(options.sfr_weights, resclip.sfr)
        threshold = _given(options.sfr_threshold, resclip.sfr_threshold)
        feedback = SemanticFeedback(tau, lam, threshold, head.logit_scale, options.gaussian_std)
    crop, stride = window_of(options, protocol)
    return SlidingWindowSegmentor(
        tower,
        bank.queries,
        bank.query_classes,
        head,
        crop=crop,
        stride=stride,
        window_batch_size=options.window_batch_size,
        feedback=feedback,
        upsampler=upsampler,
        refiners=options.refiners or [],
    )


def _given(option: T | None, published: T) -> T:
    return published if option is None else option
