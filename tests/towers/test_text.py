import open_clip
import pytest
import torch

from sclip_lightning.errors import ConfigError
from sclip_lightning.towers import text
from sclip_lightning.towers.checkpoints import Clip, load_clip
from sclip_lightning.towers.text import build_text_bank, encode_prompts, resolve_templates
from tests.recordings import RESCLIP, resclip


def loaded(model):
    """A model in memory as if it had been loaded from a checkpoint."""
    return Clip(model, open_clip.get_tokenizer("ViT-B-16-quickgelu"), "tiny", "recorded", "0" * 64, "{}")


@pytest.fixture(scope="module")
def clip(example):
    return loaded(example.model)


@RESCLIP.each("text/features")
def test_bank_matches_the_recording():
    synonyms = [line.split(", ") for line in RESCLIP["text/class_lines"].tolist()]
    bank = build_text_bank(loaded(resclip().model), synonyms, resolve_templates("imagenet"))
    torch.testing.assert_close(bank.queries, RESCLIP.tensor("text/features"), atol=1e-6, rtol=0)
    assert bank.classes.tolist() == RESCLIP["text/query_idx"].tolist()


@RESCLIP.each("text/raw_prompt_features")
def test_raw_prompts_match_the_recording():
    name, expected = RESCLIP["text/query_names"].tolist()[0], RESCLIP.tensor("text/raw_prompt_features")
    prompts = [template.replace("{}", name) for template in resolve_templates("imagenet")[: len(expected)]]
    torch.testing.assert_close(encode_prompts(loaded(resclip().model), prompts), expected, atol=1e-5, rtol=0)


def test_cutting_the_padding_off_changes_nothing(clip):
    prompts = ["a", "a photo of a very long traffic light with many, many words in it", "a sheep."]
    whole = clip.model.encode_text(clip.tokenizer(prompts))
    torch.testing.assert_close(encode_prompts(clip, prompts), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("together", [1, 64])
def test_what_prompts_begin_with_is_computed_once(clip, monkeypatch, together):
    monkeypatch.setattr(text, "SHARED", 3)
    monkeypatch.setattr(text, "BEGINNINGS", together)
    names = ("cat", "very old dog", "sheep", "sheep", "traffic light")
    prompts = [template.replace("{}", name) for name in names for template in resolve_templates("imagenet")[:6]]
    whole = clip.model.encode_text(clip.tokenizer(prompts))
    seen, embed = [], clip.model.token_embedding.forward
    monkeypatch.setattr(clip.model.token_embedding, "forward", lambda ids: seen.append(ids.shape) or embed(ids))
    torch.testing.assert_close(encode_prompts(clip, prompts), whole, atol=1e-5, rtol=1e-5)
    assert sum(rows * columns for rows, columns in seen) < 0.75 * int(clip.tokenizer(prompts).argmax(dim=1).sum())


def test_order_survives_batching_by_length(clip, monkeypatch):
    prompts = [f"{'very ' * (7 - i)}long prompt {i}" for i in range(7)]
    at_once = encode_prompts(clip, prompts)
    monkeypatch.setattr(text, "BATCH_SIZE", 2)
    torch.testing.assert_close(encode_prompts(clip, prompts), at_once, atol=1e-5, rtol=1e-5)


def test_towers_that_are_not_causal_run_as_they_are(clip, monkeypatch):
    monkeypatch.setattr(clip.model, "text_pool_type", "last")
    called = []
    monkeypatch.setattr(
        clip.model, "encode_text", lambda tokens: called.append(tokens.shape) or torch.ones(len(tokens), 4)
    )
    encode_prompts(clip, ["a", "b"])
    assert called == [(2, 77)]


def test_bank_is_cached_by_weights_names_and_templates(tiny_clip, tmp_path, monkeypatch):
    clip = load_clip(tiny_clip)
    first = build_text_bank(clip, [["cat"], ["dog", "puppy"]], ["a {}"], cache=tmp_path)
    monkeypatch.setattr(text, "encode_prompts", lambda *_: pytest.fail("was not cached"))
    again = build_text_bank(clip, [["cat"], ["dog", "puppy"]], ["a {}"], cache=tmp_path)
    assert torch.equal(first.queries, again.queries)
    regrouped = build_text_bank(clip, [["cat", "dog"], ["puppy"]], ["a {}"], cache=tmp_path)
    assert regrouped.classes.tolist() == [0, 0, 1]
    monkeypatch.undo()
    for names, templates in (([["cat"], ["dog"]], ["a {}"]), ([["cat"], ["dog", "puppy"]], ["the {}"])):
        build_text_bank(clip, names, templates, cache=tmp_path)
    build_text_bank(load_clip(tiny_clip, None), [["cat"], ["dog", "puppy"]], ["a {}"], cache=tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 4


def test_torn_cache_file_is_written_anew(tiny_clip, tmp_path):
    clip = load_clip(tiny_clip)
    whole = build_text_bank(clip, [["cat"], ["dog"]], ["{}"], cache=tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-10])
    assert torch.equal(build_text_bank(clip, [["cat"], ["dog"]], ["{}"], cache=tmp_path).queries, whole.queries)
    assert len(list(tmp_path.iterdir())) == 1


def test_unwritable_cache_is_no_error(tiny_clip, tmp_path):
    (tmp_path / "file").write_text("in the way")
    bank = build_text_bank(load_clip(tiny_clip), [["cat"]], ["{}"], cache=tmp_path / "file" / "cache")
    assert bank.queries.norm() == pytest.approx(1)


def test_templates():
    assert len(set(resolve_templates("imagenet"))) == 80
    assert resolve_templates("none") == ("{}",)
    assert resolve_templates(["a {}", "the {}"]) == ("a {}", "the {}")


@pytest.mark.parametrize("templates", ["imagnet", [], ["a photo"], ["{} and {}"]])
def test_bad_templates_are_refused(templates):
    with pytest.raises(ConfigError, match=r"--model\.templates"):
        resolve_templates(templates)
