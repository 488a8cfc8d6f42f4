"""The files around the package: versions, citation, workflow, packaging and the notice say the same."""

import re
import runpy
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sclip_lightning import __version__
from sclip_lightning.model.facts import load_method, method_names

ROOT = Path(__file__).parent.parent


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load(read("CITATION.cff"))


@pytest.fixture(scope="module")
def project():
    if find_spec("tomllib") is None:
        pytest.skip("Python 3.10 cannot read TOML.")
    import tomllib

    return tomllib.loads(read("pyproject.toml"))


def test_changelog_and_citation_name_the_version(citation):
    released = re.findall(r"^## \[([\d.]+)\] - (\S+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert released[0][0] == __version__ == citation["version"]
    assert date.fromisoformat(released[0][1]).isoformat() == citation["date-released"]
    assert read("CHANGELOG.md").index("## [Unreleased]") < read("CHANGELOG.md").index(f"## [{__version__}]")


def test_the_citation_has_what_its_format_asks_for(citation):
    assert {"cff-version", "message", "title", "authors", "references"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    known = {"type", "title", "authors", "collection-title", "journal", "identifiers"}
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference) <= known
        assert reference["type"] in ("conference-paper", "article")
        for author in reference["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"})
        for identifier in reference.get("identifiers", []):
            assert identifier["type"] == "other"
            assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", identifier["value"])


def test_every_method_can_be_cited(citation):
    cited = {reference["title"]: reference for reference in citation["references"]}
    assert len(cited) == len(citation["references"])
    for facts in map(load_method, method_names()):
        assert f"arXiv:{facts.arxiv}" in str(cited[facts.title])
    with_citations = runpy.run_path(str(ROOT / "docs/tables.py"))["with_citations"]
    text = read("CITATION.cff")
    assert with_citations(text) == text, "CITATION.cff differs from the methods' files: run python docs/tables.py"
    assert with_citations(text.replace("arXiv:2312.01597", "arXiv:2312.01598")) == text


def test_the_workflow_runs_what_ci_runs_and_but_for_a_browser_nothing_else():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    browser, check = [step["run"] for step in job["steps"] if "run" in step]
    assert check == "bash .ci/run"
    assert "chromedriver" in browser  # what needs root: a browser for tests marked so, where there is none
    assert "pip" not in browser
    uses = [step["uses"].split("@")[0] for step in job["steps"] if "uses" in step]
    assert uses == ["actions/checkout", "actions/setup-python"]
    assert set(job["strategy"]["matrix"]["python"]) == {"3.10", "3.13"}
    assert (ROOT / ".ci/run").is_file()


def test_pre_commit_takes_the_ruff_of_ci():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert f"ruff=={repository['rev'].removeprefix('v')}\n" in read("constraints.txt")
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_packages_have_the_notice_and_neither_recordings_nor_pictures(project):
    assert project["project"]["license-files"] == ["LICENSE", "docs/third_party.md"]
    source = project["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert source["exclude"] == ["/tests/goldens/*.npz", "/docs/images"]
    for path in source["include"]:
        assert (ROOT / path.lstrip("/")).exists(), path
    assert list((ROOT / "tests/goldens").glob("*.npz")) == list((ROOT / "tests/goldens").rglob("*.npz"))


def test_the_notice_names_every_list_and_every_recording():
    notice = read("docs/third_party.md")
    for path in (ROOT / "sclip_lightning/data/classes").iterdir():
        assert f"`{path.name}`" in notice
    names = {path.name.split("_A")[0] for path in (ROOT / "tests/goldens").glob("*.npz")}
    assert names, "There are no recordings."
    for name in names:
        assert f"`{name}`" in notice


def test_the_notice_has_the_licences_and_commits_of_the_facts():
    rows = read("docs/third_party.md").split("## Recordings")[1].splitlines()
    for name in ("lposs", "pearl", "proxyclip", "resclip", "scclip", "segearth"):
        code = load_method(name).code
        (row,) = [line for line in rows if line.startswith(f"| `{name}` ")]
        assert f"`{code.repository}` at `{code.commit}`" in row


def test_pictures_are_small():
    for path in (ROOT / "docs/images").iterdir():
        assert path.stat().st_size <= 300_000
        with Image.open(path) as image:
            image.verify()


@pytest.mark.slow
@pytest.mark.usefixtures("plain_board")
def test_the_picture_of_the_demo_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sclip_lightning.demo.benchmark.IMAGES", 1)  # the others would be drawn for nothing
    quantize = Image.Image.quantize  # to refine its colours takes most of the time
    monkeypatch.setattr(Image.Image, "quantize", lambda *given, kmeans=0, **others: quantize(*given, **others))
    pictures = runpy.run_path(str(ROOT / "docs/pictures.py"))
    pictures["draw"](tmp_path / "images/demo.png", scenes=1)
    assert capsys.readouterr().out.count("mIoU") == 2
    with Image.open(tmp_path / "images/demo.png") as drawn, Image.open(ROOT / "docs/images/demo.png") as shipped:
        assert drawn.width == shipped.width
        assert drawn.height < shipped.height  # one scene instead of three
        top = (0, 0, drawn.width, 200)
        # The first scene is the same but for another choice of 256 colours.
        pairs = zip(drawn.convert("L").crop(top).tobytes(), shipped.convert("L").crop(top).tobytes(), strict=True)
        assert sum(abs(a - b) > 40 for a, b in pairs) < 0.02 * drawn.width * 200
