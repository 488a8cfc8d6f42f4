"""Colours in CLIP's normalisation."""

import torch
import torch.nn.functional as F
from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from sclip_lightning.windows.colours import colours, padded_with_black

MEAN, STD = torch.tensor([OPENAI_CLIP_MEAN, OPENAI_CLIP_STD])[..., None, None]


def test_there_and_back():
    rgb = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = colours((rgb - MEAN) / STD)
    torch.testing.assert_close(found, rgb, atol=1e-6, rtol=0)
    assert colours(((rgb - MEAN) / STD).bfloat16()).dtype == torch.float32


def test_black_fills_up_patches_at_the_bottom_and_right():
    rgb = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    windows = (rgb - MEAN) / STD
    found = padded_with_black(windows, (4, 3))
    assert found.shape == (2, 3, 8, 9)
    assert torch.equal(found[..., :5, :7], windows)
    torch.testing.assert_close(colours(found), F.pad(rgb, (0, 2, 0, 3)), atol=1e-6, rtol=0)
    assert padded_with_black(windows, (5, 7)) is windows
