"""Recorded outputs of the authors' code. To be replaced by tests/golden.py."""

import json
import os
from pathlib import Path

import numpy as np


def load(name):
    """Arrays by key, and what ``meta`` says."""
    folder = Path(os.environ.get("SCLIP_GOLDENS") or Path(__file__).parents[1] / "goldens")
    arrays = dict(np.load(folder / f"{name}_{os.environ.get('SCLIP_GOLDEN_SET', 'A')}.npz", allow_pickle=False))
    return arrays, json.loads(str(arrays.pop("meta")))


def cases(arrays, *endings):
    """All prefixes under which there is a key with each of the endings."""
    found = [{key[: -len(end) - 1] for key in arrays if key.endswith("/" + end)} for end in endings]
    names = sorted(set.intersection(*found))
    assert names, f"the recording has no case with {', '.join(endings)}"
    return names
