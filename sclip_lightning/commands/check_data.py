"""``sclip check-data``: check a data set's files before anything is computed."""

import argparse
from collections.abc import Sequence
from statistics import median
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from sclip_lightning.commands.parsing.benchmarks import SegmentationData
from sclip_lightning.commands.parsing.configs import METHOD_HELP, expand_method, resolve_arguments, section_names
from sclip_lightning.commands.parsing.imports import ALLOW_HELP, GuardedParser, allow_imports
from sclip_lightning.data.reading.benchmark import Benchmark
from sclip_lightning.data.reading.inspection import Inspection, inspect_samples
from sclip_lightning.data.reading.layout import Listing
from sclip_lightning.data.reading.masks import IGNORE_INDEX
from sclip_lightning.data.reading.regions import SegmentMaps
from sclip_lightning.errors import ConfigError, DataError

__all__ = ["check_data", "run_check_data"]

#: Smallest numbers of segment maps that are listed.
_NUMBERS = 4


def run_check_data(arguments: Sequence[str]) -> None:
    """Run ``sclip check-data`` with the given arguments.

    Raises:
        DataError: Something is wrong; all of it has been printed by then.
    """
    arguments = resolve_arguments(expand_method(allow_imports(arguments)))
    parser = GuardedParser(
        prog="sclip check-data",
        description="Check a data set's files before anything is computed: reads every image and mask of the split, "
        "and segment maps where --data.regions names a folder, counts labels and segments, lists all problems. Needs "
        "neither a GPU nor weights. Exits with 1 where something is wrong.",
        epilog=f"{METHOD_HELP} {ALLOW_HELP}",
    )
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="A configuration with a data section.")
    parser.add_subclass_arguments(SegmentationData, "data", required=True)
    parser.add_argument("--limit", type=int | None, help="Read only the first N samples of the split.")
    parser.add_argument(
        "--subset", action="store_true", help="The root holds a part of the published split on purpose."
    )
    parser.add_argument("--show", type=int, default=10, help="Most files to name for each kind of problem; 0 for all.")
    # The configuration and options of a run will do: what is not about data is passed over.
    for name in dict.fromkeys([*section_names(arguments), "model", "trainer"]):
        if name not in ("config", "data", "limit", "subset", "show"):
            parser.add_argument(f"--{name}", type=Any, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name, minimum in (("limit", 1), ("show", 0)):
        if options[name] is not None and options[name] < minimum:
            msg = f"--{name} is {options[name]}, but must be at least {minimum}. Give another number."
            raise ConfigError(msg)
    data = parser.instantiate_classes(options).data
    problems = check_data(data, options.limit, options.subset, options.show)
    if problems:
        msg = f"{data.benchmark.name} has {problems} problem{'s' if problems > 1 else ''}, listed above."
        raise DataError(msg)


def check_data(data: SegmentationData, limit: int | None = None, subset: bool = False, show: int = 10) -> int:
    """Check a benchmark's files and print what was found.

    Args:
        data: The benchmark.
        limit: Read only the first N samples.
        subset: Fewer samples than published are no problem.
        show: Most files to name for each kind of problem; 0 for all.

    Returns:
        The number of problems.

    Raises:
        DataError: The data set, or the folder of segment maps, was not found.
    """
    listing, benchmark = data.listing(), data.benchmark
    if data.maps is not None:
        data.maps.check_folder()
        data.maps.check_names(files.map_names for files in listing.samples())
    show = show or len(listing.ids)
    for line in _describe(listing, benchmark):
        print(line)  # noqa: T201
    samples = listing.samples()
    samples = samples[: min(limit or len(samples), data.num_samples or len(samples))]
    inspection = inspect_samples(samples, listing.label_map, data.num_workers, data.maps)
    for line in _histogram(inspection, benchmark, len(samples)):
        print(line)  # noqa: T201
    if data.maps is not None:
        for line in _segments(inspection, data.maps, len(samples)):
            print(line)  # noqa: T201
    problems = [*listing.problems(show), *_count_problems(listing, benchmark, subset), *inspection.problems]
    for line in _explain(problems, show):
        print(line)  # noqa: T201
    return len(problems)


def _describe(listing: Listing, benchmark: Benchmark) -> list[str]:
    published = f" of the {benchmark.images} published" if benchmark.images else ""
    return [
        f"{benchmark.name}, {len(benchmark.classes)} classes, prompts from {benchmark.class_file}",
        f"  samples   {len(listing.ids)}{published}",
        f"  layout    {listing.form}",
        *(f"  {'found in' if not index else '':<9} {place}" for index, place in enumerate(listing.places)),
    ]


def _histogram(inspection: Inspection, benchmark: Benchmark, samples: int) -> list[str]:
    """A row per class: its share of all pixels, and the images it occurs in."""
    total = max(inspection.pixels.sum(), 1)
    rows = [*enumerate(benchmark.classes), (IGNORE_INDEX, "(not scored)")]
    width = max(len(name) for _, name in rows)
    lines = ["", f"Labels in {samples} masks", f"  {'':>3} {'class':<{width}} {'pixels':>9} {'images':>7}"]
    for label, name in rows:
        share = 100 * inspection.pixels[label] / total
        lines.append(f"  {label:>3} {name:<{width}} {share:>7.3f} % {inspection.images[label]:>7}")
    absent = sum(not inspection.images[label] for label in range(len(benchmark.classes)))
    if absent:
        lines.append(f"  {absent} of the {len(benchmark.classes)} classes occur in none of these masks.")
    return lines


def _segments(inspection: Inspection, maps: SegmentMaps, samples: int) -> list[str]:
    """What the segment maps hold."""
    found = len(inspection.segments)
    of_size = "" if maps.resize else " of their image's size"
    lines = ["", f"Segment maps in {maps.folder}", f"  read      {found}{of_size}, for {samples} images"]
    if not found:
        return lines
    fewest, most = min(inspection.segments), max(inspection.segments)
    share = 100 * inspection.unassigned / inspection.covered
    numbers = [f"{number} in {count}" for number, count in inspection.smallest.most_common(_NUMBERS)]
    more = ", ..." if len(inspection.smallest) > _NUMBERS else ""
    return [
        *lines,
        f"  segments  {fewest} to {most} an image, median {median(inspection.segments):g}",
        f"  without   {share:.3f} % of the pixels have the smallest number of their map, which CorrCLIP's rule takes "
        'for "no segment"',
        f"  smallest  {', '.join(numbers)}{more} of the maps",
    ]


def _count_problems(listing: Listing, benchmark: Benchmark, subset: bool) -> list[str]:
    found, published = len(set(listing.ids)), benchmark.images
    if not found or published is None or found == published or (subset and found < published):
        return []
    fix = "Unpack the data set again, or say that it is a part of it with --subset."
    if found > published:
        fix = "Check that the folders hold this split alone."
    return [
        f"{listing.places[0]} has {found} samples, but the published split has {published}, so that scores would not "
        f"compare with published ones. {fix}"
    ]


def _explain(problems: Sequence[str], show: int) -> list[str]:
    """Problems grouped by what to do about them, which is what their last sentence says."""
    if not problems:
        return ["", "Nothing is wrong."]
    groups: dict[str, list[str]] = {}
    for problem in problems:
        finding, _, fix = problem.rpartition(". ")
        groups.setdefault(fix, []).append(finding)
    lines = ["", f"Problems: {len(problems)}"]
    for fix, findings in groups.items():
        lines += [f"  - {finding}." for finding in findings[:show]]
        if len(findings) > show:
            lines.append(f"  - ... and {len(findings) - show} more like it (--show 0 lists all).")
        lines.append(f"    What to do: {fix}")
    return lines
