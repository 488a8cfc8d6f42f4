"""``sclip``, but segmenting an image takes at least a while: something to interrupt. ``python -m tests.slow_sclip``."""

import time

from sclip_lightning.cli import main
from sclip_lightning.engine.module import SegmentationModule

SECONDS = 0.3

if __name__ == "__main__":
    score = SegmentationModule._score

    def slow_score(self, sample):
        time.sleep(SECONDS)
        return score(self, sample)

    SegmentationModule._score = slow_score
    main()
