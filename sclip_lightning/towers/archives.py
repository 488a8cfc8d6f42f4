"""Tensors out of TorchScript archives, the form that OpenAI published CLIP in, without running what else is in them.

``torch.jit.load`` runs code of the archive: a module's ``__setstate__`` can write any file. Only the tensors are
wanted. They lie in the zip file as plain bytes, ``data/0``, ``data/1`` and so on, and ``data.pkl`` says which module's
parameter each is. The latter is a pickle: it is read by an unpickler that knows no names but those of tensors.
"""

import hashlib
import math
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from sclip_lightning.towers import lazy_open_clip as open_clip

__all__ = ["is_archive", "note_if_unknown", "read_archive"]

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

#: How TorchScript writes down which of a module's attributes are its parameters and buffers.
_CLASS = re.compile(
    r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*?)\]\n  __buffers__ = \[(.*?)\]", re.MULTILINE | re.DOTALL
)


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive, as far as its list of contents says."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def note_if_unknown(path: Path) -> None:
    """Warn where an archive is none of those that OpenAI published, whose SHA-256 stand in their addresses."""
    models = open_clip.list_pretrained_models_by_tag("openai")
    urls = [open_clip.get_pretrained_url(model, "openai") for model in models]
    published = {url.split("/")[-2]: url.split("/")[-1] for url in urls if "openaipublic" in url}
    found = _sha256(path)
    if found in published:
        return
    expected = next((digest for digest, name in published.items() if name == path.name), None)
    meant = f"that of OpenAI's {path.name} is {expected}" if expected else "OpenAI published none of that checksum"
    warnings.warn(
        f"The checkpoint {path} has the SHA-256 {found}; {meant}. Its tensors are loaded all the same, and nothing in "
        "it is run. Where you expected OpenAI's weights, fetch the file again."
    )


def read_archive(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers of the module in an archive, by their names in its state dict.

    Raises:
        pickle.UnpicklingError: ``data.pkl`` asks for anything but tensors, or does not describe a module.
        ValueError: A tensor has not as many bytes as it says, or the archive was written with another byte order.
        Exception: Whatever else a damaged file makes the readers below raise.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next(name for name in names if name.endswith("/constants.pkl")).removesuffix("constants.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        module = _Unpickler(archive, root).load()
        if not isinstance(module, _Module):
            raise pickle.UnpicklingError("it holds no module")
        return _state_dict(module, _declared(archive, root))


class _Module:
    """Stands for a module of any class: what the archive says of its attributes, and no behaviour."""

    kind = ""
    attributes: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, state: Any) -> None:
        # A mapping of attributes; what a module with __getstate__ of its own wrote is for its code to read.
        self.attributes = dict(state) if isinstance(state, dict) else {}


class _Unpickler(pickle.Unpickler):
    """Knows modules as :class:`_Module`, and the few functions that tensors are described with."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            # A class of its own for each name and reading: nothing that a pickle sets on it outlives the reading.
            return type("_Module", (_Module,), {"kind": f"{module}.{name}"})
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) in _FUNCTIONS:
            return _FUNCTIONS[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which has no place in a file of tensors")

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage, one after the other."""
        _, kind, key, _, count = pid
        dtype = _DTYPES[kind]
        entry = self._archive.getinfo(f"{self._root}data/{key}")
        size = int(count) * dtype.itemsize
        if entry.file_size != size:
            raise ValueError(f"{entry.filename} has {entry.file_size} bytes instead of {size}")
        return (
            torch.frombuffer(bytearray(self._archive.read(entry)), dtype=dtype) if size else torch.empty(0, dtype=dtype)
        )


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    if math.prod(size) > len(storage):
        raise ValueError(f"a tensor of {size} is larger than its {len(storage)} numbers")
    return storage.as_strided(size, stride, offset).clone()


def _same(value: Any, *_: Any) -> Any:
    return value


_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("collections", "OrderedDict"): OrderedDict,
    **{("torch.jit._pickle", f"build_{kind}list"): _same for kind in ("int", "double", "bool", "tensor")},
    ("torch.jit._pickle", "restore_type_tag"): _same,
}


def _declared(archive: zipfile.ZipFile, root: str) -> dict[str, set[str]]:
    """Names of parameters and buffers by class, out of the text of the archive's code."""
    declared = {}
    for name in archive.namelist():
        if name.startswith(f"{root}code/") and name.endswith(".py"):
            place = name.removeprefix(f"{root}code/").removesuffix(".py").replace("/", ".")
            for kind, *lists in _CLASS.findall(archive.read(name).decode()):
                declared[f"{place}.{kind}"] = set(re.findall(r'"(.*?)"', " ".join(lists)))
    return declared


def _state_dict(module: _Module, declared: Mapping[str, set[str]], prefix: str = "") -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, value in module.attributes.items():
        if isinstance(value, _Module):
            state |= _state_dict(value, declared, f"{prefix}{name}.")
        elif isinstance(value, Tensor) and name in declared.get(module.kind, (name,)):
            state[f"{prefix}{name}"] = value
    return state


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()
