"""What README promises."""

import re
from pathlib import Path

from sclip_lightning.cli import main
from sclip_lightning.configs import find_config
from tests.records.synthetic import make_run

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


def test_the_commands_on_runs_it_shows(tmp_path, monkeypatch, capsys):
    for seed, name in enumerate(["baseline", "naclip"]):
        make_run(tmp_path / "lightning_logs/VOC21" / name, seed=seed)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^sclip ((?:report|compare) .*)$", README, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        command = command.replace(" --panels changed/", "")  # these runs have no images; see test_long_runs.py
        words = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in command.split()]
        main([word for group in words for word in group])
        assert "%" in (output := capsys.readouterr().out) or "class,IoU" in output
