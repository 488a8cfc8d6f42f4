"""What the page's picture is made of: an answer as plain values that viewer.js draws."""

import base64
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sclip_lightning.app.workbench import Answer

__all__ = ["CSS", "HTML", "JAVASCRIPT", "heat_of", "picture_of"]

#: Longest side of the picture on the page in pixels; downloads have the image's own.
SHOWN = 1280

_HERE = Path(__file__).parent
JAVASCRIPT = (_HERE / "viewer.js").read_text(encoding="utf-8")
CSS = (_HERE / "viewer.css").read_text(encoding="utf-8")
HTML = "<div class='sclip-viewer'></div>"


def picture_of(answer: Answer) -> dict[str, Any]:
    """The image, its labels, and name, words, colour and share of each class, the largest first."""
    prediction = answer.prediction
    rows, columns = _shown(*prediction.labels.shape)
    image = Image.fromarray(prediction.image).resize(
        (len(columns), len(rows)), Image.Resampling.LANCZOS, reducing_gap=2
    )
    shares = prediction.shares()
    classes = [
        {
            "index": index,
            "name": name,
            "words": list(answer.words[index]),
            "colour": prediction.palette[index].tolist(),
            "share": shares[name],
        }
        for index, name in enumerate(prediction.classes)
    ]
    how = "The image's network ran" if answer.ran else "Features kept, no network run"
    return {
        "width": len(columns),
        "height": len(rows),
        "image": f"data:image/jpeg;base64,{_base64(_jpeg(image))}",
        "labels": _packed(prediction.labels[rows[:, None], columns].astype("<u2")),
        "classes": sorted(classes, key=lambda one: -one["share"]),
        "size": list(prediction.labels.shape[::-1]),
        "how": f"{how}; {answer.seconds:.2f} s.",
        "notes": list(answer.notes),
    }


def heat_of(index: int, probability: npt.NDArray[np.float32]) -> dict[str, Any]:
    """One class's probability [H, W] in 1/255, at the size of the picture."""
    rows, columns = _shown(*probability.shape)
    values = np.rint(probability[rows[:, None], columns].clip(0, 1) * 255).astype(np.uint8)
    return {"index": index, "values": _packed(values)}


def _shown(height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of an image that are shown: the nearest to the centres of the picture's pixels."""
    scale = max(height, width, SHOWN) / SHOWN
    return tuple(  # type: ignore[return-value]
        ((np.arange(max(round(side / scale), 1)) + 0.5) * side / max(round(side / scale), 1)).astype(np.int64)
        for side in (height, width)
    )


def _jpeg(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, format="JPEG", quality=90)
    return content.getvalue()


def _packed(values: npt.NDArray[Any]) -> str:
    return _base64(zlib.compress(np.ascontiguousarray(values).tobytes(), 3))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
