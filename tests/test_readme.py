"""What README promises."""

import re
from pathlib import Path

from sclip_lightning.configs import find_config

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_example_runs(tiny_clip):
    (example,) = re.findall("```python\n(.*?)```", README, re.DOTALL)
    example = example.replace('load_clip("ViT-B-16-quickgelu", "openai")', f"load_clip({tiny_clip!r})")
    assert tiny_clip in example
    names: dict = {}
    exec(example, names)
    assert names["labels"].shape == (1, 375, 500)


def test_every_configuration_it_names_is_shipped():
    names = re.findall(r"--config ([\w/]+\.yaml)", README)
    assert {"baseline.yaml", "phase1.yaml", "data/voc21.yaml"} <= set(names)
    for name in names:
        assert find_config(name).is_file()
