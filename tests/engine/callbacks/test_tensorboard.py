import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.tensorboard import SummaryWriter

from sclip_lightning.engine.callbacks.tensorboard import write_confusions
from sclip_lightning.reports.results import Results
from sclip_lightning.reports.tensorboard import HEADLINE, write_results


@pytest.fixture
def writer(tmp_path):
    return SummaryWriter(str(tmp_path))


def read(writer):
    writer.flush()
    events = EventAccumulator(writer.log_dir, size_guidance={"scalars": 0})
    events.Reload()
    return events


def results():
    rows = [{"index": i, "class": name, "IoU": iou} for i, (name, iou) in enumerate([("a", 0.5), ("b", None)])]
    protocol = {"attention": "sclip", "weights_sha256": "0123"}
    return Results("Benchmark", {"mIoU": 0.5, "mAcc": 0.25, "bF1@3px": None}, rows, protocol)


def test_headline_scores_form_one_curve_in_fixed_places(writer):
    write_results(writer, results())
    events = read(writer)
    assert [(event.step, event.value) for event in events.Scalars("headline")] == [(1, 0.5), (3, 0.25)]
    assert HEADLINE.index("mAcc") == 2
    assert events.Scalars("test/mIoU")[0].value == 0.5
    assert [event.step for event in events.Scalars("per_class/IoU")] == [0]


def test_layout_names_tags_that_are_there(writer):
    write_results(writer, results())
    events = read(writer)
    text = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(text)
    charts = [chart for category in layout.category for chart in category.chart]
    tags = {value for chart in charts for series in chart.margin.series for value in (series.value, series.lower)}
    assert tags == {"headline", "per_class/IoU"}
    assert tags <= set(events.Tags()["scalars"])


def test_confusions_of_171_classes(writer):
    confusion = np.zeros((171, 171), np.int64)
    confusion[np.arange(170), np.arange(1, 171)] = np.arange(170, 0, -1)
    write_confusions(writer, confusion, [f"class {i}" for i in range(171)])
    events = read(writer)
    table = events.Tensors("confusions/text_summary")[0].tensor_proto.string_val[0].decode().splitlines()
    assert len(table) == 2 + 30
    assert table[2].startswith("| 1 | class 0 | class 1 | 170 | 100.0 % |")
    assert max(events.Images("confusions")[0].width, events.Images("confusions")[0].height) < 1050
