import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.tensorboard import SummaryWriter

from sclip_lightning.engine.callbacks.tensorboard import write_confusions
from sclip_lightning.pictures.png import png_bytes
from sclip_lightning.records import Seams, fold
from sclip_lightning.reports.results import Results, without_nan
from sclip_lightning.reports.tensorboard import add_png, write_results
from tests.records.synthetic import BOUNDARIES, make_record


@pytest.fixture
def writer(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        yield writer


def read(writer):
    writer.flush()
    events = EventAccumulator(writer.log_dir, size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def text(events, tag):
    return events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode()


def results():
    rows = [{"index": i, "class": name, "IoU": iou} for i, (name, iou) in enumerate([("a", 0.5), ("b", None)])]
    protocol = {"attention": "sclip", "weights_sha256": "0123"}
    return Results("Benchmark", {"mIoU": 0.5, "mAcc": 0.25, "bF1@3px": None}, rows, protocol)


def test_a_score_is_one_point_and_the_first_ones_come_first(writer):
    write_results(writer, results())
    events = read(writer)
    assert events.Tags()["scalars"] == ["headline/1_mIoU", "headline/2_mAcc"]
    assert [event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)] == [0.5, 0.25]
    groups = {tag.split("/")[0] for kind in ("scalars", "images") for tag in events.Tags()[kind]}
    assert min(groups) == "headline"  # TensorBoard sorts them


def test_seams_have_a_group_of_their_own(writer):
    found = results()
    found.seams = Seams(40, 10, 640, 80).shares() | Seams(40, 10, 640, 80)._asdict()
    write_results(writer, found)
    events = read(writer)
    shown = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"] if not tag.startswith("headline/")}
    assert shown == {"seams/share": 0.25, "seams/share_elsewhere": 0.125, "seams/ratio": 2.0}


def test_the_course_ends_with_the_result(writer):
    images = [make_record(index) for index in range(120)]
    names = [f"class {i}" for i in range(21)]
    scores = fold(images, names, BOUNDARIES)
    found = Results("B", without_nan(scores.metrics), without_nan(scores.classes), {})
    write_results(writer, found, images)
    events = read(writer)
    for number, (name, value) in enumerate(found.metrics.items(), 1):
        course = events.Scalars(f"so_far/{name}")
        assert 40 <= len(course) <= 50
        assert (course[-1].step, course[-1].value) == (120, np.float32(value))
        (headline,) = events.Scalars(f"headline/{number}_{name}")
        assert (headline.step, headline.value) == (course[-1].step, course[-1].value)
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = [chart for category in layout.category for chart in category.chart]
    tags = {value for chart in charts for one in chart.margin.series for value in (one.value, one.lower, one.upper)}
    assert tags == {tag for tag in events.Tags()["scalars"] if tag.startswith("so_far/")}
    assert len(tags) == 6
    table = text(events, "images_of_classes").splitlines()
    assert len(table) == 2 + sum(
        (np.concatenate([r.counts.confusion[0] for r in images]) == c).any() for c in range(21)
    )


def test_no_checksum_is_a_hyperparameter(writer):
    write_results(writer, results())
    start = read(writer).summary_metadata["_hparams_/session_start_info"]
    assert b"attention" in start.plugin_data.content
    assert b"sha256" not in start.plugin_data.content


def test_a_png_is_shown_as_it_is(writer):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    content = png_bytes(picture)
    add_png(writer, "images/one", content)
    (image,) = read(writer).Images("images/one")
    assert (image.height, image.width, image.encoded_image_string) == (20, 30, content)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)


def test_confusions_of_171_classes(writer):
    confusion = np.zeros((171, 171), np.int64)
    confusion[np.arange(170), np.arange(1, 171)] = np.arange(170, 0, -1)
    write_confusions(writer, confusion, [f"class {i}" for i in range(171)])
    events = read(writer)
    table = text(events, "confusions").splitlines()
    assert len(table) == 2 + 30
    assert table[2].startswith("| 1 | class 0 | class 1 | 170 | 100.0 % |")
    (bars,), (matrix,) = events.Images("images/confusions"), events.Images("images/confusions_matrix")
    assert 1.8 < bars.width / bars.height < 2.2  # the shape of TensorBoard's cards
    assert max(matrix.width, matrix.height) < 1050


def test_nothing_confused(writer):
    write_confusions(writer, np.eye(3, dtype=np.int64), ["a", "b", "c"])
    assert {"images/confusions", "images/confusions_matrix"} <= set(read(writer).Tags()["images"])
