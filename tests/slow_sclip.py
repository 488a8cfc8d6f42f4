"""``sclip``, but segmenting an image takes at least a while: something to interrupt. ``python -m tests.slow_sclip``."""

import time

from sclip_lightning.cli import main
from sclip_lightning.engine.module import SegmentationModule

SECONDS = 0.3

if __name__ == "__main__":
    segment = SegmentationModule.segment

    def slow_segment(self, sample, *arguments):
        time.sleep(SECONDS)
        return segment(self, sample, *arguments)

    SegmentationModule.segment = slow_segment
    main()
