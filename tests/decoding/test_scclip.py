"""SC-CLIP against the recording of its authors' code, and what no recording says."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from sclip_lightning.decoding import SCCLIP
from sclip_lightning.decoding.affinity.outliers import outlier_scores, outliers, repaired
from sclip_lightning.decoding.scclip import cosines, similarity_weights
from sclip_lightning.errors import ConfigError
from tests.builders import build_head, build_segmentor, decoded, patch_maps
from tests.golden import Recording
from tests.recordings import classes_of
from tests.tiny_clip import from_state

GOLDEN = Recording("scclip")
#: As the recording's README has it.
LOGITS, NO_REPAIR, INNER, PROBABILITIES = 5e-6, 5e-5, 5e-5, 5e-5
#: The stages by their names in the recording.
STAGES = {
    "no_repair": {"repair": False},
    "no_first_aggregation": {"aggregate": False},
    "no_last_aggregation": {"aggregate_after": False},
    "no_second_pass": {"two_passes": False},
}


@cache
def recorded_model():
    return from_state(GOLDEN.state("sd/"), GOLDEN.json()["heads"])


def recorded_decoder(**numbers):
    hyper = GOLDEN.json()["hyper"] | numbers
    names = {"second_pass": "second_pass_blocks", "class_share": "class_token"}
    fields = ("similarity_block", "post_block", "beta", "factor", "neighbours", "outlier_share")
    hyper["second_pass_blocks"] = tuple(hyper["second_pass_blocks"])
    return SCCLIP(**{name: hyper[name] for name in fields}, **{key: hyper[name] for key, name in names.items()})


def recorded_image():
    pixels = (GOLDEN.tensor("image_u8").float() - GOLDEN.tensor("mean")) / GOLDEN.tensor("std")
    return pixels.permute(2, 0, 1)[None]


def box(name):
    top, left, height, width = GOLDEN.json()["boxes"][name]
    return recorded_image()[..., : GOLDEN.json()["img_width"]][..., top : top + height, left : left + width]


def recorded_segmentor(decoder=None, **options):
    texts = GOLDEN.tensor("text/features"), GOLDEN.tensor("text/query_idx").long()
    slide = GOLDEN.json()["slide"]
    options = {"crop": slide["crop"], "stride": slide["stride"]} | options
    return build_segmentor(recorded_model(), *texts, decoder=decoder or recorded_decoder(), **options)


@GOLDEN.each("crop/ablate/{stage}")
def test_each_stage_by_itself(stage):
    found = patch_maps(recorded_segmentor(replace(recorded_decoder(), **STAGES[stage])), box("crop"))[0]
    tolerance = NO_REPAIR if stage == "no_repair" else LOGITS
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop/ablate/{stage}"), atol=tolerance, rtol=0)


@GOLDEN.each("crop_hp/{which}/patch_logits")
def test_other_numbers(which):
    found = patch_maps(recorded_segmentor(recorded_decoder(**GOLDEN.json()["crop_hp"][which])), box("crop"))[0]
    torch.testing.assert_close(found, GOLDEN.tensor(f"crop_hp/{which}/patch_logits"), atol=LOGITS, rtol=0)


@GOLDEN.each("{name}/patch_logits")
def test_windows_of_any_shape(name):
    found = patch_maps(recorded_segmentor(), box(name))[0]
    torch.testing.assert_close(found, GOLDEN.tensor(f"{name}/patch_logits"), atol=LOGITS, rtol=0)


@cache
def recorded_trunk(name, decoder=None):
    """The tower, and what it gives a decoder of a window."""
    tower, decoder = (
        build_segmentor(recorded_model(), torch.eye(1), torch.zeros(1)).tower,
        decoder or recorded_decoder(),
    )
    return tower, tower.trunk(box(name), keep=decoder.reads(tower.depth))


def patches(name):
    """What the last block starts from."""
    _, trunk = recorded_trunk(name)
    assert trunk.x.shape[1] == 1 + trunk.grid[0] * trunk.grid[1]
    return trunk.x[:, 1:]


@GOLDEN.each("{name}/outliers")
def test_outliers(name):
    hyper = GOLDEN.json()["hyper"]
    found = outliers(patches(name), hyper["neighbours"], hyper["outlier_share"])[0].nonzero().squeeze(1)
    assert found.tolist() == GOLDEN[f"{name}/outliers"].tolist()


@GOLDEN.each("crop_hp/{which}/outliers")
def test_outliers_with_other_numbers(which):
    hyper = GOLDEN.json()["hyper"] | GOLDEN.json()["crop_hp"][which]
    found = outliers(patches("crop"), hyper["neighbours"], hyper["outlier_share"])[0].nonzero().squeeze(1)
    assert found.tolist() == GOLDEN[f"crop_hp/{which}/outliers"].tolist()


@GOLDEN.each("{name}/lof_scores")
def test_scores_of_outliers(name):
    scores = outlier_scores(patches(name), GOLDEN.json()["hyper"]["neighbours"])[0]
    torch.testing.assert_close(scores, GOLDEN.tensor(f"{name}/lof_scores"), atol=INNER, rtol=0)


@GOLDEN.each("{name}/f{block}_outlier_rows")
def test_patches_before_the_repair(name, block):
    assert int(block) == GOLDEN.json()["layers"] - 1
    rows = patches(name)[0, GOLDEN.tensor(f"{name}/outliers").long()]
    torch.testing.assert_close(rows, GOLDEN.tensor(f"{name}/f{block}_outlier_rows"), atol=INNER, rtol=0)


@torch.no_grad()
def stage(name, what):
    """Inner maps of the decoder [N, ...] by their names in the recording."""
    decoder = recorded_decoder()
    tower, trunk = recorded_trunk(name)
    z, similarity = decoder.repaired_and_averaged(trunk, decoder.blocks(tower.depth))
    post = cosines(trunk.blocks[decoder.post_block][:, 1:])
    if what in ("aggregated", "similarity", "post_similarity"):
        kept = post.masked_fill(post < decoder.beta, 0)
        return {"aggregated": z, "similarity": similarity, "post_similarity": kept}[what][0]
    options = {"aggregate_after": what.startswith("post")}
    first, both = (replace(decoder, two_passes=n, **options).calibrated(tower, trunk)[0] for n in (False, True))
    return first if what.endswith("1") else both - first


@GOLDEN.each("{name}/{what}_rows{step}")
def test_inner_maps(name, what, step):
    found, expected = stage(name, what)[:: int(step)], GOLDEN.tensor(f"{name}/{what}_rows{step}")
    torch.testing.assert_close(found, expected, atol=INNER, rtol=0)


@GOLDEN.each("{name}/logits_up_sub{step}")
def test_logits_of_a_window_taken_whole(name, step):
    found = recorded_segmentor(crop=0).logits(box(name))[0][:, 5 :: int(step), 3 :: int(step)]
    torch.testing.assert_close(found, GOLDEN.tensor(f"{name}/logits_up_sub{step}"), atol=LOGITS, rtol=0)


@GOLDEN.each("text/class_lines")
def test_names_are_split_as_in_the_recording():
    assert classes_of(GOLDEN, "text") == GOLDEN["text/query_idx"].tolist()


@GOLDEN.each("crop/repaired{block}_outlier_rows")
def test_repair(block):
    trunk = build_segmentor(recorded_model(), torch.eye(1), torch.zeros(1)).tower.trunk(box("crop"), keep=[int(block)])
    kept = trunk.blocks[int(block)][:, 1:]
    wrong = torch.zeros(1, kept.shape[1], dtype=torch.bool)
    wrong[0, GOLDEN.tensor("crop/outliers").long()] = True
    found = repaired(kept, wrong, trunk.grid)
    expected = GOLDEN.tensor(f"crop/repaired{block}_outlier_rows")
    torch.testing.assert_close(found[wrong], expected, atol=INNER, rtol=0)
    assert torch.equal(found[~wrong], kept[~wrong])


@GOLDEN.each("crop/tokens")
def test_tokens():
    segmentor = recorded_segmentor()
    tokens = decoded(segmentor.tower, box("crop"))
    torch.testing.assert_close(tokens.features.flatten(1, 2)[0], GOLDEN.tensor("crop/tokens"), atol=INNER, rtol=0)
    assert tokens.class_token is None


@GOLDEN.each("{slide}/logits_sub{step}")
def test_slides(slide, step):
    images = {"slide": recorded_image()[..., : GOLDEN.json()["img_width"]], "slide_full": recorded_image()}
    logits = recorded_segmentor().logits(images.get(slide, box("rect")))[0]
    expected = GOLDEN.tensor(f"{slide}/logits_sub{step}")
    torch.testing.assert_close(logits[:, 5 :: int(step), 3 :: int(step)], expected, atol=LOGITS, rtol=0)
    same = logits.argmax(dim=0) == GOLDEN.tensor(f"{slide}/argmax")
    assert same.float().mean() >= 0.9999


@GOLDEN.each("predict/{head}/pred")
def test_predictions(head):
    numbers = GOLDEN.json()["predict_heads"][head]
    options = {"head": build_head(numbers["logit_scale"], numbers["prob_threshold"], numbers["area_threshold"])}
    image, size = recorded_image()[..., : GOLDEN.json()["img_width"]], tuple(GOLDEN.json()["ori_shape"])
    labels = recorded_segmentor(**options).predict(image, size)[0]
    assert (labels == GOLDEN.tensor(f"predict/{head}/pred")).float().mean() >= 0.9999


@GOLDEN.each("predict/{head}/probs_sub{step}")
def test_probabilities(head, step):
    image, size = recorded_image()[..., : GOLDEN.json()["img_width"]], tuple(GOLDEN.json()["ori_shape"])
    options = {"head": build_head(GOLDEN.json()["predict_heads"][head]["logit_scale"])}
    found = recorded_segmentor(**options).probabilities(image, size)[0, :, 5 :: int(step), 3 :: int(step)]
    torch.testing.assert_close(found, GOLDEN.tensor(f"predict/{head}/probs_sub{step}"), atol=PROBABILITIES, rtol=0)


def test_outliers_as_described():
    """The score written out, patch by patch."""
    x = torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(0))
    found = outliers(x, 7, 0.1)
    for patches, flags in zip(x.double(), found, strict=True):
        distance = (patches[:, None] - patches).square().sum(dim=-1).fill_diagonal_(torch.inf)
        near = distance.argsort(dim=1)[:, :7]
        reach = distance.gather(1, near)[:, -1]
        scores = (reach[:, None] / reach[near]).mean(dim=1)
        assert torch.equal(flags, scores > scores.quantile(0.9))
        assert flags.sum() == 4


@pytest.mark.parametrize("patches", [1, 2, 3, 5])
def test_few_patches_and_equal_patches(patches):
    assert not outliers(torch.ones(2, patches, 4)).any()
    assert not outliers(torch.zeros(1, 40, 4)).any()
    assert outliers(torch.randn(1, patches, 4)).shape == (1, patches)


def test_repair_by_hand():
    x = torch.arange(12.0).view(1, 12, 1)
    wrong = torch.zeros(1, 12, dtype=torch.bool)
    wrong[0, [0, 1, 6]] = True
    found = repaired(x, wrong, (3, 4))[0, :, 0]
    assert found[0] == pytest.approx((4 + 5) / 2)
    assert found[1] == pytest.approx((2 + 4 + 5) / 3)
    assert found[6] == pytest.approx((2 + 3 + 5 + 7 + 9 + 10 + 11) / 7)
    everything = torch.ones(1, 12, dtype=torch.bool)
    assert torch.equal(repaired(x, everything, (3, 4)), x)


def test_weights_below_beta_are_nothing():
    weights = similarity_weights(torch.tensor([[[1.0, 0.39, -0.9], [0.4, 1.0, 0.6]]]), 0.4)
    torch.testing.assert_close(weights, torch.tensor([[[1.0, 0, 0], [0.2, 0.5, 0.3]]]), atol=1e-5, rtol=0)


def test_other_depths_ask_for_numbers():
    with pytest.raises(ConfigError, match=r"12 and 24 blocks, but this one has 16.*similarity_block"):
        SCCLIP().fitted(16, (16, 16))
    own = SCCLIP(similarity_block=11, post_block=5, second_pass=(6, 12), class_share=0.2)
    assert own.fitted(16, (16, 16)) == own
    assert SCCLIP(post_block=5).fitted(24, (14, 14)) == SCCLIP(17, 5, (9, 19), 0.1)
    with pytest.raises(ConfigError, match="must lie in 1 to 11"):
        SCCLIP(similarity_block=12).fitted(12, (16, 16))
    with pytest.raises(ConfigError, match="not after its last"):
        SCCLIP(second_pass=(8, 7)).fitted(12, (16, 16))
