"""Putting a segmentor together from its settings."""

from collections.abc import Hashable, Iterable, Mapping

from torch import nn

from sclip_lightning.errors import ConfigError
from sclip_lightning.model.head import Head
from sclip_lightning.model.recall import Recall
from sclip_lightning.model.settings import Settings
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.towers import Clip, ClipTower, FeatureTower
from sclip_lightning.windows import MapStep, Part, SheetStep, Texts

__all__ = ["build_segmentor", "load_networks"]


def load_networks(
    clip: Clip, parts: Iterable[Part], loaded: Mapping[Hashable, nn.Module] | None = None, compiled: bool = False
) -> dict[str, nn.Module]:
    """Every network that the parts need, each loaded once, on the CPU; CLIP's tower shares the parameters of ``clip``.

    Args:
        clip: The model.
        parts: All parts.
        loaded: Networks that are there already, by :meth:`Part.source`.
        compiled: See :class:`ClipTower`.

    Raises:
        CheckpointError: Weights cannot be found, read or fitted.
        ConfigError: Two parts mean different networks by one name.
    """
    users: dict[str, Part] = {}
    for part in parts:
        for name in part.networks:
            first = users.setdefault(name, part)
            if part.source(name) != first.source(name):
                raise ConfigError(_two_networks(name, first, part))
    tower = ClipTower(clip.model.visual, compiled)
    networks: dict[str, nn.Module] = {"clip": tower}
    shared = dict(loaded or {})
    for name, part in users.items():
        source = part.source(name)
        if source not in shared:
            shared[source] = part.load_network(name, tower.text_width)
        networks[name] = shared[source]
    return networks


def _two_networks(name: str, first: Part, second: Part) -> str:
    kinds = [type(first).__name__, type(second).__name__]
    both = kinds[0] if kinds[0] == kinds[1] else " and ".join(kinds)
    return f"{both} (--model) would load two networks under the one name {name}. Give them the same one, or drop one."


def build_segmentor(
    networks: dict[str, nn.Module], texts: Texts, settings: Settings, recall: Recall | None = None
) -> SlidingWindowSegmentor:
    """Put the parts together, in the order in which they run.

    What the class token says comes first, then what works on the decoder's own grid (LPOSS), the upsampler, and what
    works on any grid; then the windows are merged and the refiners of whole maps follow.

    Args:
        networks: From :func:`load_networks`.
        texts: Embeddings of the class names.
        settings: All numbers.
        recall: Where results are kept for images that come again; None keeps nothing.

    Raises:
        ConfigError: Parts or numbers that do not go together.
    """
    tower = networks["clip"]
    assert isinstance(tower, ClipTower)
    decoder = settings.decoder.fitted(tower.depth, tower.patch_size)
    early = [step for step in settings.refiners if isinstance(step, SheetStep) and step.works_on == "tokens"]
    late = [step for step in settings.refiners if isinstance(step, SheetStep) and step.works_on == "sheet"]
    ordered = (settings.prior, *early, settings.upsampler, *late)
    cell_size = decoder.cell_size(networks)
    sheet_steps = [step.fitted(tower.depth, cell_size) for step in ordered if step is not None]
    for step in sheet_steps:
        missing = [extra for extra in step.needs if extra not in decoder.gives]
        if missing:
            extra, name = missing[0].replace("_", " "), type(decoder).__name__
            msg = (
                f"{type(step).__name__} needs the {extra}, which {name} does not give. Leave one of them out, or "
                "choose another --model.decoder."
            )
            raise ConfigError(msg)
    protocol = settings.protocol
    for network in networks.values():
        if isinstance(network, FeatureTower):
            network.check_window(protocol.crop, protocol.padding)
    return SlidingWindowSegmentor(
        networks,
        texts,
        decoder,
        Head(protocol.logit_scale, protocol.prob_threshold, protocol.area_threshold, protocol.background),
        crop=protocol.crop,
        stride=protocol.stride,
        padding=protocol.padding,
        window_batch_size=settings.window_batch_size,
        sheet_steps=sheet_steps,
        map_steps=[
            step.fitted(tower.depth, tower.patch_size) for step in settings.refiners if isinstance(step, MapStep)
        ],
        refine_side=settings.refine_side,
        recall=recall,
    )
