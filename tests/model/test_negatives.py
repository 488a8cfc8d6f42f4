"""Words for a background: which are chosen, in what order, and what is left out."""

import math

import pytest
import torch

from sclip_lightning.data.reading.words import SCENE_WORDS, read_words
from sclip_lightning.errors import ConfigError, DataError
from sclip_lightning.model.negatives import choose_words, passed_over
from sclip_lightning.windows import Texts

WORDS = read_words(SCENE_WORDS)


@pytest.fixture
def choose(monkeypatch):
    """Chooses with a CLIP to which the words named have a cosine with the class, and all others none."""

    def choose(cosines, synonyms=(("dog",),), default=0.0):
        def bank(clip, names, templates, device, cache):
            flat = [name for one in names for name in one]
            scenes = len(flat) == len(WORDS)
            angles = [cosines.get(name, default) if scenes else 1.0 for name in flat]
            queries = torch.tensor([[angle, math.sqrt(1 - angle**2)] for angle in angles], dtype=torch.float64)
            return Texts(queries, torch.arange(len(flat)))

        monkeypatch.setattr("sclip_lightning.model.negatives.build_text_bank", bank)
        return choose_words(None, synonyms, ("{}",), "cpu", None)

    return choose


def test_the_first_64_words_that_are_near_no_class(choose):
    chosen = choose({WORDS[0]: 0.9001, WORDS[2]: 0.8999, WORDS[5]: 1.0})
    assert chosen == (*WORDS[1:5], *WORDS[6:66])
    assert passed_over(chosen) == [WORDS[0], WORDS[5]]


def test_a_word_that_names_a_class_is_none_of_the_background(choose):
    assert choose({}, (("dog",), ("Grass", "sea"))) == tuple(w for w in WORDS if w not in ("grass", "sea"))[:64]


def test_fewer_are_taken_where_there_are_no_more(choose):
    few = choose(dict.fromkeys(WORDS[:3], 0.0), default=0.95)
    assert few == WORDS[:3]
    assert passed_over(few) == []


def test_no_word_is_refused(choose):
    with pytest.raises(ConfigError, match=r"none is left for a background\. Give words of yours"):
        choose({}, default=0.95)


@pytest.mark.parametrize(
    ("content", "message"), [("# sky\n\n", "has no word"), ("sky\nsea\nsky\n", "has 'sky' twice"), (None, "cannot be")]
)
def test_lists_that_cannot_be_read(content, message, tmp_path):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_words(path)


def test_the_shipped_list_has_enough_and_spells_words_one_way():
    assert len(WORDS) > 250
    assert all(word == word.lower().strip() and "," not in word for word in WORDS)
