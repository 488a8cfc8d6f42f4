"""Names of all that a run leaves in its folder.

Whoever writes, reads or deletes one of these files takes its name from here, so that ``--overwrite`` forgets none. What
``sclip test`` and ``sclip predict`` both write has one name in both.
"""

__all__ = [
    "ALL",
    "BACKGROUND",
    "CLASSES",
    "COCO",
    "CONFIG",
    "EVENTS",
    "HPARAMS",
    "LABELS",
    "LOCK",
    "OVERLAYS",
    "PANELS",
    "PER_CLASS",
    "POLYGONS",
    "PREDICTIONS",
    "PROBABILITIES",
    "RANKED_PANELS",
    "RECORDS",
    "REPORTED",
    "RESULTS",
    "RUN",
    "SETTINGS",
    "SHARES",
    "image_file",
]

#: What the run is, in a file written before its first image.
RUN = "run.json"
#: The results; a run that was not completed has none.
RESULTS = "results.json"
#: The scores of every class, again.
PER_CLASS = "per_class.csv"
#: The configuration with all defaults.
CONFIG = "config.yaml"
#: TensorBoard's: Lightning's logger chooses both names.
HPARAMS, EVENTS = "hparams.yaml", "events.out.tfevents.*"
#: Folder of record files, the lock and the marks of processes: that they are done, that they are alive.
RECORDS = "records"
#: In that folder. It is never deleted: whoever waits for it would wait for a file that is not there any more.
LOCK = ".lock"
#: In that folder: pictures and TensorBoard's pages have been made of the results, too.
REPORTED = ".reported"
#: Folders with a file for some or all images.
PANELS, RANKED_PANELS = "panels", "ranked_panels"
LABELS, OVERLAYS, PROBABILITIES = "labels", "overlays", "probabilities"

#: Patterns of all of them; what else lies in a run's folder is the user's. The run's description comes first, and is
#: the last to be deleted: without it nothing says that the rest is ours.
ALL = (
    RUN,
    RESULTS,
    PER_CLASS,
    CONFIG,
    HPARAMS,
    EVENTS,
    RECORDS,
    PANELS,
    RANKED_PANELS,
    LABELS,
    OVERLAYS,
    PROBABILITIES,
)

#: Only of ``sclip predict``: what labels depend on and how far it came, the classes, and their shares in every image.
SETTINGS, CLASSES, SHARES = "settings.json", "classes.csv", "shares.csv"
#: Likewise: a file, and a folder with a file for each image.
COCO, POLYGONS = "coco.json", "polygons"
#: Likewise: the words of a background that was chosen for the classes.
BACKGROUND = "background.txt"
#: All that ``sclip predict`` writes, what says that it is ours first.
PREDICTIONS = (SETTINGS, SHARES, CLASSES, BACKGROUND, CONFIG, RECORDS, LABELS, OVERLAYS, COCO, POLYGONS)


def image_file(id_: str, suffix: str) -> str:
    """The name of an image's file in one of the folders; ids may be paths.

    Args:
        id_: Of the image.
        suffix: With its dot.
    """
    return f"{id_.replace('/', '_')}{suffix}"
