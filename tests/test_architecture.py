"""The house keeps its shape: floors, no circles, no rooms for everything, docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "s3kit"
CONTRIB = ROOT / "contrib" / "s3kit_contrib"

FLOORS = {
    "errors": (0, 0),
    "model": (0, 1),
    "profile": (0, 2),
    "signals": (0, 3),
    "wire": (1, 0),
    "auth": (2, 0),
    "blobs": (2, 0),
    "index": (2, 0),
    "store": (3, 0),
    "context": (4, 0),
    "naming": (4, 0),
    "call": (4, 1),
    "operations": (5, 0),
    "hosting": (5, 1),
    "middleware": (6, 0),
    "config": (7, 0),
    "presigning": (7, 1),
    "client": (7, 2),
    "assembly": (7, 3),
    "app": (7, 4),
    "conformance": (8, 0),
    "cli": (8, 1),
    "testing": (8, 1),
}
"""A room may import rooms whose number is smaller, and itself. Equal numbers do not meet."""

OPEN_TO_CONTRIB = {"auth", "cli", "store", "signals", "errors", "model", "testing"}
"""What contrib may import besides the names in s3kit itself."""


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below but what stands under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from run_time_nodes(other)
            continue
        yield child
        yield from run_time_nodes(child)


def imports_of(path: Path, root: Path) -> set[str]:
    """Absolute names of all that a module imports when it runs, lazily or not."""
    name = name_of(path, root)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in run_time_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module]))
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


def room_of(name: str) -> str | None:
    """``s3kit.wire.xml.to_xml`` is in the room ``wire``; None outside s3kit or at its door."""
    parts = name.split(".")
    return parts[1] if parts[0] == "s3kit" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda path: name_of(path, PACKAGE))
def test_a_module_imports_only_lower_floors_or_its_own_folder(path: Path) -> None:
    own = room_of(name_of(path, PACKAGE))
    if own is None or own == "__main__":
        return
    assert own in FLOORS, f"{own} has no floor: give it one here and in CONTRIBUTING.md"
    wrong = sorted(
        name
        for name in imports_of(path, PACKAGE)
        if name.split(".")[0] == "s3kit"
        and (room := room_of(name)) not in (own, "__version__")
        and (room not in FLOORS or FLOORS[room] >= FLOORS[own])
    )
    assert wrong == []


@pytest.mark.parametrize("path", modules(PACKAGE), ids=lambda path: name_of(path, PACKAGE))
def test_s3kit_never_imports_contrib(path: Path) -> None:
    assert not any(name.startswith("s3kit_contrib") for name in imports_of(path, PACKAGE))


@pytest.mark.parametrize("path", modules(CONTRIB), ids=lambda path: name_of(path, CONTRIB))
def test_contrib_imports_only_what_is_open_to_it(path: Path) -> None:
    names = ast.literal_eval(
        next(
            node.value
            for node in tree_of(PACKAGE / "__init__.py").body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
    )
    rooms = {room_of(name) for name in imports_of(path, CONTRIB)} - {None}
    assert rooms <= OPEN_TO_CONTRIB | set(names)


def test_modules_do_not_import_one_another_in_a_circle() -> None:
    paths = {name_of(path, PACKAGE): path for path in modules(PACKAGE)}
    graph = {
        name: {
            found
            for wanted in imports_of(path, PACKAGE)
            if (found := wanted if wanted in paths else wanted.rpartition(".")[0]) in paths
            and found != name
        }
        for name, path in paths.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", [*modules(PACKAGE), *modules(CONTRIB)], ids=short)
def test_no_module_is_a_room_for_everything(path: Path) -> None:
    assert path.stem.strip("_") not in {"utils", "util", "helpers", "helper", "common", "misc"}


def inherited(node: ast.ClassDef, tree: ast.Module) -> set[str]:
    """The methods of the class's bases in the same module: described once, there."""
    bases = {ast.unparse(base) for base in node.bases}
    found: set[str] = set()
    for other in tree.body:
        if isinstance(other, ast.ClassDef) and other.name in bases:
            found |= {each.name for each in other.body if isinstance(each, ast.FunctionDef)}
            found |= inherited(other, tree)
    return found


def public_without_docstring(path: Path) -> Iterator[str]:
    tree = tree_of(path)
    if ast.get_docstring(tree) is None:
        yield "the module"
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        # An S3 error is a code and a message, which says it all; an overload has one docstring.
        is_error = isinstance(node, ast.ClassDef) and path.stem == "errors"
        is_overload = any("overload" in ast.unparse(each) for each in node.decorator_list)
        if ast.get_docstring(node) is None and not is_error and not is_overload:
            yield node.name
        if not isinstance(node, ast.ClassDef):
            continue
        for method in node.body:
            # A method of one statement says what it does; a seam's is described at its Protocol.
            if (
                isinstance(method, ast.FunctionDef)
                and not method.name.startswith(("_", "test_"))
                and len(method.body) > 1
                and ast.get_docstring(method) is None
                and method.name not in SEAMS | inherited(node, tree)
            ):
                yield f"{node.name}.{method.name}"


SEAMS = {
    method.name
    for path in modules(PACKAGE)
    for node in tree_of(path).body
    if isinstance(node, ast.ClassDef)
    and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    for method in node.body
    if isinstance(method, ast.FunctionDef)
}
"""The methods that some Protocol defines."""


@pytest.mark.parametrize(
    "path",
    # A migration is run by Alembic and read by nobody else.
    [each for each in [*modules(PACKAGE), *modules(CONTRIB)] if each.parent.name != "versions"],
    ids=short,
)
def test_what_is_public_has_a_docstring(path: Path) -> None:
    assert list(public_without_docstring(path)) == []


ROWS = {"put_version", "remove_version", "set_lock"}
"""Functions of the index that could lead past Object Lock, and who may call them."""
KEEPERS = {"s3kit/store/versions.py": ROWS}


@pytest.mark.parametrize("root", [PACKAGE, CONTRIB], ids=["s3kit", "contrib"])
def test_nobody_removes_a_version_past_its_lock(root: Path) -> None:
    """Only where locks are enforced is a version's row added, removed, or its lock changed."""
    for path in modules(root):
        if short(path) == "s3kit/index/objects.py":
            continue
        used = {name.rpartition(".")[2] for name in imports_of(path, root)} & ROWS
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ROWS
                and not (isinstance(node.value, ast.Name) and node.value.id == "versions")
            ):
                used.add(node.attr)
        assert used <= KEEPERS.get(short(path), set()), f"{short(path)} goes past the locks: {used}"


def test_rows_of_versions_are_deleted_in_one_place() -> None:
    """No other statement of the index deletes from the table of versions, or changes a lock."""
    deleting = {
        short(path)
        for path in modules(PACKAGE / "index")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("delete", "sql_delete")
        and [ast.unparse(each) for each in node.args] == ["versions"]
    }
    assert deleting == {"s3kit/index/objects.py"}
