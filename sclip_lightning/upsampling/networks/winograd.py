"""A 3x3 convolution with a quarter of the multiplications, for the CPU.

Two 3x3 convolutions are more than half of LoftUp's arithmetic. Winograd's F(4x4, 3x3) (Lavin and Gray, "Fast algorithms
for convolutional neural networks", CVPR 2016) computes 4 x 4 outputs from 6 x 6 inputs with 36 products per pair of
channels instead of 144. cuDNN chooses such algorithms itself; PyTorch's CPU backend does not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Conv3x3"]

_OUT, _IN = 4, 6  # sides of an output and an input tile

# The transforms of section 4.3, for the interpolation points 0, 1, -1, 2, -2 and infinity.
_INPUT = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = torch.tensor([[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


class Conv3x3(nn.Conv2d):
    """3x3 convolution with zero padding that keeps the size, on maps stored channels-last.

    In fp32 on the CPU it takes F(4x4, 3x3), which rounds some 3 times as coarsely as the plain convolution.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` [B, C, H, W] to [B, C', H, W]."""
        if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        batch, _, height, width = x.shape
        rows, columns = -(-height // _OUT), -(-width // _OUT)
        padding = (0, 0, 1, columns * _OUT - width + 1, 1, rows * _OUT - height + 1)
        tiles = F.pad(x.permute(0, 2, 3, 1), padding).unfold(1, _IN, _OUT).unfold(2, _IN, _OUT)
        tiles = _both_axes(_INPUT, tiles.permute(4, 5, 0, 1, 2, 3))
        kernel = _both_axes(_KERNEL, self.weight.permute(2, 3, 1, 0))
        out = torch.bmm(tiles.unflatten(1, (-1, self.in_channels)), kernel.unflatten(1, (self.in_channels, -1)))
        out = _both_axes(_OUTPUT, out.unflatten(0, (_IN, _IN))).view(_OUT, _OUT, batch, rows, columns, -1)
        out = out.permute(2, 3, 0, 4, 1, 5).reshape(batch, rows * _OUT, columns * _OUT, -1)[:, :height, :width]
        return out.permute(0, 3, 1, 2) if self.bias is None else (out + self.bias).permute(0, 3, 1, 2)


def _both_axes(transform: Tensor, tiles: Tensor) -> Tensor:
    """Apply ``transform`` [n, m] along the first two axes of ``tiles`` [m, m, ...], giving [n * n, the rest]."""
    return torch.kron(transform, transform) @ tiles.flatten(2).flatten(0, 1)
