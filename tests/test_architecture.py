"""What docs/architecture.md names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
PACKAGE = ROOT / "sclip_lightning"
#: Words in backticks that are neither files nor names of this package.
OTHER_WORDS = {"scaled_dot_product_attention", "maskclip", "affinity", "direct"}

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
    assert {"SlidingWindowSegmentor", "PermutohedralLattice", "VisionTower.trunk"} <= set(DIAGRAM_NAMES)
