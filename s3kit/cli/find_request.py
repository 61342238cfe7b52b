"""``s3kit find-request``: what became of the request that somebody's support mail names."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import BinaryIO
from typing import cast

import click

from ..config import ConfigError
from .progress import byte_bar
from .progress import in_words
from .settings import data_options
from .settings import gather
from .watching import STANDARD_OUTPUT
from .watching import access_log_of

_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


@click.command("find-request")
@click.argument("request_id")
@data_options
@click.option(
    "--access-log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="The access log; the files that it was rotated into, compressed or not, are read too. "
    "May be repeated. [default: that of the endpoint's settings]",
)
@click.option("--all", "everywhere", is_flag=True, help="Look on in older files after a find.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines of the log as they are.")
@click.pass_context
def find_request(
    context: click.Context,
    /,
    request_id: str,
    logs: tuple[str, ...],
    everywhere: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Look a RequestId up in the access log: what was asked, by whom, and why it failed.

    REQUEST_ID is the x-amz-request-id of an answer, or the RequestId in S3's errors. The newest
    file comes first. The exit code is 1 where no log knows the id.
    """
    wanted = request_id.strip()
    if not wanted:
        raise click.BadParameter("must not be empty.", param_hint="REQUEST_ID")
    paths = _files(logs or _configured(options))
    total = sum(path.stat().st_size for path in paths)
    found = 0
    with byte_bar("Searching", total) as advance:
        for path in paths:
            for entry in _search(path, wanted, advance):
                found += 1
                click.echo(json.dumps(entry) if as_json else in_text(entry))
            if found and not everywhere:
                break
    if not found:
        click.echo(f"No request {wanted} in {len(paths)} files, {in_words(total)}.", err=True)
        context.exit(1)


def _configured(options: dict[str, Any]) -> tuple[str, ...]:
    path = access_log_of(gather(options, os.environ).serve)
    if path is None:
        raise ConfigError(
            "The settings name no access log. Name one with --access-log, and have "
            "`s3kit serve --access-log FILE` write it."
        )
    if path == STANDARD_OUTPUT:
        raise ConfigError(
            "The access log goes to standard output: name the file in which your system keeps it "
            "with --access-log."
        )
    return (path,)


def _files(logs: tuple[str, ...]) -> list[Path]:
    """Each log and what it was rotated into, such as ``access.log.2.gz``; the newest first."""
    found: set[Path] = set()
    for log in logs:
        path = Path(log)
        # access.log.1, access.log-20251121.gz; not access.logger.
        rotated = re.compile(re.escape(path.name) + r"([.-].+)?")
        try:
            names = os.listdir(path.parent)
        except OSError as error:
            raise ConfigError(f"Cannot read {path.parent}: {error.strerror}.") from None
        ours = {path.parent / name for name in names if rotated.fullmatch(name)}
        ours = {each for each in ours if each.is_file()}
        if not ours:
            raise ConfigError(f"No file {path}.")
        found |= ours
    return sorted(found, key=lambda each: (-each.stat().st_mtime, str(each)))


def _search(path: Path, wanted: str, advance: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    needle = json.dumps(wanted)[1:-1].encode()
    done = 0
    try:
        with path.open("rb") as raw:
            opener = _OPENERS.get(path.suffix)
            stream = cast("BinaryIO", raw if opener is None else opener(raw))
            for number, line in enumerate(stream):
                if not number % 1000:
                    place = raw.tell()
                    advance(place - done)
                    done = place
                if needle in line:
                    entry = _entry(line)
                    if entry is not None and entry.get("request_id") == wanted:
                        yield entry
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        # The other files may still tell.
        print(f"Warning: {path} cannot be read to its end: {error}", file=sys.stderr)


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line's document. A prefix, such as the time that a log collector adds, is passed over."""
    start = line.find(b"{")
    try:
        entry = json.loads(line[start:]) if start >= 0 else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def in_text(entry: dict[str, Any]) -> str:
    """An entry of the access log for people."""

    def shown(name: str) -> str:
        # Clients choose much of it, and a terminal obeys what it is sent.
        text = str(entry.get(name, ""))
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)

    where = shown("path")
    if "bucket" in entry:
        where = shown("bucket") + ("/" + shown("key") if "key" in entry else "")
    if "version_id" in entry:
        where += f" (version {shown('version_id')})"
    outcome = shown("status")
    if "error" in entry:
        outcome += f" {shown('error')}: {shown('reason')}"
    if "aborted" in entry:
        outcome += f"; the {shown('aborted')} broke off"
    rows = [
        ("request", shown("request_id")),
        ("time", shown("time")),
        ("client", " ".join(filter(None, [shown("client"), shown("user_agent")]))),
        ("account", shown("account")),
        ("access key", shown("access_key")),
        ("asked", " ".join(filter(None, [shown("operation"), shown("method"), where]))),
        ("answer", outcome),
        ("bytes", f"{shown('bytes_received')} received, {shown('bytes_sent')} sent"),
        ("seconds", shown("seconds")),
        ("trace", shown("trace_id")),
        ("cause", shown("cause")),
    ]
    lines = [f"{name:<12}{text}" for name, text in rows if text]
    for line in str(entry.get("traceback", "")).splitlines():
        lines.append("    " + "".join(each if each.isprintable() else "?" for each in line))
    return "\n".join(lines) + "\n"
