"""Every code block of the documentation is run, or left out for a reason that stands here."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.docs.blocks import Block
from tests.docs.blocks import BlockFailed
from tests.docs.blocks import Reader
from tests.docs.blocks import blocks_of
from tests.docs.blocks import missing_programs
from tests.docs.blocks import pages

REASONS = {
    "installs": "checked below: each extra that it names is there",
    "needs root": "tests/deploy checks the unit and what it runs",
    "needs Docker": "tests/deploy runs the steps of the Dockerfile, and reads the compose files",
    "another server": "it is the other server's command, not ours",
    "a part": "the page's other blocks or a test run it whole",
}
LANGUAGES = {"python", "sh", "text", "toml", "ini", "yaml", "nginx", "json", "html"}


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=names)
def test_the_blocks_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    for program in missing_programs(blocks):
        pytest.skip(f"{program} is not on this machine")
    reader = Reader(tmp_path)
    try:
        reader.follow(blocks)
    finally:
        reader.close()


@pytest.mark.parametrize("page", pages(), ids=names)
def test_no_block_escapes(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = blocks_of(page)
    assert len(blocks) * 2 == len(re.findall(r"^ *```", text, re.MULTILINE))
    for block in blocks:
        assert block.language in LANGUAGES, f"{block} is {block.language!r}"
        if block.mark and block.mark != "server":
            assert block.mark in REASONS, f"{block} is not run: {block.mark}"
        if block.language in ("toml", "ini", "yaml", "nginx") and not block.title:
            assert block.mark, f"{block} is neither a file nor left out"


def test_every_extra_that_a_page_installs_is_there() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    known = set(setup["options.extras_require"])
    named = set()
    for page in pages():
        for found in re.findall(r"(?:s3kit|\.)\[([a-z0-9,]+)\]", page.read_text("utf-8")):
            named.update(found.split(","))
    assert named - known == set()
    assert "server" in named


def test_a_wrong_block_is_found(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for language, body in (
            ("sh", "s3kit serve --no-such-option\n"),
            ("python", "import s3kitt\n"),
            ("python", "raise SystemExit\n"),
        ):
            with pytest.raises(BlockFailed, match=r"page\.md:7 ended with"):
                reader.follow([Block("page.md", 7, language, "", "", body)])
    finally:
        reader.close()
