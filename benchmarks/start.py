"""Where the time goes between a command and its first image: the demo, and the baseline with random weights.

    python benchmarks/start.py [--repeats 3] [--root COCO_STUFF]

Each start is a process of its own, with an empty cache of embeddings and then with a full one. What is timed are the
steps that follow each other: seconds, and in brackets seconds of processor time, which a busy machine changes less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMANDS = {
    "demo": ["test", "--config", "demo.yaml"],
    "baseline, random weights": ["test", "--config", "baseline.yaml", "--model.weights", "null", "--data", "COCOStuff"],
}
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false", "--data.num_workers", "0"]


def child(begun: float, arguments: list[str]) -> None:
    """Run a command up to its first image, and say when what was done, as JSON on the last line."""
    marks = []

    def mark(name: str) -> None:
        marks.append((name, time.time() - begun, time.process_time()))

    def after(owner: Any, name: str, title: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*given: Any, **options: Any) -> Any:
            result = function(*given, **options)
            mark(title)
            return result

        setattr(owner, name, timed)

    mark("Python")
    import torch  # noqa: F401  by itself, since nothing can be done about it

    mark("import torch")
    from sclip_lightning.cli import main
    from sclip_lightning.commands import test
    from sclip_lightning.engine import module

    mark("import the rest")
    after(test.TestCLI, "parse_arguments", "read options")
    after(test.TestCLI, "instantiate_trainer", "make parts and trainer")
    after(module, "remaining_images", "find images")
    after(module, "load_clip", "make CLIP, load its weights")
    after(module, "load_networks", "other networks")
    after(module.wiring, "embed_classes", "embed names")
    after(module, "begin_session", "begin the run")

    def first(*_: Any, **__: Any) -> None:
        mark("read the first image")
        print("\n" + json.dumps(marks), flush=True)
        os._exit(0)

    module.SegmentationModule.segment = first  # type: ignore[assignment]
    main(arguments)


def start(arguments: list[str], cache: str) -> dict[str, tuple[float, float]]:
    """Seconds of every step, and seconds of processor time."""
    command = [sys.executable, __file__, "--child", repr(time.time()), *arguments, *QUIET]
    environment = os.environ | {"SCLIP_CACHE": cache}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cache, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    marks = json.loads(done.stdout.strip().splitlines()[-1])
    before = [("", 0.0, 0.0), *marks]
    return {name: (at - a, used - b) for (name, at, used), (_, a, b) in zip(marks, before, strict=False)}


def main() -> None:
    options_of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--root", help="COCO-Stuff's folder, for the baseline; left out without it")
    options = options_of.parse_args()
    for title, arguments in COMMANDS.items():
        if "COCOStuff" in arguments:
            if options.root is None:
                continue
            arguments = [*arguments, "--data.root", str(Path(options.root).absolute())]
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "full"):
                starts = [start(arguments, cache) for _ in range(1 if state == "empty" else options.repeats)]
                best = {name: tuple(map(min, zip(*(one[name] for one in starts), strict=True))) for name in starts[0]}
                whole = tuple(map(sum, zip(*best.values(), strict=True)))
                for name, (seconds, used) in {f"{title}, cache {state}": whole, **best}.items():
                    print(f"{name:44}{seconds:7.2f} ({used:.2f})", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(float(sys.argv[2]), sys.argv[3:])
    else:
        main()
