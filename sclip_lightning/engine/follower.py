"""A run that is made of another's features: the same images and parts, under other class names."""

import time
from collections.abc import Sequence
from pathlib import Path

from sclip_lightning.data.reading.dataset import Sample
from sclip_lightning.engine import wiring
from sclip_lightning.engine.context import RunContext
from sclip_lightning.engine.environment import counting_device
from sclip_lightning.engine.evaluation import Evaluation
from sclip_lightning.engine.module import SegmentationModule
from sclip_lightning.engine.recording import Recording
from sclip_lightning.engine.scorer import Scorer
from sclip_lightning.engine.session_end import add_up
from sclip_lightning.engine.session_start import begin_session
from sclip_lightning.model.assembly import build_segmentor
from sclip_lightning.model.recall import GIB, Recall
from sclip_lightning.records import load_records
from sclip_lightning.windows import Texts

__all__ = ["Follower", "recall_for"]

#: Bytes of features of the images in hand; an image whose features are larger is computed again for each vocabulary.
MEMORY = 2 * GIB
#: What depends on the names, and will not be asked for again.
OF_NAMES = ("logits", "maps")


def recall_for(followers: Sequence["Follower"]) -> Recall:
    """What keeps the features of images that these are to score after the leader; nothing without any."""
    return Recall(MEMORY if followers else 0, without=OF_NAMES)


class Follower:
    """Scores the images of a run under other names; what it leaves in its folder is a run like any other.

    Its images are segmented when those of the leading run are, so that whatever the leader's :class:`Recall` keeps
    need not be computed again; the digits are those of a run by itself in any case.

    Args:
        folder: Of its run.
        classes: Prompt names, as ``--data.classes`` takes them; None for the published ones.

    Attributes:
        folder: The argument.
        texts: Embeddings of the names, once the run has begun.
    """

    texts: Texts

    def __init__(self, folder: Path, classes: str | list[str] | None) -> None:
        self.folder = folder
        self.classes = classes

    def lacking(self, finished: set[str]) -> set[str]:
        """Those of some images that have not been scored under these names."""
        return finished - {record.id for record in load_records(self.folder).images}

    def begin(self, leader: SegmentationModule) -> None:
        """Embed the names and say in the folder what the run is, once the leader has done so. A collective.

        Raises:
            ConfigError: Numbers or parts that do not go with these names.
            DataError: The names cannot be used.
            RunError: The folder holds a run of another kind.
        """
        lead, options, clip = leader.context, leader.options, leader.clip
        assert clip is not None  # the leader has begun
        data = leader.data.renamed(self.classes)
        settings = wiring.settle(options, data)
        self.texts = lead.ranks.on_first(lambda: wiring.embed_classes(clip, settings, data, leader.device))
        self._leader = leader
        self._segmentor = build_segmentor(leader.networks, self.texts, settings, leader.recall).to(leader.device)
        self._evaluation = Evaluation(data.benchmark).to(counting_device(leader.device))
        recording = Recording(self.folder, lead.ranks.rank)
        warnings = wiring.warnings_of(self._segmentor, options, settings, data)
        self.context = RunContext(
            self.folder,
            data.benchmark,
            data.dataset,
            recording,
            lead.ranks,
            lead.parts,
            lead.segment,
            warnings,
            behind=lead.behind,
        )
        self._scorer = Scorer(self.context, self._evaluation, self._segmentor, data.on_error == "skip")
        self._finished: set[str] = lead.ranks.on_first(recording.finished)
        self._complete = self._finished.issuperset(self.context.ids)
        sizes = wiring.sizes_that_fit(self.context, self._segmentor, options, settings, data)
        precision = str(leader.trainer.precision)
        begin_session(
            self.context,
            data,
            self._evaluation.boundary_names,
            lambda: wiring.describe_protocol(clip, self._segmentor, options, data, precision, sizes),
            [*wiring.notes_on(options, settings, data), *warnings],
            self._complete,
        )
        self._started = time.perf_counter()

    def score(self, sample: Sample) -> None:
        """Segment, score and record an image that the leader has just segmented, unless it has been scored before.

        Raises:
            DataError: It cannot be scored, and no images are to be skipped.
        """
        if sample["id"] in self._finished:
            return
        self._scorer.take(sample, lambda: self._leader.segment(sample, segmentor=self._segmentor))

    def end(self) -> None:
        """Merge the records of all devices and write the results, before the leader does. A collective."""
        self.context.behind.wait()
        seconds = time.perf_counter() - self._started
        add_up(self.context, self._evaluation, self._leader.stop, seconds, anything_done=not self._complete)
        if self.context.is_first and self.context.results is not None:
            self.context.results.save(self.folder)
