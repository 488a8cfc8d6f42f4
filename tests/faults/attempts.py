"""One attempt each: something goes wrong, the command is given again, and what is promised is checked."""

import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random

from sclip_lightning.records import load_records
from tests.faults.faults import clock_set_back, full_disk, small_files, some_kill, truncate
from tests.faults.world import NAME, BrokenPromiseError, World, check_recorded, check_whole


def killed(world: World, place: Path, chance: Random) -> str:
    """Kill a run up to three times, at moments of its own or at any time."""
    folder, names, recorded = world.run_folder(place), [], frozenset[str]()
    for _ in range(chance.randint(1, 3)):
        name, fault = some_kill(chance)
        if chance.random() < 0.3:
            name, child = "killed at any time", world.start(place, ["test", *world.options()])
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
        else:
            child = world.start(place, ["test", *world.options()], fault)
        ending = child.wait()
        ending.check()
        names.append(name if ending.code else f"{name}: not reached")
        recorded |= ending.recorded
        check_recorded(folder, recorded)
    return ", ".join(names)


def out_of_room(world: World, place: Path, chance: Random) -> str:
    """Let a run meet a full disk, and then have room again."""
    limit = chance.randint(1, 4000)
    fault = full_disk(limit) if chance.random() < 0.5 else small_files(chance.randint(1, 12000))
    ending = world.start(place, ["test", *world.options()], fault).wait()
    if not ending.output and ending.code == 1:
        return "no room, not even for a message"
    ending.check()
    check_recorded(world.run_folder(place), ending.recorded)
    return "no room" if ending.code else "room enough"


def clocks(world: World, place: Path, chance: Random) -> str:
    """Kill a run, and go on while the clock is set back; some images are segmented twice."""
    _, fault = some_kill(chance)
    world.start(place, ["test", *world.options()], fault).wait().check()
    labels = sorted(world.run_folder(place).glob("labels/*.png"))
    if labels:
        chance.choice(labels).unlink()
    ending = world.start(place, ["test", *world.options()], clock_set_back(chance.uniform(1, 1e8))).wait()
    ending.check()
    if ending.code:
        raise BrokenPromiseError(f"It does not go on with the clock set back:\n{ending.output}")
    return "clock set back"


def cut_off(world: World, place: Path, chance: Random) -> str:
    """Cut off a file of a run, finished or not, that claims to be whole."""
    if chance.random() < 0.5:
        shutil.copytree(world.run_folder(world.folder / "reference"), world.run_folder(place))
    else:
        _, fault = some_kill(chance)
        world.start(place, ["test", *world.options()], fault).wait().check()
    if not any(world.run_folder(place).rglob("*.json*")):
        return "nothing there"
    name = truncate(world.run_folder(place), chance)
    for command in (["report", str(world.run_folder(place))], ["test", *world.options()]):
        ending = world.start(place, command).wait()
        ending.check()
    if ending.code:  # a description that cannot be read: refused in a sentence, and --overwrite starts afresh
        if not name.endswith(".json"):
            raise BrokenPromiseError(f"A run with {name} cut off does not go on:\n{ending.output}")
        ending = world.start(place, ["test", *world.options(), "--overwrite"]).wait()
        if ending.code:
            raise BrokenPromiseError(f"--overwrite does not start afresh:\n{ending.output}")
        return f"{Path(name).suffix} cut off: refused"
    return f"{Path(name).suffix} cut off: went on"


def commands(world: World) -> dict[str, list[str]]:
    """Those that meet in one folder."""
    run = f"lightning_logs/VOC21/{NAME}"
    parts = ["--model.refiners+=PAMR", "--model.refiners.iterations=1"]
    return {
        "test": ["test", *world.options()],
        "overwrite": ["test", *world.options(), "--overwrite"],
        "ablate": ["ablate", *world.options("a"), *parts],
        "report": ["report", run],
        "compare": ["compare", run, run, "--resamples=5"],
        "score": [
            "score",
            f"--predictions={run}/labels",
            "--data=VOC21",
            f"--data.root={world.data}",
            f"--name={NAME}",
        ],
    }


PAIRS = list(product(("test", "overwrite", "ablate", "report", "compare", "score"), repeat=2))


def pair(world: World, place: Path, chance: Random, names: tuple[str, str] | None = None) -> str:
    """Give two commands on one folder that holds an unfinished run, the second a moment after the first."""
    names = names or chance.choice(PAIRS)
    _, fault = some_kill(chance)
    world.start(place, ["test", *world.options()], fault).wait().check()
    before = {record.id for record in load_records(world.run_folder(place)).images}
    children = []
    for name in names:
        children.append(world.start(place, commands(world)[name]))
        time.sleep(chance.uniform(0, 0.8))
    endings = [child.wait() for child in children]
    for ending in endings:
        ending.check()
    if "overwrite" not in names:
        check_recorded(world.run_folder(place), frozenset(before).union(*(ending.recorded for ending in endings)))
    return f"{' and '.join(names)}"


KINDS: dict[str, Callable[[World, Path, Random], str]] = {
    "killed": killed,
    "out of room": out_of_room,
    "clock": clocks,
    "cut off": cut_off,
    "pair": pair,
}


def attempt(world: World, seed: int, number: int, kind: str) -> str:
    """One attempt in a folder of its own, which stays only if a promise was broken; returns what happened."""
    place = world.folder / f"attempt-{number}"
    chance = Random(f"{seed} {number}")
    what = pair(world, place, chance, PAIRS[number // len(KINDS) % len(PAIRS)]) if kind == "pair" else ""
    what = what or KINDS[kind](world, place, chance)
    world.finish(place)
    check_whole(world.run_folder(place), world.run_folder(world.folder / "reference"))
    shutil.rmtree(place)
    return what
