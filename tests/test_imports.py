"""What importing a room loads: ``Segmentor`` needs no Lightning, and reading runs, names and facts needs no torch.

What commands import that need no torch is in commands/test_start_up.py.

Each test looks at a process of its own, in which it imports module after module and asks what came along.
"""

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sclip_lightning
from tests.fake_data import write_palette_mask, write_voc

PACKAGE = Path(sclip_lightning.__file__).parent
LIGHTNING = ("lightning", "pytorch_lightning")
#: What must not come with modules and rooms; what nothing heavy comes with stands first, since one process imports all.
WITHOUT = [
    ((*LIGHTNING, "torch", "albumentations", "cv2"), ["__init__", "cli", "vocabulary", "records", "reports"]),
    ((*LIGHTNING, "torch"), ["model.facts", "model.method_files", "data.__init__", "data.reading.segmentation_data"]),
    (
        (*LIGHTNING, "open_clip"),
        [
            "segmentor", "prediction", "windows", "towers", "refine", "upsampling", "decoding", "model", "methods",
            "metrics", "pictures",
        ],
    ),
]  # fmt: skip
#: Imports the modules of some groups and runs some code, and prints, for each that loaded one of the packages that it
#: must not first, which. All in one process, since importing torch and what goes with it takes seconds.
PROBE = """
import importlib, json, sys
found = {}
def watch(what, unwanted, action):
    before = set(sys.modules)
    action()
    loaded = [name for name in unwanted if name in sys.modules and name not in before]
    if loaded:
        found[what] = loaded
groups, uses = json.loads(sys.argv[1])
for unwanted, modules in groups:
    for module in modules:
        watch(module, unwanted, lambda: importlib.import_module(module))
for what, (unwanted, code) in uses.items():
    watch(what, unwanted, lambda: exec(code, {}))
print(json.dumps(found))
"""
#: What is imported only when something is used, in Python and by the command: first what needs no model.
SCORE = """
from sclip_lightning.cli import main
main(["score", "--data=VOC21", "--data.root={voc}", "--predictions={run}/labels", "--output_dir={run}/scored"])
"""
PANELS = """
from pathlib import Path
from sclip_lightning.commands.parsing.compare_panels import write_panels
write_panels((Path({run!r}), Path({run!r})), ["2007_000001"], Path({run!r}, "panels"))
"""
SEGMENT = """
import numpy as np
from sclip_lightning import Segmentor
from sclip_lightning.decoding import LastBlock
from sclip_lightning.refine import LPOSS, PAMR, DenseCRF
options = dict(decoder=LastBlock("naclip", rcs=True, sfr=True), refiners=[LPOSS(None), PAMR(1), DenseCRF(1)])
segmentor = Segmentor.from_pretrained({architecture!r}, templates="none", device="cpu", **options)
prediction = segmentor.predict(np.zeros((40, 60, 3), np.uint8), "cat, sky", background=True)
assert prediction.probabilities.shape == (3, 40, 60)
prediction.overlay()
"""
PREDICT = """
from sclip_lightning.cli import main
model = ["--model.architecture=demo", "--model.weights=demo", "--model.crop=64", "--model.stride=32"]
main(["predict", "--images={images}", "--output_dir={out}", "--classes=sky, grass", "--short_side=64", *model])
"""


def modules_of(room):
    """Full names of a module, or of every module of a room."""
    place = PACKAGE.joinpath(*room.split("."))
    paths = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert paths, f"there is no room {room}"
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    return [".".join(name[:-1] if name[-1] == "__init__" else name) for name in parts]


def loaded_by(groups, uses=None):
    """What importing modules, and then code by name, load of what they must not, by the first module that does."""
    command = [sys.executable, "-c", PROBE, json.dumps([groups, uses or {}])]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_module_can_be_imported():
    """Not slow, so that ``pytest -m "not slow"`` has looked at each module at least once."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"]
    names = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    modules = [".".join(name).removesuffix(".__init__") for name in names]
    assert len(modules) > 100
    for module in modules:
        importlib.import_module(module)


@pytest.fixture
def run(tmp_path):
    """A run of two images of VOC that has kept label maps; the data are in the folder ``voc`` beside it."""
    (tmp_path / "run/labels").mkdir(parents=True)
    for mask in (write_voc(tmp_path / "voc", 2) / "SegmentationClass").iterdir():
        with Image.open(mask) as stored:
            write_palette_mask(tmp_path / "run/labels" / mask.name, np.asarray(stored) % 21)
    data = {"class_path": "sclip_lightning.data.VOC21", "init_args": {"root": str(tmp_path / "voc"), "batch_size": 2}}
    (tmp_path / "run/config.yaml").write_text(json.dumps({"data": data}))
    return tmp_path / "run"


@pytest.mark.slow
def test_rooms_and_commands_load_no_more_than_they_are_said_to(run, tiny_clip, tmp_path):
    """Scoring and panels of two runs need no Lightning and no model, and segmenting needs no Lightning."""
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "black.png")
    groups = [(unwanted, [name for room in rooms for name in modules_of(room)]) for unwanted, rooms in WITHOUT]
    uses = {
        "sclip score": ((*LIGHTNING, "open_clip"), SCORE.format(voc=tmp_path / "voc", run=run)),
        "panels of two runs": ((*LIGHTNING, "open_clip"), PANELS.format(run=str(run))),
        "segmenting": (LIGHTNING, SEGMENT.format(architecture=tiny_clip)),
        "sclip predict": (LIGHTNING, PREDICT.format(images=tmp_path / "black.png", out=tmp_path / "out")),
    }
    assert loaded_by(groups, uses) == {}
    assert "mIoU" in json.loads((run / "scored/VOC21/score/results.json").read_text())["metrics"]
    assert (run / "panels/2007_000001.png").is_file()
    assert len(list((tmp_path / "out/labels").iterdir())) == 1


@pytest.mark.slow
def test_the_probe_sees_what_is_loaded():
    found = loaded_by(
        [(["torch", "numpy"], ["sclip_lightning.records"]), (["yaml"], ["sclip_lightning.model.facts"])],
        {"reading colours": (["colorsys"], "import colorsys")},
    )
    expected = {"sclip_lightning.records": ["numpy"], "sclip_lightning.model.facts": ["yaml"]}
    assert found == expected | {"reading colours": ["colorsys"]}
    assert find_spec("lightning")  # under this name it could be loaded
