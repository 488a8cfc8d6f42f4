"""The command line of ``sclip reproduce``."""

import pytest

from sclip_lightning.errors import UsageError
from sclip_lightning.reproducing.asked import Asked, parse_asked


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("sclip", Asked(["sclip"])),
        ("sclip naclip --data VOC21 VOC20", Asked(["sclip", "naclip"], ["VOC21", "VOC20"])),
        ("sclip --data=VOC21 VOC20", Asked(["sclip"], ["VOC21", "VOC20"])),
        ("sclip --data.root /data --data VOC21", Asked(["sclip"], ["VOC21"], given=["--data.root", "/data"])),
        ("sclip --figures readme --output_dir runs", Asked(["sclip"], titles=["readme"], output_dir="runs")),
        ("--all --check --output_dir=runs", Asked(every=True, check=True, output_dir="runs")),
        (
            "--all --trainer.devices 4 --overwrite --data VOC21",
            Asked([], ["VOC21"], every=True, given=["--trainer.devices", "4", "--overwrite"]),
        ),
        ("--help", Asked(help=True)),
    ],
)
def test_what_is_its_own_and_what_is_the_test_s(line, asked):
    assert parse_asked(line.split()) == asked


@pytest.mark.parametrize(
    "line",
    [
        *("", "sclip --all", "--data VOC21", "sclip --data", "sclip --data --check", "sclip --output_dir"),
        *("sclip --name x", "sclip --method=naclip"),
    ],
)
def test_what_cannot_be_meant_is_refused(line):
    with pytest.raises(UsageError):
        parse_asked(line.split())
