"""How time and memory grow with the number of names and of pixels, part by part, without the vision tower.

Random tokens stand in for the tower's, so that everything behind it is what is measured: `predict` (tokens compared
with names, merged, labelled), scoring, PAMR and DenseCRF with whatever makes and reads their maps, and semantic
feedback in one window. Above 1000 names three are synonyms of one class. Processor time of one call each and peak
memory beyond what stood there before; what surely does not fit into memory is not begun.

    python benchmarks/vocabularies.py [--queries 21 171 847 2541] [--sizes 480x640 1024x2048] [--parts predict ...]
"""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from measuring import PeakMemory, machine, parser

from sclip_lightning.data.reading.benchmark import Benchmark, ClassNames
from sclip_lightning.data.reading.transforms import rescaled_size
from sclip_lightning.decoding import SemanticFeedback
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.model.head import Head
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.refine import PAMR, DenseCRF
from sclip_lightning.windows import Decoder, Texts, Tokens

SYNONYMS, MANY = 3, 1000


@dataclass(frozen=True)
class RandomTokens(Decoder):
    """Tokens that cost nothing, in the place of a network's."""

    def decode(self, scene, keep_values=False):
        """Random features, [W, r, c, 512]."""
        del keep_values
        height, width = scene.windows.grid.padded_size
        random = torch.Generator().manual_seed(1)
        features = torch.randn(len(scene.windows), height // 16, width // 16, 512, generator=random)
        return Tokens(features.to(scene.pixels.device), scene.windows.grid)


class NoTower(torch.nn.Module):
    """What a segmentor asks of a tower besides tokens."""

    patch_size = (16, 16)

    def grid_size(self, height, width):
        """Rows and columns of patches."""
        return height // 16, width // 16


class Case:
    """One image with so many names.

    Args:
        size: (H, W) of the image in pixels.
        queries: Number of names.
        device: Where to compute.
    """

    def __init__(self, size: tuple[int, int], queries: int, device: torch.device) -> None:
        random = torch.Generator().manual_seed(0)
        self.size, self.queries, self.device = size, queries, device
        self.classes = queries // SYNONYMS if queries > MANY else queries
        self.image = torch.randn(3, *rescaled_size(*size, 448), generator=random).to(device)
        self.rgb = F.interpolate(torch.rand(1, 3, 12, 16, generator=random) * 255, size, mode="bicubic")[0]
        self.rgb = self.rgb.clamp(0, 255).byte().to(device)
        names = F.normalize(torch.randn(queries, 512, generator=random), dim=-1)
        self.texts = Texts(names, torch.arange(queries) * self.classes // queries)
        self.truth = torch.randint(self.classes, (1, 1, size[0] // 20, size[1] // 20), generator=random).float()
        self.truth = F.interpolate(self.truth, size, mode="nearest")[0, 0].long().to(device)

    def segmentor(self, *refiners):
        """Everything behind the tower."""
        parts = {"clip": NoTower()}, self.texts, RandomTokens(), Head(40.0)
        return SlidingWindowSegmentor(*parts, map_steps=refiners).to(self.device)

    def calls(self):
        """What to measure, by name, and the bytes that it surely takes."""
        pixels, window, scoring = self.size[0] * self.size[1], 224 * 224, self._scoring()
        feedback = SemanticFeedback(tau=1.0, lam=0.5, threshold=0.1, logit_scale=40.0)
        logits = 0.05 * torch.randn(1, 14 * 14, self.queries, device=self.device)
        window_image = torch.randn(1, 3, 224, 224, device=self.device)
        return {
            "predict": (lambda: self._predict(), 0),
            "scoring": (scoring, 0),
            "PAMR": (lambda: self._predict(PAMR()), 8 * self.queries * pixels),
            "DenseCRF": (lambda: self._predict(DenseCRF()), 8 * self.classes * pixels),
            "SFR, one window": (
                lambda: feedback.bias(logits, window_image, (14, 14), (16, 16)),
                8 * self.queries * window,
            ),
        }

    def _predict(self, *refiners):
        return self.segmentor(*refiners).predict(self.image, self.size, self.rgb)

    def _scoring(self):
        names = tuple(f"class {i}" for i in range(self.classes))
        prompts = ClassNames(tuple((name,) for name in names), "(list)", "")
        colours = torch.zeros(self.classes, 3, dtype=torch.uint8).numpy()
        evaluation = Evaluation(Benchmark("made up", names, colours, prompts)).to(self.device)
        guesses = self.truth.roll((3, 5), (0, 1))
        return lambda: evaluation.update(guesses, self.truth)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--queries", type=int, nargs="+", default=[21, 171, 847, 2541])
    options.add_argument("--sizes", nargs="+", default=["480x640", "1024x2048"], help="height x width in pixels")
    options.add_argument("--parts", nargs="+", help="predict, scoring, PAMR, DenseCRF, 'SFR, one window'")
    chosen = options.parse_args(arguments)
    device = torch.device(chosen.device)
    print(machine(device))
    print("| image | names | part | processor seconds | peak beyond |\n| --- | --- | --- | --- | --- |")
    for size in (tuple(int(side) for side in text.split("x")) for text in chosen.sizes):
        for queries in chosen.queries:
            for name, (call, needed) in Case(size, queries, device).calls().items():
                if not chosen.parts or name in chosen.parts:
                    cost = "not begun: it takes at least" if needed > _free() else _cost(call, device)
                    more = f"{needed / 2**30:.1f} GiB" if needed > _free() else ""
                    print(f"| {size[0]} x {size[1]} | {queries} | {name} | {cost} {more}|", flush=True)


def _cost(call, device) -> str:
    with PeakMemory(device) as peak:
        started = time.perf_counter() if device.type == "cuda" else time.process_time()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = (time.perf_counter() if device.type == "cuda" else time.process_time()) - started
    return f"{seconds:.2f} | {peak.bytes / 2**20:.0f} MiB "


def _free() -> int:
    with open("/proc/meminfo") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


if __name__ == "__main__":
    main()
