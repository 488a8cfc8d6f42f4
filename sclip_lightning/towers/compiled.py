"""What compiling CLIP's vision tower needs of a machine; see :class:`~sclip_lightning.towers.clip.ClipTower`."""

import os
import shutil
from importlib.util import find_spec

import torch

from sclip_lightning.errors import ConfigError

__all__ = ["check_compiler"]


def check_compiler(device: torch.device) -> None:
    """Make sure that torch has what it compiles with.

    Raises:
        ConfigError: It has not.
    """
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise ConfigError("--model.compile true needs triton on a GPU: pip install triton, or leave it out.")
        return
    named = os.environ.get("CXX")
    compilers = [named] if named else ["g++", "clang++", "cl"]
    if not any(map(shutil.which, compilers)):
        msg = (
            f"--model.compile true needs a C++ compiler, and there is no {' or '.join(compilers)}. Install one "
            "(apt-get install g++), name yours in the environment variable CXX, or leave --model.compile out."
        )
        raise ConfigError(msg)
