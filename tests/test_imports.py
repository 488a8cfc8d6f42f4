"""What importing a room loads: ``Segmentor`` needs no Lightning, and reading runs, names and facts needs no torch.

Each test looks at a process of its own, in which it imports module after module and asks what came along.
"""

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import sclip_lightning

PACKAGE = Path(sclip_lightning.__file__).parent
LIGHTNING = ("lightning", "pytorch_lightning")
#: What must not come with modules and rooms; what nothing heavy comes with stands first, since one process imports all.
WITHOUT = [
    ((*LIGHTNING, "torch", "albumentations", "cv2"), ["__init__", "cli", "vocabulary", "records", "reports"]),
    ((*LIGHTNING, "torch"), ["model.facts", "model.method_files", "data.__init__", "data.reading.segmentation_data"]),
    (
        LIGHTNING,
        [
            "segmentor", "prediction", "windows", "towers", "refine", "upsampling", "decoding", "model", "methods",
            "metrics", "pictures",
        ],
    ),
]  # fmt: skip
#: Imports the modules of some groups and prints, for each that loaded one of its group's packages first, which.
PROBE = """
import importlib, json, sys
found = {}
for unwanted, modules in json.loads(sys.argv[1]):
    for module in modules:
        before = set(sys.modules)
        importlib.import_module(module)
        loaded = [name for name in unwanted if name in sys.modules and name not in before]
        if loaded:
            found[module] = loaded
print(json.dumps(found))
"""


def modules_of(room):
    """Full names of a module, or of every module of a room."""
    place = PACKAGE.joinpath(*room.split("."))
    paths = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert paths, f"there is no room {room}"
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    return [".".join(name[:-1] if name[-1] == "__init__" else name) for name in parts]


def loaded_by(groups):
    """What importing modules loads of what it must not, by the first module that does."""
    command = [sys.executable, "-c", PROBE, json.dumps(groups)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return json.loads(ran.stdout)


def test_every_module_can_be_imported():
    """Not slow, so that ``pytest -m "not slow"`` has looked at each module at least once."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"]
    names = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in paths]
    modules = [".".join(name).removesuffix(".__init__") for name in names]
    assert len(modules) > 100
    for module in modules:
        importlib.import_module(module)


@pytest.mark.slow
def test_rooms_load_no_more_than_they_are_said_to():
    groups = [(unwanted, [name for room in rooms for name in modules_of(room)]) for unwanted, rooms in WITHOUT]
    assert loaded_by(groups) == {}


@pytest.mark.slow
def test_the_probe_sees_what_is_loaded():
    found = loaded_by(
        [(["torch", "numpy"], ["sclip_lightning.records"]), (["torch"], ["sclip_lightning.windows.grid"])]
    )
    assert found == {"sclip_lightning.records": ["numpy"], "sclip_lightning.windows.grid": ["torch"]}
    assert find_spec("lightning")  # under this name it could be loaded


@pytest.mark.slow
def test_segmenting_loads_no_lightning(tiny_clip):
    """What is imported only when it is used."""
    code = (
        "import sys, sclip_lightning, numpy as np\n"
        "assert 'torch' not in sys.modules\n"
        "from sclip_lightning import Segmentor\n"
        "from sclip_lightning.decoding import LastBlock\n"
        "from sclip_lightning.refine import LPOSS, PAMR, DenseCRF\n"
        "refiners = [LPOSS(None), PAMR(1), DenseCRF(1)]\n"
        "options = dict(decoder=LastBlock('naclip', rcs=True, sfr=True), refiners=refiners)\n"
        f"segmentor = Segmentor.from_pretrained({tiny_clip!r}, templates='none', device='cpu', **options)\n"
        "prediction = segmentor.predict(np.zeros((40, 60, 3), np.uint8), 'cat, sky', background=True)\n"
        "assert prediction.probabilities.shape == (3, 40, 60)\n"
        "prediction.overlay()\n"
        "print([name for name in ('lightning', 'pytorch_lightning') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"
