"""LPOSS: logits of the patches of all windows, spread over one graph of similar and near patches.

Stojnić, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
Segmentation", CVPR 2025, arXiv 2503.19777 (code: vladan-stojnic/LPOSS at e489a74).

What deviates: the graph is made of the values of CLIP's own last block. That is not published; the authors take the
values of DINO ViT-B/16. The result is multiplied by 1 - alpha, see :class:`LPOSS`.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import Range, above, at_least
from sclip_lightning.refine.graph.conjugate_gradient import conjugate_gradient
from sclip_lightning.refine.graph.patch_graph import cell_centres, patch_graph
from sclip_lightning.refine.graph.weighted_graph import WeightedGraph
from sclip_lightning.windows.scene import Scene
from sclip_lightning.windows.sheet import Sheet
from sclip_lightning.windows.steps import SheetStep

__all__ = ["LPOSS", "propagate"]


@dataclass(frozen=True)
class LPOSS(SheetStep):
    """Propagates logits over the graph of all windows' cells; see :func:`patch_graph` and :func:`propagate`.

    Propagated logits are up to 1 / (1 - alpha) = 20 times as large as what went in, while the head's scale and
    threshold are made for cosines. They are therefore multiplied by 1 - alpha. The authors leave that out and take the
    arg-max, which is the same with and without. A patch without edges is left with about 1 - alpha of its logits: in
    their code, too, it stays that much behind the others.

    Defaults are the authors' only values, the same for all benchmarks; figures they publish use no threshold.

    Args:
        k: Patches that each one chooses as neighbours, itself included; at least 1. Fewer where there are fewer.
        gamma: Exponent of cosine similarities; above 0.
        sigma: Decay of the edges per pixel of the network's input; at least 0. The paper has its inverse, 100 pixels.
        alpha: Share of the neighbours, from 0 (logits stay) to below 1.
        steps: Conjugate-gradient steps; at least 1. Ten leave a residual of 0.1 to 4 %: they belong to the method.
    """

    works_on = "tokens"
    needs = ("values",)

    k: Annotated[int, at_least(1, whole=True)] = 400
    gamma: Annotated[float, above(0)] = 3.0
    sigma: Annotated[float, at_least(0)] = 0.01
    alpha: Annotated[float, Range(0, 1, without_high=True)] = 0.95
    steps: Annotated[int, at_least(1, whole=True)] = 10

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Propagate [W, r, c, Q] logits over the values that came with them; the grid and the tokens stay.

        Raises:
            ConfigError: The sheet comes without values.
        """
        if sheet.tokens is None or sheet.tokens.values is None:
            msg = (
                "--model.refiners has LPOSS, which joins patches by the values of the last block, but the logits come "
                "without them. Choose a --model.decoder that gives values, or take LPOSS out of --model.refiners."
            )
            raise ConfigError(msg)
        rows, columns = sheet.logits.shape[1:3]
        with torch.autocast(sheet.logits.device.type, enabled=False):
            features = _unit_features(sheet.tokens.values.float(), (rows, columns))
            centres = cell_centres(sheet.grid, (rows, columns)).to(features.device)
            graph = patch_graph(features, centres, self.k, self.gamma, self.sigma)
            logits = propagate(graph.normalised(), sheet.logits.flatten(0, 2), self.alpha, self.steps)
        return replace(sheet, logits=(1 - self.alpha) * logits.view_as(sheet.logits))


def propagate(graph: WeightedGraph, logits: Tensor, alpha: float, steps: int) -> Tensor:
    """Go some conjugate-gradient steps towards F with (I - alpha S) F = Y.

    The authors' vectors are float64. In float32 the result differs from theirs by 1e-6 of its largest value, as it does
    in float64, because the graph is float32 in both; and it takes a sixth of the time (2940 nodes, 46 or 171 columns).

    Args:
        graph: S, N nodes, symmetric and normalised.
        logits: Y, [N, Q], in the dtype of the graph's weights; each column is solved on its own.
        alpha: From 0 to below 1.
        steps: Most steps; a column whose residual falls to 1e-6 of its norm stops before.

    Returns:
        F, [N, Q], about 1 / (1 - alpha) times as large as Y.
    """
    return conjugate_gradient(lambda columns: columns - alpha * graph.product(columns), logits, steps)


def _unit_features(values: Tensor, cells: tuple[int, int]) -> Tensor:
    """Unit features [W * r * c, E] on the logits' cells of values [W, r', c', E] that may lie on others."""
    if values.shape[1:3] != cells:
        values = F.interpolate(values.movedim(-1, 1), cells, mode="bilinear", align_corners=False).movedim(1, -1)
    return F.normalize(values.flatten(0, 2), dim=1)
