"""What a GPU would show: images per second, time by part, how often the host waits for it, peak memory.

SCLIP, ResCLIP and all of Phase 1 (ResCLIP, LoftUp, DenseCRF) on 480 x 640 images at short side 448 (15 windows of 224
at stride 112), ViT-B/16 and LoftUp with random weights, 21 and 171 classes, one image after the other and several
before anybody looks at their labels. Random weights give flat probabilities, so that DenseCRF has to keep all classes.

    python benchmarks/gpu.py [--device cuda] [--repeats 5] [--precision auto] [--classes 21 171] [--flight 1 8]
        [--methods SCLIP ResCLIP "Phase 1"] [--lines]

On the CPU the number of waits is that of calls which would make a host wait (see waiting.py).
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from measuring import ORIGINAL, RESIZED, PeakMemory, build_segmentor, machine, parser
from waiting import Waits

from sclip_lightning.decoding import LastBlock, ResidualAttention, SemanticFeedback
from sclip_lightning.model.devices import autocast_type, resolve_precision
from sclip_lightning.model.sliding_window import SlidingWindowSegmentor
from sclip_lightning.refine import DenseCRF
from sclip_lightning.towers import load_clip
from sclip_lightning.upsampling import LoftUp

#: COCO-Stuff's published settings.
RESCLIP = LastBlock("sclip", rcs=ResidualAttention(2.0, 0.4), sfr=SemanticFeedback(1.8, 0.7, 0.11, logit_scale=40.0))
METHODS = {
    "SCLIP": {"decoder": LastBlock("sclip")},
    "ResCLIP": {"decoder": RESCLIP},
    "Phase 1": {"decoder": RESCLIP, "upsampler": LoftUp(weights=None), "refiners": (DenseCRF(),)},
}


class Bench:
    """One segmentor, and images that come in host memory as a data loader hands them over.

    Args:
        segmentor: On the device.
        device: The device.
        precision: Of the networks.
    """

    def __init__(self, segmentor: SlidingWindowSegmentor, device: torch.device, precision: str) -> None:
        self.segmentor, self.device = segmentor, device
        self.dtype = autocast_type(precision, device)
        image = F.interpolate(torch.randn(1, 3, 56, 75), RESIZED, mode="bicubic")[0]
        rgb = (F.interpolate(image[None], ORIGINAL, mode="bilinear")[0] * 40 + 128).clamp(0, 255).byte()
        self.image, self.rgb = (one.pin_memory() if device.type == "cuda" else one for one in (image, rgb))

    def _moved(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.image.to(self.device, non_blocking=True), self.rgb.to(self.device, non_blocking=True)

    def run(self, flight: int) -> None:
        """Segment images; their labels come to the host once all are on their way."""
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            labels = []
            for _ in range(flight):
                image, rgb = self._moved()
                labels.append(self.segmentor.predict(image, ORIGINAL, rgb).labels)
        for one in labels:
            one.cpu()

    def parts(self) -> dict[str, float]:
        """Seconds that each part takes by itself, waiting for each."""
        segmentor = self.segmentor
        with torch.no_grad(), torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            image, rgb = self._moved()
            scene = segmentor.scene(image, ORIGINAL, rgb)
            tower = self._seconds(lambda: [segmentor.tower.trunk(chunk) for chunk in scene.windows.chunks()])
            decoded = self._seconds(lambda: segmentor.decoder.decode(scene, keep_values=False))
            sheet = self._seconds(lambda: segmentor.sheet(scene))
            whole = self._seconds(lambda: segmentor.predict(image, ORIGINAL, rgb))
        named = {"trunk": tower, "decoder": decoded - tower, "cosines, upsampler": sheet - decoded}
        return {**named, "merge, refiners, labels": whole - sheet}

    def _seconds(self, call: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(2):
            self._wait()
            started = time.perf_counter()
            call()
            self._wait()
            best = min(best, time.perf_counter() - started)
        return best

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--precision", default="auto")
    options_of.add_argument("--classes", type=int, nargs="+", default=[21, 171])
    options_of.add_argument("--flight", type=int, nargs="+", default=[1, 8], help="images before labels are read")
    options_of.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options_of.add_argument("--lines", action="store_true", help="say which lines wait")
    options = options_of.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    precision, _ = resolve_precision(options.precision, device)
    print(f"{machine(device)}, {precision}")
    model = load_clip(weights=None).model
    for classes in options.classes:
        for name in options.methods:
            segmentor = build_segmentor(model, device, classes=classes, **METHODS[name])
            bench = Bench(segmentor, device, precision)
            bench.run(1)
            with Waits(device) as waits:
                bench.run(1)
            with PeakMemory(device) as peak:
                bench.run(1)
            speeds = []
            for flight in options.flight:
                started = time.perf_counter()
                for _ in range(options.repeats):
                    bench.run(flight)
                rate = flight * options.repeats / (time.perf_counter() - started)
                speeds.append(f"{rate:.2f} images/s ({flight} in flight)")
            parts = ", ".join(f"{part} {1000 * seconds:.0f} ms" for part, seconds in bench.parts().items())
            print(f"\n{name}, {classes} classes: {', '.join(speeds)}")
            print(f"  {parts}")
            print(
                f"  waits {waits.calls.total()} an image, peak {peak.bytes / 2**20:.0f} MiB beyond weights", flush=True
            )
            if options.lines:
                print("\n".join(f"    {count:4} {place}" for place, count in waits.calls.most_common()))


if __name__ == "__main__":
    main()
