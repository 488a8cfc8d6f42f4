import pytest
import torch
import torch.nn.functional as F

from sclip_lightning.refine.pamr import PAMR, pamr, pamr_weights
from tests.builders import build_segmentor, guide
from tests.recordings import RESCLIP, SCLIP, sclip


def plain(logits, image, iterations, dilations):
    """The definition with every neighbour's map in memory at once."""
    height, width = image.shape[-2:]

    def stack(maps):
        shifted = []
        for d in dilations:
            padded = F.pad(maps, (d, d, d, d), mode="replicate")
            for y in (0, d, 2 * d):
                for x in (0, d, 2 * d):
                    if (y, x) != (d, d):
                        shifted.append(padded[..., y : y + height, x : x + width])
        return torch.stack(shifted, dim=2)

    around = stack(image)
    everything = torch.cat([around, image[:, :, None].repeat(1, 1, len(dilations), 1, 1)], dim=2)
    spread = everything.std(dim=2, keepdim=True)
    weights = (-(around - image[:, :, None]).abs() / (1e-8 + 0.1 * spread)).mean(dim=1).softmax(dim=1)
    for _ in range(iterations):
        logits = (stack(logits) * weights[:, None]).sum(dim=2)
    return logits


def refined(logits, image):
    """PAMR as SCLIP's recording has it, on logits [Q, H, W] with the normalised image [3, h, w]."""
    return PAMR()(logits, guide(pixels=image))


@RESCLIP.each("unit/pamr/out_steps{steps}_dil{dilations}")
def test_matches_the_recording(steps, dilations):
    mask, image = RESCLIP.tensor("unit/pamr/mask"), RESCLIP.tensor("unit/pamr/image")
    found = pamr(mask, image, int(steps), tuple(map(int, dilations.split("_"))))
    expected = RESCLIP.tensor(f"unit/pamr/out_steps{steps}_dil{dilations}")
    # The recording itself is 5e-6 from the same steps in float64: values to 3.4, and flat areas amplify rounding.
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@SCLIP.each("slide/pamr_logits_sub{step}")
def test_slide_logits_match_the_recording(step):
    recorded, size = sclip(), tuple(SCLIP["config/ori_shape"].tolist())
    windows = {"crop": recorded.crop, "stride": recorded.stride}
    segmentor = build_segmentor(recorded.model, recorded.queries, recorded.classes, "sclip", **windows)
    found = refined(segmentor.logits(recorded.image, size)[0], recorded.image[0])[:, :: int(step), :: int(step)]
    torch.testing.assert_close(found, SCLIP.tensor(f"slide/pamr_logits_sub{step}")[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "dilations"), [((40, 33), (8, 16)), ((5, 70), (1, 3)), ((1, 1), (8,))])
def test_equals_its_definition(size, dilations):
    torch.manual_seed(0)
    logits, image = torch.randn(2, 5, *size), torch.randn(2, 3, *size)
    torch.testing.assert_close(pamr(logits, image, 4, dilations), plain(logits, image, 4, dilations))


def test_is_an_average():
    torch.manual_seed(0)
    logits, image = torch.randn(1, 3, 30, 40), torch.randn(1, 3, 30, 40)
    refined = pamr(logits, image)
    assert (refined.amax(dim=(2, 3)) <= logits.amax(dim=(2, 3)) + 1e-6).all()
    assert (refined.amin(dim=(2, 3)) >= logits.amin(dim=(2, 3)) - 1e-6).all()
    _, weights = pamr_weights(image)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(30 * 40))


def test_constant_image_is_no_division_by_zero():
    refined = pamr(torch.randn(1, 2, 9, 9), torch.full((1, 3, 9, 9), 7.0))
    assert refined.isfinite().all()
