"""What holds for every part that ``decoding``, ``upsampling`` and ``refine`` export, today's and the next ones.

A part that moves in is tested without a line here: ``tests/part_cases.py`` finds it by its room's ``__all__``. Sheet
steps of ``decoding`` and ``upsampling`` look at each window by itself; those of ``refine`` may join windows, so that
for them only whole images can be compared.
"""

import re
import sys
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from sclip_lightning.decoding import attention as attentions
from sclip_lightning.errors import ConfigError
from sclip_lightning.model.facts import (
    COMMON,
    known_benchmarks,
    load_method,
    method_names,
    objects_in,
    open_numbers_of,
    stand_in_notes,
)
from sclip_lightning.model.settings import resolve
from sclip_lightning.windows import Decoder, MapStep, Part, SheetStep, WindowDecoder
from tests.part_cases import (
    ATTENTIONS,
    CASES,
    CLASSES,
    EXPORTS,
    PARTS,
    ROOM_OF,
    SIZES,
    alone,
    made,
    maps_of,
    of_kind,
    options_of,
    results,
    scene_of,
    segmentor,
    sheet_of,
)

METHODS = [load_method(name) for name in method_names()]
#: Parts that methods are made of, besides the parts of these.
USED = [(name, method) for method in METHODS for name, _ in objects_in(method.parts)]
#: A part and the file of facts that lists its numbers.
LISTED = [(part, method) for method in METHODS for part in method.hyperparameters]
#: A part and the one method that it belongs to.
OWNED = LISTED + [(part, method) for part, method in USED if [name for name, _ in USED].count(part) == 1]
#: Cases whose decoder looks at each window by itself, and sheet steps that do.
DECODERS = [case for case in CASES if case in ATTENTIONS or not issubclass(EXPORTS[case], SheetStep | MapStep)]
WINDOW_STEPS = [name for name in of_kind(SheetStep) if ROOM_OF[name] != "refine"]
#: Of logits, which are cosines, and of probabilities; labels may flip where two classes are as good as equal.
LOGITS, PROBABILITIES, LABELS = 1e-5, 1e-4, 0.999

PAPER = (
    r"arXiv\s+\d{4}\.\d{4,5}"
    r"|\b(CVPR|ICCV|ECCV|WACV|BMVC|NIPS|NeurIPS|ICML|ICLR|SIGGRAPH|Eurographics|TPAMI|IJCV)\s+\d{4}"
)
OWN = r"this\s+package's\s+own"


def documentation(kind: type) -> str:
    """What the module of a part and the part itself say."""
    return f"{sys.modules[kind.__module__].__doc__}\n{kind.__doc__}"


@pytest.mark.parametrize("name", EXPORTS)
def test_rooms_export_parts_only(name):
    kind = EXPORTS[name]
    assert isinstance(kind, type), f"{name} is exported but no class. A room of parts lists its parts."
    assert issubclass(kind, Part), f"{name} is exported but no Part. A room of parts lists its parts."


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_frozen_data_with_a_default_for_each_field(name):
    kind = EXPORTS[name]
    assert is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    for field in fields(kind):
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        assert has_default or not field.init, f"{name}.{field.name} has no default."
    part = made(name)
    assert part == made(name)
    assert hash(part) == hash(made(name))
    assert not [value for value in vars(part).values() if isinstance(value, Tensor | nn.Module)]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_says_where_it_comes_from(name):
    text = sys.modules[EXPORTS[name].__module__].__doc__ or ""
    assert re.search(f"{PAPER}|{OWN}", text), (
        f"The docstring of {name}'s module cites no paper. Name its authors, venue and arXiv number, or say that the "
        "part is this package's own."
    )


@pytest.mark.parametrize(("name", "method"), OWNED, ids=[f"{method.name}-{name}" for name, method in OWNED])
def test_a_part_and_the_file_of_its_method_cite_the_same_paper(name, method):
    assert f"arXiv {method.arxiv}" in " ".join(documentation(EXPORTS[name]).split())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_is_cited_where_it_is_computed(method):
    """In a part that it switches on, or among the attentions where it is one."""
    parts = [name for name, user in [*USED, *LISTED] if user is method]
    texts = [attentions.__doc__, *(documentation(EXPORTS[name]) for name in parts)]
    assert f"arXiv {method.arxiv}" in " ".join(" ".join(texts).split())


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_named_attention_has_a_row_with_its_paper(name):
    (row,) = re.findall(rf"^``{name}`` .*$", attentions.__doc__, re.MULTILINE)
    cited = re.search(r"arXiv (\d{4}\.\d{5})", row)
    assert cited, f"The row of {name} cites no paper."
    arguments = {method.arxiv: method.parts.get("decoder", {}).get("init_args", {}) for method in METHODS}
    published = arguments.get(cited[1], {}).get("attention")
    assert published == name or name == "vanilla", f"No file in methods/ has {name} with arXiv {cited[1]}."


@pytest.mark.parametrize("benchmark", known_benchmarks())
@pytest.mark.parametrize(("name", "method"), LISTED, ids=[f"{method.name}-{name}" for name, method in LISTED])
def test_numbers_are_there_for_every_benchmark_or_stated_absent(name, method, benchmark):
    vocabulary = replace(CLASSES, benchmark=benchmark, protocol=None)
    table, stated = method.hyperparameters[name], stand_in_notes(None, benchmark, [name])
    if method.absent and benchmark in method.absent.benchmarks and open_numbers_of(name):
        with pytest.raises(ConfigError, match=f"{name}: nobody published"):
            resolve(options_of(name), vocabulary)
        return
    numbers = _numbers(resolve(options_of(name), vocabulary), name)
    for number in open_numbers_of(name):
        assert getattr(made(name), number) is None, f"{name}.{number} depends on the benchmark, so no default is right."
        assert numbers[number] is not None
    if table.keys() != {COMMON}:
        assert (benchmark in table) != bool(stated)


def _numbers(settings, name):
    """The fields of a part among the settings, whatever holds it."""
    found, waiting = [], list(settings.parts)
    while waiting:
        part = waiting.pop()
        found += [part] if type(part) is EXPORTS[name] else []
        waiting += [value for value in vars(part).values() if isinstance(value, Part)]
    return vars(found[0])


@pytest.mark.parametrize("case", DECODERS)
def test_a_window_alone_gives_the_same_tokens_as_among_others(case):
    model, scene = segmentor(case), scene_of(case)
    if not isinstance(model.decoder, WindowDecoder):
        pytest.skip(f"{type(model.decoder).__name__} looks at all windows together.")
    with torch.no_grad():
        together = model.decoder.decode(scene, keep_values=True)
        for number in (0, len(scene.windows) - 1):
            by_itself = model.decoder.decode(alone(scene, number), keep_values=True)
            for field in ("features", *model.decoder.gives):
                expected = getattr(together, field)[number : number + 1]
                torch.testing.assert_close(getattr(by_itself, field), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", WINDOW_STEPS)
def test_a_window_alone_gives_the_same_logits_as_among_others(case):
    (step,), scene = segmentor(case).sheet_steps, scene_of(case)
    with torch.no_grad():
        together = step(sheet_of(case, scene), scene)
        if len(together.logits) != len(scene.windows):
            pytest.skip(f"{case} joins the windows.")
        for number in (0, len(scene.windows) - 1):
            one = alone(scene, number)
            expected = together.logits[number : number + 1]
            torch.testing.assert_close(step(sheet_of(case, one), one).logits, expected, atol=LOGITS, rtol=0)


@cache
def expected(case):
    """What all windows of an image at once give."""
    return results(case, scene_of(case))


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_the_size_of_chunks_changes_nothing(case, batch_size):
    assert len(scene_of(case).windows) == 8
    actual = results(case, scene_of(case, batch_size=batch_size))
    torch.testing.assert_close(actual["logits"], expected(case)["logits"], atol=LOGITS, rtol=0)
    torch.testing.assert_close(actual["probabilities"], expected(case)["probabilities"], atol=PROBABILITIES, rtol=0)
    assert (actual["labels"] == expected(case)["labels"]).float().mean() >= LABELS


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_images_of_every_shape_stay_finite(case, name):
    scene = scene_of(case, name)
    found, (height, width) = results(case, scene), SIZES[name][1]
    queries, classes = len(scene.texts.queries), len(CLASSES.names)
    assert found["logits"].shape[0] == found["windows"]
    assert found["logits"].shape[-1] == queries
    assert found["probabilities"].shape == (classes, height, width)
    assert found["labels"].shape == (height, width)
    assert all(value.isfinite().all() for value in found.values())
    assert found["probabilities"].min() >= 0
    assert found["probabilities"].max() <= 1 + 1e-5
    assert found["labels"].dtype == torch.int64
    assert set(found["labels"].unique().tolist()) <= set(range(classes))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_towers_in_bfloat16_give_logits_in_float32(case):
    scene = scene_of(case)
    with torch.autocast("cpu", torch.bfloat16):
        found = results(case, scene)
    for name in ("logits", "probabilities"):
        assert found[name].dtype == torch.float32
        assert found[name].isfinite().all()
    logits = found["logits"]
    assert (logits != logits.bfloat16()).float().mean() > 0.5
    assert not torch.equal(logits, expected(case)["logits"])  # the tower did run in bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_scene_is_left_alone(case):
    scene = scene_of(case)
    before = {name: value.clone() for name, value in _tensors(scene).items()}
    segmentor(case).sheet(scene)
    results(case, scene)
    after = _tensors(scene)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def _tensors(scene):
    named = {name: getattr(scene, name) for name in ("pixels", "rgb", "regions")}
    texts = {"queries": scene.texts.queries, "classes": scene.texts.classes}
    return named | texts | {"windows": scene.windows.pixels}


@pytest.mark.parametrize("case", of_kind(SheetStep))
def test_a_sheet_step_leaves_its_sheet_alone(case):
    (step,), scene = segmentor(case).sheet_steps, scene_of(case)
    sheet = sheet_of(case, scene)
    given = {"logits": sheet.logits} | {name: getattr(sheet.tokens, name) for name in ("features", *step.needs)}
    before = {name: value.clone() for name, value in given.items()}
    with torch.no_grad():
        after = step(sheet, scene).logits
    assert [name for name in before if not torch.equal(before[name], given[name])] == []
    assert after.shape != sheet.logits.shape or not torch.equal(after, sheet.logits)  # it does something


@pytest.mark.parametrize("by_pixel", [False, True])
@pytest.mark.parametrize("case", of_kind(MapStep))
def test_a_map_step_leaves_its_maps_alone_and_keeps_their_shape(case, by_pixel):
    """However they lie in memory: map after map, or pixel after pixel, which some steps bring them to."""
    (step,), scene = segmentor(case).map_steps, scene_of(case)
    maps = maps_of(case, step.works_on, scene).contiguous()
    maps = maps.movedim(0, -1).contiguous().movedim(-1, 0) if by_pixel else maps
    before = maps.clone()
    after = step(maps, scene)
    assert torch.equal(maps, before)
    assert (after.shape, after.dtype) == (maps.shape, maps.dtype)
    assert not torch.equal(after, maps)  # it does something


def test_every_kind_of_part_is_among_the_cases():
    assert of_kind(Decoder)
    assert of_kind(SheetStep)
    assert of_kind(MapStep)
    assert WINDOW_STEPS
    assert LISTED
