"""Dense tokens from CLIP's last block with another attention: SCLIP and most of its relatives.

Blocks 1 to L - 1 run as published. The last block's attention is replaced; with its residual connections the block
keeps its shape, ``x = x + attention(ln_1(x)); x = x + mlp(ln_2(x))``, without them only ``x = attention(ln_1(x))`` is
left (Lan et al., ClearCLIP, ECCV 2024, section 3). Every token then goes through the final norm and the text
projection. ResCLIP's two parts (Yang et al., CVPR 2025, arXiv 2411.15851) change the attention from two sides: RCS
mixes in that of earlier blocks, SFR runs the block a second time with what the first time found.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sclip_lightning.decoding.attention import Attention, AttentionName, attention_of
from sclip_lightning.decoding.feedback import SemanticFeedback
from sclip_lightning.decoding.residual import ResidualAttention
from sclip_lightning.errors import ConfigError
from sclip_lightning.towers import ClipTower
from sclip_lightning.windows import Scene, Tokens, WindowDecoder, compare_with_texts
from sclip_lightning.windows.colours import padded_with_black

__all__ = ["LastBlock"]


@dataclass(frozen=True)
class LastBlock(WindowDecoder):
    """CLIP's last block with an attention that keeps patches apart (Wang et al., SCLIP, ECCV 2024, arXiv 2312.01597).

    Args:
        attention: Its attention: vanilla, maskclip, sclip, clearclip, naclip or segearth, or one with numbers of its
            own such as NeighbourAttention.
        residual: Keep the block's residual connections and MLP; null does as the attention's paper.
        rcs: ResCLIP's residual attention: true switches it on with its published numbers.
        sfr: ResCLIP's semantic feedback, likewise.
        padded: Windows that are no whole patches: fill them up with black at the bottom and right and resize positions
            to the exact grid, as LPOSS does; false drops what is left over and resizes them as SCLIP does.

    Raises:
        ConfigError: An unknown attention, or semantic feedback for one without logits.
    """

    # What may hold numbers comes first: of the errors of a union jsonargparse hands on the first.
    attention: Attention | AttentionName = "sclip"
    residual: bool | None = None
    rcs: ResidualAttention | bool | None = False
    sfr: SemanticFeedback | bool | None = False
    padded: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        has_logits = attention_of(self.attention).has_logits  # an unknown name is refused here
        if self.sfr and not has_logits:
            msg = (
                f"Semantic feedback changes attention logits, and {self.attention} has none: it takes each patch's "
                "value alone. Set --model.decoder.sfr to false or choose another --model.decoder.attention."
            )
            raise ConfigError(msg)

    def settled(self) -> "LastBlock":
        """The same with its attention's residual connections and with default parts in the place of ``true``."""
        attention = attention_of(self.attention)
        return replace(
            self,
            residual=attention.keeps_residual if self.residual is None else self.residual,
            rcs=ResidualAttention() if self.rcs is True else self.rcs or None,
            sfr=SemanticFeedback() if self.sfr is True else self.sfr or None,
        )

    @property
    def reads_texts(self) -> bool:
        """Only semantic feedback does."""
        return bool(self.sfr)

    def fitted(self, depth: int, patch_size: tuple[int, int]) -> "LastBlock":
        """Itself; raises ConfigError where residual attention asks for blocks that are not there."""
        if isinstance(self.rcs, ResidualAttention):
            self.rcs.fitted(depth, patch_size)
        return self

    def decode_windows(self, pixels: Tensor, scene: Scene, keep_values: bool) -> Tokens:
        """Decode some windows; see :meth:`WindowDecoder.decode_windows`."""
        tower: ClipTower = scene.networks["clip"]
        whole = self.settled()
        rcs = whole.rcs if isinstance(whole.rcs, ResidualAttention) else None
        sfr = whole.sfr if isinstance(whole.sfr, SemanticFeedback) else None
        if self.padded:
            pixels = padded_with_black(pixels, tower.patch_size)
        kept = rcs.layers if rcs else ()
        trunk = tower.trunk(pixels, keep_projections=kept, exact_positions=self.padded)
        attention, last = attention_of(self.attention), tower.depth
        q, k, v = tower.project(trunk.x, last)
        cross = rcs.cross([trunk.projections[layer] for layer in rcs.layers], v) if rcs else None

        def run(bias: Tensor | None = None, gain: float = 1.0) -> Tensor:
            y = attention(q, k, v, trunk.grid, bias, gain)
            if rcs and cross is not None:
                y = rcs.mix(y, cross)
            return tower.to_text_space(tower.finish(trunk.x, y, last, bool(whole.residual)))

        tokens = run()
        if sfr:
            logits = compare_with_texts(tokens[:, trunk.prefix :], scene.texts)
            with torch.autocast(pixels.device.type, enabled=False):
                bias = sfr.bias(logits, pixels.float(), trunk.grid, tower.patch_size)
            tokens = run(bias, sfr.gain)
        values = tower.to_text_space(tower.output(v, last))[:, trunk.prefix :] if keep_values else None
        return Tokens(
            tokens[:, trunk.prefix :].unflatten(1, trunk.grid),
            scene.windows.grid,
            tokens[:, 0],
            None if values is None else values.unflatten(1, trunk.grid),
            tower.embedding(trunk.x, (q, k, v)),
        )
