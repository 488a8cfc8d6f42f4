"""Models that dense attention cannot work on are refused with the reason, before anything is fetched."""

import open_clip
import pytest

from sclip_lightning.errors import CheckpointError
from sclip_lightning.towers.checkpoints import load_clip
from sclip_lightning.towers.fitting import refusal


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch):
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("made a model"))


@pytest.mark.parametrize(
    ("architecture", "tag", "message"),
    [
        ("ViT-B-16-SigLIP", "webli", "SigLIP has no class token, and pools patches by an attention of its own"),
        ("EVA02-B-16", "merged2b_s8b_b131k", "EVA's tower comes from timm, with rotary positions"),
        ("ViTamin-S", "datacomp1b", "timm's vitamin_small_224"),
        ("coca_ViT-B-32", "laion2b_s13b_b90k", "pools patches by an attention of its own, as CoCa does"),
        ("RN50", "openai", "is a ResNet"),
        ("ViT-B-16-SigLIP", None, "SigLIP has no class token"),
        ("ViT-B-16", "metaclip_fullcc", "trained with QuickGELU.*Set it to ViT-B-16-quickgelu"),
    ],
)
def test_what_does_not_fit_is_refused(architecture, tag, message):
    with pytest.raises(CheckpointError, match=message):
        load_clip(architecture, tag)


def test_plain_towers_fit():
    for architecture in ("ViT-B-16-quickgelu", "ViT-L-14", "ViT-H-14", "ViT-bigG-14", "xlm-roberta-base-ViT-B-32"):
        assert refusal(open_clip.get_model_config(architecture)) is None
