"""What docs/architecture.md names exists, and rooms import each other only as its table says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
PACKAGE = ROOT / "sclip_lightning"
#: Words in backticks that are neither files nor names of this package.
OTHER_WORDS = {"scaled_dot_product_attention", "maskclip", "affinity", "direct", "rgb"}

PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
WORDS = set(re.findall(r"`([^`\n]+)`", PROSE))
PATHS = sorted(word for word in WORDS if "/" in word or word.endswith(".py"))
NAMES = sorted(word for word in WORDS - set(PATHS) - OTHER_WORDS if re.fullmatch(r"\w+(\.\w+)?", word))
DIAGRAM_NAMES = sorted(
    set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+(?:\.\w+)?", "".join(re.findall(r"```mermaid(.*?)```", PAGE, re.DOTALL))))
)


def defined_names():
    """Classes, functions, their members, parameters and attributes, as ``name`` or ``Class.member``."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                members = [member for member in node.body if isinstance(member, ast.FunctionDef)]
                fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
                names |= {f"{node.name}.{member.name}" for member in members}
                names |= {f"{node.name}.{field.id}" for field in fields} | {field.id for field in fields}
            if isinstance(node, ast.FunctionDef):
                names |= {argument.arg for argument in node.args.args}
    return names


DEFINED = defined_names()


@pytest.mark.parametrize("path", PATHS)
def test_files_exist(path):
    assert (PACKAGE / path).exists() or (ROOT / path).exists()


@pytest.mark.parametrize("name", [*NAMES, *DIAGRAM_NAMES])
def test_names_exist(name):
    assert name in DEFINED


def test_every_module_has_a_row():
    named = {path.rstrip("/").split("/")[0] for path in PATHS}
    modules = {path.name for path in PACKAGE.glob("*.py")} | {
        path.name for path in PACKAGE.glob("*/") if any(path.glob("*.py"))
    }
    assert modules - named - {"__init__.py", "__main__.py"} == set()


def test_diagrams_name_parts_of_the_package():
    assert len(PATHS) > 20
    assert len(NAMES) > 30
    assert {"SlidingWindowSegmentor", "PermutohedralLattice", "ClipTower.trunk"} <= set(DIAGRAM_NAMES)


def room_of(path):
    """The room that a path of the package lies in: its folder, or the module itself at the top."""
    return path.parent.relative_to(PACKAGE).as_posix() if path.parent != PACKAGE else path.name


def imported_files(path):
    """Files of the package that a module imports, anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sclip_lightning"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("sclip_lightning")]
        else:
            continue
        for name in names:
            parts = name.split(".")[1:]
            while parts:
                place = PACKAGE.joinpath(*parts)
                found = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
                if found.is_file():
                    yield found
                    break
                parts = parts[:-1]  # what is left is a name inside the module


def table_of_imports():
    rows = re.findall(r"^\| `([\w/.]+)` \| (.*) \|$", PAGE.split("### Who may import whom")[1], re.MULTILINE)
    return {room.rstrip("/"): {name.rstrip("/") for name in re.findall(r"`([\w/.]+)`", names)} for room, names in rows}


TABLE = table_of_imports()
#: Whoever needs them may import these; and the package's own file for the version.
FREE = {"errors.py", "files.py", "ranges.py", "__init__.py"}


def arrows():
    for path in PACKAGE.rglob("*.py"):
        if path.parent == PACKAGE and path.name.startswith("__"):
            continue  # they only hand on
        for imported in imported_files(path):
            if room_of(imported) not in {room_of(path), *FREE}:
                yield room_of(path), room_of(imported), path


@pytest.mark.slow
def test_rooms_import_only_what_the_table_allows():
    wrong = [f"{path.relative_to(ROOT)} imports {to}" for room, to, path in arrows() if to not in TABLE[room]]
    assert wrong == []


@pytest.mark.slow
def test_the_table_names_no_arrow_that_is_not_there():
    found = {(room, to) for room, to, _ in arrows()}
    assert {(room, to) for room, names in TABLE.items() for to in names} == found


def test_there_are_no_circles():
    order = list(TABLE)
    assert [(room, to) for room, names in TABLE.items() for to in names if order.index(to) >= order.index(room)] == []


def test_few_modules_lie_loose_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 10
