"""What is shipped: the wheel against the tree, the README against .ci/run."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"s3kit": ROOT / "s3kit", "s3kit_contrib": ROOT / "contrib" / "s3kit_contrib"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built in a copy so that the tree stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES.values():
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(package, source / package.relative_to(ROOT), ignore=ignored)
    build = (
        "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def files_of_the_tree() -> set[str]:
    return {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_both_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == files_of_the_tree()


def test_types_and_migrations_are_shipped(wheel: zipfile.ZipFile) -> None:
    shipped = wheel.namelist()
    assert "s3kit/py.typed" in shipped
    assert "s3kit_contrib/py.typed" in shipped
    assert any(name.startswith("s3kit/index/migrations/versions/") for name in shipped)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in shipped) or any(
        name.endswith(".dist-info/LICENSE") for name in shipped
    )


def test_the_wheel_names_the_command_and_the_five_core_dependencies(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    required = {
        line.split(":")[1].strip().split(">")[0].lower()
        for line in text.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    }
    assert required == {"blinker", "defusedxml", "fsspec", "sqlalchemy", "werkzeug"}
    commands = wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert "s3kit = s3kit.cli:main" in commands


def test_every_package_is_listed_by_name() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    found = {
        ".".join([name, *path.parent.relative_to(folder).parts])
        for name, folder in PACKAGES.items()
        for path in folder.rglob("__init__.py")
    }
    assert listed == found


def test_ci_runs_the_readmes_test_command_as_it_stands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
