"""What docs/guide.md says of parts that go together and of those that are refused."""

import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from sclip_lightning import Segmentor
from sclip_lightning.cli import main
from sclip_lightning.decoding import (
    GLACLIP,
    SCCLIP,
    ClassTokenShare,
    CorrCLIP,
    LastBlock,
    OVStitcher,
    PresencePrior,
    ProcrustesAttention,
    ProxyCLIP,
)
from sclip_lightning.errors import ConfigError
from sclip_lightning.refine import LPOSS
from sclip_lightning.upsampling import NAF, AnyUp, LoftUp, ResizedFeatures
from sclip_lightning.upsampling.networks.anyup import load_anyup
from sclip_lightning.upsampling.networks.loftup_weights import load_loftup
from sclip_lightning.upsampling.networks.naf import load_naf
from tests.fake_data import write_voc
from tests.test_docs import QUIET
from tests.tiny_dino import MICRO, write_micro

pytestmark = [pytest.mark.usefixtures("plain_board"), pytest.mark.slow]

SECTION = (
    (Path(__file__).parent.parent / "docs/guide.md").read_text().split("### Which go together")[1].split("\n## ")[0]
)
TOGETHER, REFUSED = re.findall(r"^\|.*\n\| --- .*\n((?:\|.*\n)+)", SECTION, re.MULTILINE)
COLUMNS = re.findall(r"\w+", SECTION.split("\n| | ")[1].split("\n")[0])
#: (first part, second part, what the table says), without the empty cell.
PAIRS = [
    (first.strip(), second, cell.strip())
    for row in TOGETHER.splitlines()
    for names, *cells in [row.strip("|").split("|")]
    for first in names.split(",")
    for second, cell in zip(COLUMNS, cells, strict=True)
    if cell.strip()
]
#: The column of a part that is also a row.
DIRECT = {"direct": "LoftUp in direct mode"}
#: Decoders on a second network.
ON_DINO = {"ProxyCLIP": ProxyCLIP, "GLACLIP": GLACLIP, "CorrCLIP": CorrCLIP, "OVStitcher": OVStitcher}
REFUSALS = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in REFUSED.splitlines()]


@pytest.fixture(scope="module")
def loftup_weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("loftup") / "loftup.bin"
    torch.save(load_loftup(None, dim=16).state_dict(), file)
    return str(file)


@pytest.fixture(scope="module")
def released_weights(tmp_path_factory):
    """Files of upsamplers that fit any CLIP, by their names."""
    folder = tmp_path_factory.mktemp("released")
    for name, load in {"NAF": load_naf, "AnyUp": load_anyup}.items():
        torch.save(load(None).state_dict(), folder / name)
    return {name: str(folder / name) for name in ("NAF", "AnyUp")}


@pytest.fixture(scope="module")
def dino_weights(tmp_path_factory):
    return write_micro(tmp_path_factory.mktemp("dino") / "micro.pth")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_voc(root, 1)
    return root


def options_of(first, second, weights, released_weights, dino_weights):
    """Options with the first part, and with the second as well unless that is None."""
    prior = {"ClassTokenShare": ClassTokenShare(), "PresencePrior": PresencePrior()}.get(second)
    refiners = [LPOSS(MICRO, dino_weights, k=8)] if second == "LPOSS" else None
    direct = "LoftUp in direct mode" in (first, DIRECT.get(second))
    upsampler = LoftUp(weights, mode="direct" if direct else "affinity") if direct or second == "LoftUp" else None
    if second == "ResizedFeatures":
        upsampler = ResizedFeatures(2)
    if second in released_weights:
        upsampler = {"NAF": NAF, "AnyUp": AnyUp}[second](released_weights[second], scale=2)
    own = {"rcs": True} if second == "RCS" else {"sfr": True} if second == "SFR" else {}
    if first == "SCCLIP":
        # The tower has ten blocks, and numbers are published for 12 and 24.
        decoder = SCCLIP(similarity_block=6, post_block=3, second_pass=(3, 8), class_share=0.3, **own)
    elif first in ON_DINO:
        decoder = ON_DINO[first](MICRO, dino_weights, **own)
    elif first == "ProcrustesAttention":
        decoder = LastBlock(ProcrustesAttention(), **own)
    else:
        decoder = LastBlock("sclip" if first.startswith("LoftUp") else first, **own)
    return {"decoder": decoder, "prior": prior, "upsampler": upsampler, "refiners": refiners}


@pytest.fixture(scope="module")
def segmentor(tiny_clip):
    """One with the same network for all pairs."""
    return Segmentor.from_pretrained(tiny_clip, device="cpu", short_side=64, templates="none")


@pytest.fixture(scope="module")
def alone(segmentor, loftup_weights, released_weights, dino_weights):
    """Probabilities of a first part by itself, computed once for all that it goes together with."""
    return cache(
        lambda first: probabilities(segmentor, options_of(first, None, loftup_weights, released_weights, dino_weights))
    )


def probabilities(segmentor, options):
    segmentor = segmentor.changed(**options)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    regions = np.arange(64 * 96).reshape(64, 96) // 500 if options["decoder"].reads_regions else None
    return segmentor.predict(image, "cat, grass, sky", regions=regions).probabilities


@pytest.mark.parametrize(("first", "second", "says"), PAIRS)
def test_pairs_go_together_as_the_table_says(
    first, second, says, alone, segmentor, loftup_weights, released_weights, dino_weights
):
    weights = loftup_weights, released_weights, dino_weights
    if says == "refused":
        # An option that a part does not have is a TypeError in Python, as for any other function.
        no_option = first in ("SCCLIP", *ON_DINO) and second in ("RCS", "SFR")
        with pytest.raises(TypeError if no_option else ConfigError):
            probabilities(segmentor, options_of(first, second, *weights))
        return
    assert says == "yes"
    together = probabilities(segmentor, options_of(first, second, *weights))
    assert np.isfinite(together).all()
    assert not np.array_equal(together, alone(first))


@pytest.mark.parametrize(("first", "second"), [("SCCLIP", "AnyUp"), ("ProxyCLIP", "NAF"), ("OVStitcher", "AnyUp")])
def test_upsamplers_that_fit_any_clip_follow_any_decoder(
    first, second, alone, segmentor, loftup_weights, released_weights, dino_weights
):
    weights = loftup_weights, released_weights, dino_weights
    together = probabilities(segmentor, options_of(first, second, *weights))
    assert not np.array_equal(together, alone(first))


def test_the_table_has_every_pair():
    attentions = {"vanilla", "sclip", "clearclip", "naclip", "segearth", "maskclip"}
    decoders = {"ProcrustesAttention", "SCCLIP", *ON_DINO}
    assert {first for first, _, _ in PAIRS} == attentions | decoders | {"LoftUp in direct mode"}
    parts = {"RCS", "SFR", "ClassTokenShare", "PresencePrior", "LPOSS", "LoftUp", "direct", "ResizedFeatures"}
    assert set(COLUMNS) == parts
    assert len(REFUSALS) >= 18


@pytest.mark.parametrize(("given", "because", "message"), REFUSALS)
def test_refusals_say_what_the_table_says(
    given,
    because,
    message,
    data,
    tiny_clip,
    loftup_weights,
    released_weights,
    dino_weights,
    tmp_path,
    monkeypatch,
    capsys,
):
    assert because
    monkeypatch.chdir(tmp_path)
    small = [f"--model.architecture={tiny_clip}", "--model.templates=none", "--data.short_side=32", *QUIET]
    if "LoftUp" in given and "weights" not in given:
        small.append(f"--model.upsampler.weights={loftup_weights}")
    if "NAF" in given:
        small.append(f"--model.upsampler.weights={released_weights['NAF']}")
    if "SCCLIP" in given and "prior" in given:
        numbers = {"similarity_block": 6, "post_block": 3, "second_pass": "[3,8]", "class_share": 0.3}
        small += [f"--model.decoder.{name}={value}" for name, value in numbers.items()]
    if any(name in given for name in ON_DINO):
        small.append(f"--model.decoder.network={MICRO}")
        small += [] if "weights" in given else [f"--model.decoder.weights={dino_weights}"]
    with pytest.raises(SystemExit) as ending:
        main(["test", *shlex.split(given), *small, "--data=VOC21", f"--data.root={data}"])
    assert ending.value.code != 0
    assert message in capsys.readouterr().err
