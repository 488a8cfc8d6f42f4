"""Cuts a part out of a whole recording: fewer keys, the arrays untouched.

    python tests/goldens/cut.py WHOLE.npz [KEY_OR_PREFIX ...]

takes the keys that equal or start with one of those given, or else those that ``kept.json`` lists for the recording.
The part is written beside this file. What does not fit into one file of 1.5 MB goes on in ``<name>.2.npz`` and so on.
"""

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LARGEST = 1_500_000
#: What a zip archive adds to a member: two headers and its name twice.
OVERHEAD = 220


def kept(key: str, wanted: list[str]) -> bool:
    """Whether ``key`` is one of those wanted; a trailing slash or underscore makes a prefix."""
    return any(key == want or (want.endswith(("/", "_")) and key.startswith(want)) for want in wanted)


def smallest(array: np.ndarray) -> tuple[int, int, bytes]:
    """Compressed size, method of compression and bytes of the array's .npy file."""
    npy = io.BytesIO()
    np.save(npy, array, allow_pickle=False)
    sizes = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("array", npy.getvalue())
        sizes.append((buffer.tell(), method))
    return (*min(sizes), npy.getvalue())


def cut(whole: Path, wanted: list[str], folder: Path) -> list[Path]:
    """Write the part; returns its files."""
    bins: list[list] = [[]]
    sizes = [0]
    with np.load(whole, allow_pickle=False) as recording:
        for key in recording.files:
            if not kept(key, wanted):
                continue
            size, method, content = smallest(recording[key])
            fits = next((i for i, used in enumerate(sizes) if used + size + OVERHEAD <= LARGEST), len(sizes))
            if fits == len(sizes):
                bins.append([])
                sizes.append(0)
            bins[fits].append((key, method, content))
            sizes[fits] += size + OVERHEAD
    paths = [folder / f"{whole.stem}{f'.{i}' if i > 1 else ''}.npz" for i in range(1, len(bins) + 1)]
    for path, members in zip(paths, bins, strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            for key, method, content in members:
                # A fixed date, so that the same keys give the same bytes.
                archive.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), content, method)
    return paths


def main() -> None:
    """Cut the recordings named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whole", type=Path)
    parser.add_argument("keys", nargs="*", metavar="KEY_OR_PREFIX")
    arguments = parser.parse_args()
    name = arguments.whole.stem.rpartition("_")[0]
    wanted = arguments.keys or json.loads((HERE / "kept.json").read_text())[name]
    for path in cut(arguments.whole, wanted, HERE):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
