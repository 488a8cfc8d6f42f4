"""The methods' files: what they hold is what was published, and a wrong key cannot pass."""

import shutil
import subprocess
import sys
from dataclasses import replace
from typing import get_type_hints

import pytest
import yaml

import sclip_lightning.data
from sclip_lightning.commands.parsing.benchmarks import published_benchmarks
from sclip_lightning.data.reading.benchmark import CLASS_FOLDER, Protocol
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import (
    METHODS,
    check_facts,
    known_benchmarks,
    load_method,
    method_names,
    method_of_parts,
    model_section,
    numbers_of,
    open_numbers_of,
    protocol_of,
    stand_in_notes,
)
from sclip_lightning.model.method_files import read_method

#: Short side, logit scale and probability threshold of SCLIP's authors; short side, crop and threshold of ResCLIP's;
#: tau and lambda of RCS and SFR, and SFR's threshold.
PUBLISHED = {
    "VOC21": ((336, 65, 0.1), (336, 0, 0.1), (2.0, 0.3), (2.2, 0.7), 0.5),
    "VOC20": ((336, 40, 0), (336, 0, 0), (2.0, 0.6), (2.1, 0.6), 0.1),
    "Context60": ((336, 50, 0.1), (336, 224, 0.1), (2.0, 0.3), (1.8, 0.7), 0.3),
    "Context59": ((336, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.25),
    "COCOObject": ((336, 50, 0.1), (336, 224, 0.1), (2.0, 0.4), (1.8, 0.7), 0.11),
    "COCOStuff": ((448, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.11),
    "COCOStuff10k": ((336, 40, 0), (336, 224, 0), (2.0, 0.4), (1.8, 0.7), 0.11),
    "Cityscapes": ((560, 40, 0), (560, 224, 0), (2.0, 0.2), (2.1, 0.6), 0.1),
    "ADE20K": ((336, 40, 0), (336, 224, 0), (2.0, 0.3), (2.1, 0.7), 0.25),
}


def test_files_agree_with_the_classes_they_speak_of():
    assert check_facts() == []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A folder with copies of all files, which the functions under test read instead."""
    shutil.copytree(METHODS, tmp_path / "methods")
    monkeypatch.setattr("sclip_lightning.model.facts.METHODS", tmp_path / "methods")
    for function in (load_method, known_benchmarks):
        function.cache_clear()
    yield tmp_path / "methods"
    for function in (load_method, known_benchmarks):
        function.cache_clear()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("parts.decoder.class_path", "LastBlok", "parts has LastBlok, which no room of parts exports"),
        ("parts.decoder.init_args.rsc", True, "parts has rsc, no field of LastBlock"),
        ("parts.decodr", {}, "parts has decodr, no option of --model"),
        (
            "hyperparameters.ResidualAttention.VOC21.lamda",
            0.3,
            "hyperparameters has lamda, no field of ResidualAttention",
        ),
        ("hyperparameters.SemanticFeedback.VOC20", ..., "SemanticFeedback has no VOC20. Add a stand-in"),
        ("hyperparameters.SemanticFeedback.VOC12", {}, "there is no benchmark VOC12"),
        ("protocol.Cityscapes", ..., "protocol has no Cityscapes"),
        ("protocol", "slip", "protocol is slip, which is no method"),
        ("stand_ins", {}, "protocol has no COCOStuff10k"),
    ],
)
def test_what_does_not_agree_is_found(copied, key, value, problem):
    content = yaml.safe_load((copied / "resclip.yaml").read_text())
    change(content, key, value)
    (copied / "resclip.yaml").write_text(yaml.safe_dump(content))
    problems = check_facts()
    assert any(found.startswith("resclip.yaml: ") and problem in found for found in problems)


def test_methods_and_benchmarks():
    assert {"clearclip", "maskclip", "naclip", "resclip", "sclip", "segearth"} <= set(method_names())
    modules = set(sclip_lightning.data.__all__) - {"ImageFolder", "SegmentationData"}
    assert set(known_benchmarks()) == set(PUBLISHED) == modules
    assert set(PUBLISHED) == {benchmark.name for benchmark in published_benchmarks()} - {"Demo"}


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_published_protocols(benchmark):
    sclip, resclip, rcs, sfr, threshold = PUBLISHED[benchmark]
    protocol = protocol_of("sclip", benchmark)
    assert (protocol.short_side, protocol.logit_scale, protocol.prob_threshold) == sclip
    assert (protocol.crop, protocol.stride) == (224, 112)
    assert protocol.area_threshold == (0.1 if benchmark == "VOC21" else 0)
    protocol = protocol_of("resclip", benchmark)
    assert (protocol.short_side, protocol.crop, protocol.prob_threshold) == resclip
    assert (protocol.logit_scale, protocol.stride, protocol.area_threshold) == (40, 112, 0)
    assert numbers_of("ResidualAttention", benchmark) == {
        "tau": rcs[0],
        "lam": rcs[1],
        "first_layer": 6,
        "last_layer": 9,
    }
    numbers = numbers_of("SemanticFeedback", benchmark)
    assert (numbers["tau"], numbers["lam"], numbers["threshold"]) == (*sfr, threshold)


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_protocols_of_naclip_and_clearclip(benchmark):
    sclip, naclip = protocol_of("sclip", benchmark), protocol_of("naclip", benchmark)
    assert naclip == replace(sclip, logit_scale=40, area_threshold=0)
    clearclip = protocol_of("clearclip", benchmark)
    thresholds = {"VOC21": 0.5, "Context60": 0.15, "COCOObject": 0.4}
    assert (clearclip.short_side, clearclip.logit_scale, clearclip.stride) == (448, 50, 224)
    assert clearclip.prob_threshold == thresholds.get(benchmark, 0)
    assert clearclip.crop == (224 if benchmark == "Cityscapes" else 448)
    assert clearclip.class_file == ("voc21_clearclip.txt" if benchmark == "VOC21" else None)
    assert protocol_of("maskclip", benchmark) == sclip


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_protocol_of_proxyclip(benchmark):
    found = protocol_of("proxyclip", benchmark)
    assert (found.logit_scale, found.stride, found.padding, found.area_threshold) == (40, 112, 56, 0)
    assert found.short_side == (448 if benchmark in ("Cityscapes", "ADE20K") else 336)
    assert found.crop == (224 if benchmark == "Cityscapes" else 336)
    assert found.prob_threshold == {"VOC21": 0.2, "Context60": 0.15, "COCOObject": 0.25}.get(benchmark, 0)
    files = {"VOC21": "voc21", "VOC20": "voc20", "COCOObject": "coco_object"}
    assert found.class_file == (f"{files[benchmark]}_proxyclip.txt" if benchmark in files else None)


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_protocol_of_lposs(benchmark):
    """One for all: no threshold, and names of the data sets without synonyms."""
    found = protocol_of("lposs", benchmark)
    assert (found.short_side, found.long_side, found.crop, found.stride) == (448, 2048, 224, 112)
    assert (found.prob_threshold, found.area_threshold, found.padding) == (0, 0, 1)
    assert protocol_of("lpossplus", benchmark) == found
    files = {"VOC21": "voc21", "COCOObject": "coco_object", "COCOStuff": "coco_stuff", "COCOStuff10k": "coco_stuff"}
    files |= {"VOC20": "voc20", "ADE20K": "ade20k", "Cityscapes": "cityscapes"}
    assert found.class_file == (f"{files[benchmark]}_lposs.txt" if benchmark in files else None)


def test_lposs_comes_with_its_weights_and_decoder():
    for name, refiners in (("lposs", ["LPOSS"]), ("lpossplus", ["LPOSS", "LPOSSPlus"])):
        section = model_section(name)
        assert (section["architecture"], section["weights"]) == ("ViT-B-16", "laion2b_s34b_b88k")
        assert section["decoder"]["init_args"] == {"attention": "maskclip", "residual": True, "padded": True}
        assert [part["class_path"] for part in section["refiners"]] == refiners


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_protocol_of_glaclip(benchmark):
    """That of ProxyCLIP with other windows, thresholds and prompt names."""
    found, short_side = protocol_of("glaclip", benchmark), 560 if benchmark == "Cityscapes" else 336
    with_background = benchmark in ("VOC21", "Context60", "COCOObject")
    expected = {"crop": 224, "prob_threshold": 0.1 if with_background else 0, "class_file": None}
    assert found == replace(protocol_of("proxyclip", benchmark), short_side=short_side, **expected)


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_protocol_of_corrclip(benchmark):
    """That of ProxyCLIP with prompt names of its own everywhere."""
    found, files = (
        protocol_of("corrclip", benchmark),
        {"COCOObject": "coco_object", "COCOStuff": "coco_stuff", "COCOStuff10k": "coco_stuff"},
    )
    expected = f"{files.get(benchmark, benchmark.lower())}_corrclip.txt"
    assert found == replace(protocol_of("proxyclip", benchmark), class_file=expected)


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_protocol_of_ovstitcher(benchmark):
    """That of CorrCLIP at another size, with other thresholds."""
    changes = {
        "VOC21": {"prob_threshold": 0.1},
        "Context60": {"prob_threshold": 0.1},
        "COCOObject": {"prob_threshold": 0.2},
        "COCOStuff": {"stride": 224},
        "COCOStuff10k": {"stride": 224},
        "Cityscapes": {"short_side": 560, "crop": 224},
    }
    expected = {"short_side": 448} | changes.get(benchmark, {})
    assert protocol_of("ovstitcher", benchmark) == replace(protocol_of("corrclip", benchmark), **expected)


@pytest.mark.parametrize("name", ["clearclip", "maskclip", "naclip", "resclip", "sclip"])
def test_numbers_have_the_types_that_run_descriptions_had(name):
    """An integer where there was a float would make a run differ from itself."""
    for benchmark in PUBLISHED:
        protocol = protocol_of(name, benchmark)
        for item, kind in get_type_hints(Protocol).items():
            assert isinstance(getattr(protocol, item), kind)
        if protocol.class_file:
            assert (CLASS_FOLDER / protocol.class_file).is_file()


def test_what_nobody_published_is_an_error_that_names_the_option():
    for benchmark in PUBLISHED:
        with pytest.raises(ConfigError, match=rf"{benchmark} is known \(.*remote-sensing.*--model\.protocol sclip"):
            protocol_of("segearth", benchmark)
    with pytest.raises(ConfigError, match="for classes of your own is known"):
        protocol_of("sclip", None)
    with pytest.raises(ConfigError, match=r"for Elsewhere is known.*VOC21, .*your own classes need none"):
        protocol_of("sclip", "Elsewhere")


def test_stand_ins():
    stuff = numbers_of("SemanticFeedback", "COCOStuff")
    for benchmark in ("COCOStuff10k", "ImageFolder", "Demo", None):
        assert numbers_of("SemanticFeedback", benchmark) == stuff
    assert numbers_of("NeighbourAttention", None) == numbers_of("NeighbourAttention", "VOC21") == {"std": 5.0}
    assert numbers_of("PAMR", "VOC21") == {}


def test_numbers_that_depend_on_the_benchmark():
    assert open_numbers_of("ResidualAttention") == ["tau", "lam"]
    assert open_numbers_of("SemanticFeedback") == ["tau", "lam", "threshold"]
    assert open_numbers_of("NeighbourAttention") == open_numbers_of("PAMR") == []


def test_where_nothing_is_published_only_what_all_share_is_known(copied):
    content = yaml.safe_load((copied / "resclip.yaml").read_text())
    del content["stand_ins"]
    (copied / "resclip.yaml").write_text(yaml.safe_dump(content))
    assert numbers_of("ResidualAttention", "COCOStuff10k") == {"first_layer": 6, "last_layer": 9}
    assert numbers_of("ResidualAttention", None) == {"first_layer": 6, "last_layer": 9}
    assert stand_in_notes("sclip", "COCOStuff10k", ["ResidualAttention"]) == []


def test_which_method_parts_belong_to():
    assert method_of_parts({"SemanticFeedback", "ResidualAttention"}) == "ResCLIP"
    assert method_of_parts(["SemanticFeedback"]) is None
    assert method_of_parts([]) is None


def test_stand_ins_are_noted():
    both = ["ResidualAttention", "SemanticFeedback", "PAMR", "SemanticFeedback"]
    assert stand_in_notes("sclip", "VOC21", both) == stand_in_notes("sclip", "COCOStuff10k", ["PAMR"]) == []
    protocol, rcs, sfr = stand_in_notes("resclip", "COCOStuff10k", both)
    assert protocol == "No protocol of ResCLIP's authors for COCOStuff10k is known: those for COCOStuff stand in."
    assert "no numbers of ResidualAttention for COCOStuff10k: those for COCOStuff stand in" in rcs
    assert "SemanticFeedback" in sfr
    noted = {(name, key) for name in method_names() for key in PUBLISHED if stand_in_notes(name, key, [])}
    stuff = {("clearclip", "COCOStuff"), ("clearclip", "ADE20K")}
    owners = {name: load_method(name).protocol for name in method_names()}
    owners = {name: owner if isinstance(owner, str) else name for name, owner in owners.items()}
    without = {name for name, owner in owners.items() if "COCOStuff10k" in load_method(owner).stand_ins}
    assert noted == stuff | {(name, "COCOStuff10k") for name in without}
    assert {"clearclip", "naclip", "resclip"} <= without
    for benchmark in (None, "ImageFolder"):
        (own,) = stand_in_notes("sclip", benchmark, ["SemanticFeedback"])
        assert "classes of your own: those for COCOStuff" in own


def test_what_goes_under_model():
    assert model_section("resclip") == {
        "protocol": "resclip",
        "decoder": {"class_path": "LastBlock", "init_args": {"attention": "naclip", "rcs": True, "sfr": True}},
    }
    assert model_section("maskclip")["protocol"] == "sclip"
    assert model_section("segearth")["prior"]["init_args"] == {"weight": -0.3}


def test_an_unknown_method_is_named_with_those_near():
    with pytest.raises(ConfigError, match=r"no method 'naclp'\. Did you mean naclip"):
        load_method("naclp")


def change(content, key, value):
    *path, last = key.split(".")
    for step in path:
        content = content[int(step)] if isinstance(content, list) else content[step]
    if value is ...:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("licences", {}, r"unknown key licences\. Did you mean licence"),
        ("code.comit", "1", r"unknown key code\.comit\. Did you mean commit"),
        ("protocol.VOC21.logit_scael", 1.0, r"unknown key protocol\.VOC21\.logit_scael\. Did you mean logit_scale"),
        ("protocol.VOC21.logit_scale", "65", r"'65' .*logit_scale, but the kind expected is float"),
        ("protocol.VOC21.short_side", 336.0, r"336\.0 under protocol\.VOC21\.short_side, but the kind expected is int"),
        ("protocol.VOC21", None, r"None under protocol\.VOC21, but the kind expected is mapping"),
        ("hyperparameters.ResidualAttention.VOC21", 2, r"2 under hyperparameters\.ResidualAttention\.VOC21"),
        ("published.0.miou.VOC21", True, r"True under published\[0\]\.miou\.VOC21"),
        ("published.0.source", ..., r"has no key published\[0\]\.source"),
        ("title", ..., r"has no key title"),
        (
            "absent",
            {"benchmarks": "VOC21", "reason": ""},
            r"'VOC21' .*benchmarks, but the kind expected is list",
        ),
    ],
)
def test_a_wrong_key_is_an_error_that_names_file_and_key(tmp_path, key, value, message):
    content = yaml.safe_load((METHODS / "resclip.yaml").read_text())
    change(content, key, value)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=message) as error:
        read_method(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: [")
    with pytest.raises(ConfigError, match=r"mine\.yaml cannot be read"):
        read_method(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match=r"mine\.yaml has \[\] under its top level"):
        read_method(path)


def test_facts_need_neither_torch_nor_lightning():
    code = "import sys, sclip_lightning.model.facts as f; f.numbers_of('SemanticFeedback', 'VOC21'); "
    code += "print([name for name in ('torch', 'lightning', 'albumentations') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
