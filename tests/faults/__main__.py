"""``python -m tests.faults --minutes 30``: attempts until time is up; ends with 1 if a promise was broken.

Every attempt depends on ``--seed`` and its number alone (and on how fast the machine is, where processes are killed at
any time): ``--first N --attempts 1`` repeats one.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

import torch

from sclip_lightning.commands import ablate, compare, report, score  # noqa: F401  before the processes fork
from tests.faults.attempts import KINDS, attempt
from tests.faults.world import BrokenPromiseError, World


def run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    world = World(Path(mkdtemp(prefix="sclip-faults-")))
    world.finish_here(world.folder / "reference")
    started, found, broken = time.monotonic(), Counter(), []
    number = options.first

    def goes_on() -> bool:
        if options.attempts:
            return number - options.first < options.attempts
        return time.monotonic() - started < 60 * options.minutes

    while goes_on():
        kind = list(KINDS)[number % len(KINDS)]
        try:
            found[kind, attempt(world, options.seed, number, kind)] += 1
        except BrokenPromiseError as error:
            broken.append(number)
            print(f"\nAttempt {number} ({kind}) broke a promise: {error}\n", flush=True)
        number += 1
    for (kind, what), times in sorted(found.items()):
        print(f"{times:6}  {kind}: {what}")
    print(
        f"{number - options.first} attempts in {(time.monotonic() - started) / 60:.1f} min: "
        f"{sum(found.values())} ended as promised, {len(broken)} did not"
        + (f" ({', '.join(map(str, broken))}; see {world.folder})" if broken else "")
    )
    return 1 if broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--attempts", type=int, help="so many instead")
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt")
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(run(parser.parse_args()))
