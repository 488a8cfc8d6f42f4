"""``sclip``, but segmenting an image takes at least a while: something to interrupt. ``python -m tests.slow_sclip``.

``SLOW_SILENCE`` is how many seconds a process may give no sign of life.
"""

import os
import time

from sclip_lightning.cli import main
from sclip_lightning.engine import heartbeat
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.segmentor import Segmentor

SECONDS = 0.3


def slow_down():
    segment = SegmentationModule.segment

    def slow_segment(self, sample, *arguments):
        time.sleep(SECONDS)
        return segment(self, sample, *arguments)

    if "SLOW_SILENCE" in os.environ:
        heartbeat.SILENCE = float(os.environ["SLOW_SILENCE"])
        heartbeat.BEAT = heartbeat.SILENCE / 10
    SegmentationModule.segment = slow_segment
    predict = Segmentor.predict

    def slow_predict(self, *arguments, **options):
        time.sleep(SECONDS)
        return predict(self, *arguments, **options)

    Segmentor.predict = slow_predict


if __name__ == "__main__":
    slow_down()
    main()
