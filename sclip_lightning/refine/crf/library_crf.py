"""The dense CRF of the library pydensecrf, the C++ code that the field's published numbers were made with."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from sclip_lightning.errors import ConfigError
from sclip_lightning.refine.crf.features import Widths

__all__ = ["MISSING", "is_installed", "library_crf"]

MISSING = (
    'DenseCRF with backend pydensecrf: the library is not installed. pip install "sclip_lightning[crf]" builds it,'
    " which takes a C++ compiler and Python 3.10 to 3.12. The backend torch computes the same without it."
)


def is_installed() -> bool:
    """Whether pydensecrf can be imported."""
    return find_spec("pydensecrf") is not None


def library_crf(
    probabilities: Tensor,
    image: Tensor,
    iterations: int,
    gaussian_sxy: Widths,
    gaussian_compat: float,
    bilateral_sxy: Widths,
    bilateral_srgb: Widths,
    bilateral_compat: float,
) -> Tensor:
    """Marginals of a dense CRF, computed by pydensecrf in one CPU thread; arguments as of ``dense_crf``.

    Raises:
        ConfigError: pydensecrf is not installed.
    """
    if not is_installed():
        raise ConfigError(MISSING)
    classes, height, width = probabilities.shape
    crf = import_module("pydensecrf.densecrf").DenseCRF2D(width, height, classes)
    energy = -probabilities.float().cpu().clamp(1e-5, 1).log().flatten(1)
    crf.setUnaryEnergy(energy.contiguous().numpy())
    crf.addPairwiseGaussian(sxy=gaussian_sxy, compat=gaussian_compat)
    rgb = image.permute(1, 2, 0).cpu().contiguous().numpy()
    crf.addPairwiseBilateral(sxy=bilateral_sxy, srgb=bilateral_srgb, rgbim=rgb, compat=bilateral_compat)
    marginals = torch.from_numpy(np.array(crf.inference(iterations)))
    return marginals.view(classes, height, width).to(probabilities.device)
