"""CLIP's vision tower compiled by torch; what a compiler makes of it is torch's own affair and takes it a minute."""

import pytest
import torch

from sclip_lightning import Segmentor
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.description import describe_segmentor
from sclip_lightning.towers.clip import ClipTower
from sclip_lightning.towers.compiled import check_compiler
from sclip_lightning.vocabulary import Vocabulary


@pytest.mark.slow
def test_all_blocks_and_sizes_are_one_code_and_give_the_same(example, monkeypatch):
    graphs, whole = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **options: whole(function, backend=backend, **options))
    visual = example.model.visual
    compiled, plain = ClipTower(visual, compiled=True), ClipTower(visual)
    with torch.inference_mode():
        for batch, side in ((3, 48), (2, 48), (2, 64)):
            windows = torch.randn(batch, 3, side, side)
            found, expected = (tower.trunk(windows, keep=[1], keep_projections=[2]) for tower in (compiled, plain))
            assert torch.equal(found.x, expected.x)
            assert torch.equal(found.blocks[1], expected.blocks[1])
            assert torch.equal(found.projections[2][0], expected.projections[2][0])
    assert len(graphs) == 1


@pytest.mark.parametrize(
    ("device", "named", "words"),
    [
        ("cpu", None, r"needs a C\+\+ compiler, and there is no g\+\+ or clang\+\+ or cl\. Install one"),
        ("cpu", "icpx", "there is no icpx"),
        ("cuda", None, "needs triton"),
    ],
)
def test_without_a_compiler(device, named, words, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("sclip_lightning.towers.compiled.find_spec", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)
    if named:
        monkeypatch.setenv("CXX", named)
    with pytest.raises(ConfigError, match=words):
        check_compiler(torch.device(device))


@pytest.mark.slow
def test_it_is_looked_for_before_weights_are_and_part_of_the_protocol(tiny_clip, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "here")
    segmentor = Segmentor.from_pretrained(tiny_clip, weights=None, templates="none", device="cpu", compile=True)
    classes = Vocabulary.parse("cat, sky")
    assert describe_segmentor(segmentor.sliding_window(classes))["compiled"] is True
    with pytest.raises(ConfigError, match="Architecture, weights and compile cannot be changed"):
        segmentor.changed(compile=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ConfigError, match="needs a C"):
        Segmentor.from_pretrained("no such model", device="cpu", compile=True)
