"""LPOSS: logits of the patches of all windows, spread over one graph of similar and near patches.

Stojnić, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
Segmentation", CVPR 2025, arXiv 2503.19777 (code: vladan-stojnic/LPOSS at e489a74).

The graph is made of the values of DINO ViT-B/16 on the same windows. What deviates: the result is multiplied by 1 -
alpha, see :class:`LPOSS`; and the maximum over a class's names is taken where the head takes it, at the output's size,
while the authors take it at that of the network's input (up to 0.014 % of the labels of their recorded images).
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.ranges import Range, above, at_least
from sclip_lightning.refine.graph.conjugate_gradient import conjugate_gradient
from sclip_lightning.refine.graph.patch_graph import cell_centres, patch_graph
from sclip_lightning.refine.graph.weighted_graph import WeightedGraph
from sclip_lightning.towers import FeatureTower, load_features
from sclip_lightning.windows import Scene, Sheet, SheetStep, Texts, Windows, compare_with_texts, window_grid
from sclip_lightning.windows.steps import Extra

__all__ = ["LPOSS", "on_cells", "propagate"]


@dataclass(frozen=True)
class LPOSS(SheetStep):
    """Propagates logits over the graph of all windows' cells; see :func:`patch_graph` and :func:`propagate`.

    The cells are patches of the second network. Where the decoder's are others, CLIP's features are brought to them.

    Propagated logits are up to 1 / (1 - alpha) = 20 times as large as what went in, while the head's scale and
    threshold are made for cosines. They are therefore multiplied by 1 - alpha. The authors leave that out and take the
    arg-max, which is the same with and without. A patch without edges is left with about 1 - alpha of its logits: in
    their code, too, it stays that much behind the others.

    Defaults are the authors' only values, the same for all benchmarks; figures they publish use no threshold.

    Args:
        network: The second network: a DINO, DINOv2 or DINOv3 by timm's name, such as vit_small_patch16_224.dino;
            local-dir:FOLDER with timm's config.json and model.safetensors; or demo. Null takes the values of CLIP's own
            last block instead, which is not published.
        weights: published (on the Hugging Face Hub, or in the network's folder), demo, or the path of a checkpoint.
            Null, random weights, is accepted only together with random CLIP weights.
        k: Patches that each one chooses as neighbours, itself included; at least 1. Fewer where there are fewer.
        gamma: Exponent of cosine similarities; above 0.
        sigma: Decay of the edges per pixel of the network's input; at least 0. The paper has its inverse, 100 pixels.
        power: Of the distance in the decay, above 0; 1 is published, the authors' code has others.
        alpha: Share of the neighbours, from 0 (logits stay) to below 1.
        steps: Conjugate-gradient steps; at least 1. Ten leave a residual of 0.1 to 4 %: they belong to the method.
    """

    works_on = "tokens"
    keeps_cosines = False

    #: The second network's name among the scene's.
    dino: ClassVar[str] = "lposs"

    network: str | None = "vit_base_patch16_224.dino"
    weights: str | None = "published"
    k: Annotated[int, at_least(1, whole=True)] = 400
    gamma: Annotated[float, above(0)] = 3.0
    sigma: Annotated[float, at_least(0)] = 0.01
    power: Annotated[float, above(0)] = 1.0
    alpha: Annotated[float, Range(0, 1, without_high=True)] = 0.95
    steps: Annotated[int, at_least(1, whole=True)] = 10

    @property
    def needs(self) -> tuple[Extra, ...]:
        """CLIP's values, where these make the graph."""
        return () if self.network else ("values",)

    @property
    def networks(self) -> tuple[str, ...]:
        """The second one, if there is one."""
        return (self.dino,) if self.network else ()

    def load_network(self, name: str, width: int) -> FeatureTower:
        """Load it; its values have a width of their own."""
        del name, width
        assert self.network is not None
        return load_features(self.network, self.weights)

    def __call__(self, sheet: Sheet, scene: Scene) -> Sheet:
        """Propagate [W, r, c, Q] logits, on the cells of the second network where there is one; the grid stays.

        Raises:
            ConfigError: The sheet comes without values, and these should make the graph.
        """
        values, centres = self._second_values(sheet, scene) if self.network else _own_values(sheet)
        with torch.autocast(sheet.logits.device.type, enabled=False):
            sheet = on_cells(sheet, (values.shape[1], values.shape[2]), scene.texts)
            features = F.normalize(values.float().flatten(0, 2), dim=1)
            graph = patch_graph(features, centres.to(features.device), self.k, self.gamma, self.sigma, self.power)
            logits = propagate(graph.normalised(), sheet.logits.flatten(0, 2), self.alpha, self.steps)
        return replace(sheet, logits=(1 - self.alpha) * logits.view_as(sheet.logits))

    def _second_values(self, sheet: Sheet, scene: Scene) -> tuple[Tensor, Tensor]:
        """Values [W, r', c', C] of the second network on the sheet's windows, and where its patches lie."""
        tower: FeatureTower = scene.networks[self.dino]
        windows = scene.windows
        # Where a decoder has put its windows together, the image is the only one; a single window may have margins.
        if (len(sheet.grid), sheet.grid.margins) != (len(windows), windows.grid.margins):
            height, width = scene.pixels.shape[1:]
            windows = Windows(scene.pixels, window_grid(height, width, 0, 1), windows.batch_size)
        values = torch.cat([tower.values(chunk) for chunk in windows.chunks()])
        return values, cell_centres(windows.grid, (values.shape[1], values.shape[2]), tower.patch_size)


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


def _own_values(sheet: Sheet) -> tuple[Tensor, Tensor]:
    """The values of CLIP's last block on the logits' cells [W, r, c, E], and where these lie."""
    if sheet.tokens is None or sheet.tokens.values is None:
        msg = (
            "--model.refiners has LPOSS, which joins patches by the values of the last block, but the logits come "
            "without them. Choose a --model.decoder that gives values, or take LPOSS out of --model.refiners."
        )
        raise ConfigError(msg)
    cells = sheet.logits.shape[1], sheet.logits.shape[2]
    return _resized(sheet.tokens.values, cells), cell_centres(sheet.grid, cells)


def on_cells(sheet: Sheet, cells: tuple[int, int], texts: Texts) -> Sheet:
    """A sheet on other cells: its features are resized, and compared with the texts again.

    What a step has added to the cosines is resized beside them.

    Args:
        sheet: [W, r, c, Q] logits, with the tokens that they were made of.
        cells: (rows, columns) wanted.
        texts: What the tokens were compared with.

    Returns:
        [W, rows, columns, Q] float32; the sheet itself where these are its cells.
    """
    if sheet.logits.shape[1:3] == cells:
        return sheet
    assert sheet.tokens is not None
    added = sheet.logits - compare_with_texts(sheet.tokens.features, texts)
    features = _resized(F.normalize(sheet.tokens.features.float(), dim=-1), cells)
    logits = compare_with_texts(features, texts) + _resized(added, cells)
    return replace(sheet, logits=logits, tokens=replace(sheet.tokens, features=features))


def _resized(maps: Tensor, cells: tuple[int, int]) -> Tensor:
    """[W, *cells, E] float32, bilinear, of maps [W, r, c, E]; in their own dtype where they lie on these cells."""
    if maps.shape[1:3] == cells:
        return maps
    return F.interpolate(maps.float().movedim(-1, 1), cells, mode="bilinear", align_corners=False).movedim(1, -1)
