"""Work behind the network: what is done with an image while the next one is being segmented."""

import os
from collections.abc import Callable
from queue import Queue
from threading import Thread

import torch

__all__ = ["WAITING", "Behind", "has_spare_core"]

#: Jobs that may wait. It bounds memory, above all for probabilities (105 MB an image of COCO-Stuff), and what a kill
#: costs. A panel takes as long as a GPU needs for three images; where two waited, the network waited for each panel.
WAITING = 3


class Behind:
    """Jobs that one thread does in the order in which they are handed over, while the thread that does so goes on.

    With one thread, jobs need no locks among themselves. Who hands over waits while too many are waiting. After a job
    has failed, none of those behind it is done, and its error comes up in the thread that hands over.

    The thread begins with the first job: processes that are forked before that, as those that read images are, do not
    inherit its locks.

    Args:
        waiting: How many jobs may wait, beside the one that is being done.
        threaded: Whether there is a thread at all; else a job is done at once, by who hands it over.
    """

    def __init__(self, waiting: int = WAITING, threaded: bool = True) -> None:
        self._threaded = threaded
        self._jobs: Queue[Callable[[], object] | None] = Queue(waiting)
        self._thread: Thread | None = None
        self._failure: BaseException | None = None

    def hand_over(self, job: Callable[[], object]) -> None:
        """Have a job done, some time later; raises the error of an earlier one instead, if there was any."""
        self.check()
        if not self._threaded:
            job()
            return
        if self._thread is None:
            self._thread = Thread(target=self._work, daemon=True, name="behind-the-network")
            self._thread.start()
        self._jobs.put(job)

    def check(self) -> None:
        """Raise the error of a job, if there was any."""
        if self._failure is not None:
            raise self._failure

    def wait(self) -> None:
        """Wait until all jobs are done; raises the error of one, if there was any."""
        self._jobs.join()
        self.check()

    def end(self) -> None:
        """Wait likewise, but raise nothing, and end the thread; for runs that end, well or not."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._failure is None:
                    job()
            except BaseException as error:
                self._failure = error
            finally:
                del job  # and with it the image, which may be large, while nothing follows
                self._jobs.task_done()
        self._jobs.task_done()  # of the end, too: else whoever waits for later jobs would wait for ever


def has_spare_core(device: torch.device) -> bool:
    """Whether a thread beside the network has a core of its own.

    On a CPU torch's threads may take all of them, and spin while one waits for another: a thread that takes a core from
    one then holds up all. The demo took a quarter longer so, on two cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return device.type != "cpu" or torch.get_num_threads() < cores
