"""Recorded outputs of the authors' code, for the tests that compare with them.

A recording is ``$SCLIP_GOLDENS/<name>_$SCLIP_GOLDEN_SET.npz``; by default the parts in ``tests/goldens``, set ``A``.
Tests take every size, class count, seed and hyper-parameter from it, and find their cases from its keys, so that
another recording of the same kind runs unchanged::

    RESCLIP = Recording("resclip")

    @RESCLIP.each("crop/{variant}/{mode}/features")
    def test_crop(variant, mode): ...  # once per key of that form, with strings

A test whose file is missing or holds no such key fails and says so. The one exception is written down: keys that
``left_out.json`` beside the files names did not fit into the parts, and skip there with its reason.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

PARTS = Path(__file__).parent / "goldens"
FOLDER = Path(os.environ.get("SCLIP_GOLDENS", PARTS))
SET = os.environ.get("SCLIP_GOLDEN_SET", "A")


class Recording:
    """The arrays of one recording, read when asked for.

    Args:
        name: What was recorded, such as ``resclip``.
        folder: Folder of the files; ``$SCLIP_GOLDENS`` by default.
        which: Letter of the set; ``$SCLIP_GOLDEN_SET`` by default.
    """

    def __init__(self, name: str, folder: Path = FOLDER, which: str = SET) -> None:
        self.name = name
        self.folder = Path(folder)
        self.path = self.folder / f"{name}_{which}.npz"

    def each(self, template: str) -> Callable[[Callable], Callable]:
        """Mark a test as golden and run it once per key of the form ``template``, ``{...}`` being its arguments."""
        arguments, found = re.findall(r"{(\w+)}", template), self.matches(template)
        marks = [pytest.mark.golden]
        if not found:
            reason = self._left_out(template)
            marks = [pytest.mark.golden, pytest.mark.skip(reason=reason)] if reason else [self._problem(template)]
        if arguments:
            rows = found or [dict.fromkeys(arguments, "none")]
            values = [tuple(row[name] for name in arguments) for row in rows]
            ids = ["-".join(row) for row in values]
            marks.append(pytest.mark.parametrize(tuple(arguments), values, ids=ids))

        def decorate(test: Callable) -> Callable:
            for mark in marks:
                test = mark(test)
            return test

        return decorate

    def matches(self, template: str) -> list[dict[str, str]]:
        """What ``{...}`` stands for in every key of the form ``template``; it never reaches over a slash."""
        form = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+?)", re.escape(template))
        return [match.groupdict() for key in self.keys for match in [re.fullmatch(form, key)] if match]

    @cached_property
    def keys(self) -> list[str]:
        """Every key, in the order of the file."""
        return list(self._files)

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def __getitem__(self, key: str) -> np.ndarray:
        """The array of a key; the test that asks for one that is not there fails."""
        if key not in self._files:
            if reason := self._left_out(key):
                pytest.skip(reason)
            pytest.fail(self._missing(key), pytrace=False)
        return self._files[key][key]

    def tensor(self, key: str) -> torch.Tensor:
        """The array of a key as a tensor, in its recorded dtype."""
        return torch.from_numpy(self[key])

    def json(self, key: str = "meta") -> Any:
        """The content of a key that holds JSON."""
        return json.loads(str(self[key]))

    def state(self, prefix: str) -> dict[str, torch.Tensor]:
        """The arrays under a prefix as a float32 state dict, without it."""
        names = [key for key in self.keys if key.startswith(prefix)]
        if not names:
            self[prefix]  # says what is missing
        return {name.removeprefix(prefix): self.tensor(name).float() for name in names}

    @cached_property
    def _files(self) -> Mapping[str, Any]:
        """The file that holds each key; a part too large for one file goes on in ``<name>_<set>.2.npz`` and so on."""
        paths = [self.path, *sorted(self.folder.glob(f"{self.path.stem}.[0-9].npz"))]
        opened = [np.load(path, allow_pickle=False) for path in paths if path.is_file()]
        return {key: file for file in opened for key in file.files}

    def _left_out(self, key: str) -> str | None:
        """Why the parts do not hold ``key``, if ``left_out.json`` says so."""
        path = self.folder / "left_out.json"
        entry = json.loads(path.read_text()).get(self.name) if path.is_file() else None
        if entry and key.startswith(tuple(entry["keys"])):
            return f"{self.name}: {entry['why']} Set SCLIP_GOLDENS to a folder with the whole file."
        return None

    def _missing(self, key: str) -> str:
        if not self.path.is_file():
            return (
                f"{self.path} does not exist. Set SCLIP_GOLDENS to the folder that holds <name>_<set>.npz and "
                "SCLIP_GOLDEN_SET to the letter of the set."
            )
        return f"{self.path} has no key {key!r}. Record it, or take a file that holds such a case."

    def _problem(self, template: str) -> pytest.MarkDecorator:
        return pytest.mark.golden(problem=self._missing(template))


def fail_without_recording(item: pytest.Item) -> None:
    """Fail a test whose recording was not there at collection."""
    for mark in item.iter_markers("golden"):
        if "problem" in mark.kwargs:
            pytest.fail(mark.kwargs["problem"], pytrace=False)
