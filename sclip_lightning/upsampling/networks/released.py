"""Weights that upsamplers' authors release on GitHub: fetching a file once, and reading it all or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.checkpoints import read_state_dict

__all__ = ["Release", "fit", "misfits", "read_release"]

_SHOWN = 4  # problems spelled out in an error


@dataclass(frozen=True)
class Release:
    """A file of a release.

    Attributes:
        network: What it holds, for messages.
        repository: ``owner/name`` on GitHub.
        tag: Of the release.
        file: Its name.
    """

    network: str
    repository: str
    tag: str
    file: str

    @property
    def url(self) -> str:
        """Where it lies."""
        return f"https://github.com/{self.repository}/releases/download/{self.tag}/{self.file}"


def read_release(release: Release, weights: str, releases: tuple[str, ...]) -> tuple[dict[str, Tensor], Path]:
    """The tensors of a release, or of a local file in its place, and the file.

    Args:
        release: The one that is meant where ``weights`` names a release.
        weights: Such a name, or the path of a file.
        releases: What names a release.

    Raises:
        CheckpointError: The file is not found, cannot be fetched, cannot be read or holds anything but tensors.
    """
    path = _fetched(release) if weights in releases else Path(weights).expanduser()
    if not path.is_file():
        msg = (
            f"{release.network}'s weights {weights!r} are no file. Download {release.url} and name it with "
            f"--model.upsampler.weights, or give {' or '.join(releases)} to have it fetched."
        )
        raise CheckpointError(msg)
    return read_state_dict(path), path


def fit(network: torch.nn.Module, state: dict[str, Tensor], path: Path, release: Release) -> None:
    """Load all tensors into a network.

    Raises:
        CheckpointError: One is missing, unknown, of another shape or not finite.
    """
    if problems := misfits(state, network.state_dict()):
        msg = f"The checkpoint {path} does not fit {release.network}: {problems}. Use {release.file} from https://github.com/{release.repository}/releases/tag/{release.tag}."
        raise CheckpointError(msg)
    network.load_state_dict(state)


def misfits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """What is the matter with tensors that should fill a network: the first problems in words, none where they do."""
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in expected]
    for name in state.keys() & expected.keys():
        if state[name].shape != expected[name].shape:
            problems.append(f"{name} has shape {list(state[name].shape)}, expected {list(expected[name].shape)}")
        elif not state[name].isfinite().all():
            problems.append(f"{name} has values that are not finite")
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{'; '.join(sorted(problems)[:_SHOWN])}{more}"


def _fetched(release: Release) -> Path:
    """The file where torch.hub keeps its own, fetched if it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / release.file
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(release.url, str(path), progress=False)  # whole or not at all
    except Exception as error:  # whatever the network, or the disk, comes up with
        msg = (
            f"{release.network}'s weights cannot be fetched from {release.url}, and {path} is not there "
            f"({type(error).__name__}: {' '.join(str(error).split())}). On a machine with network, download the file, "
            "put it anywhere on this one, and name it with --model.upsampler.weights."
        )
        raise CheckpointError(msg) from error
    return path
