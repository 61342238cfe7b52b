"""The crash simulator itself: what it takes for safe, and what it may lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import replay
from tests.crash.replay import Call
from tests.crash.replay import Folder
from tests.crash.replay import NotModelled
from tests.crash.replay import Recording


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def fd(number: int, path: str) -> str:
    return f"{number}<{hexed(path)}>"


def quoted(text: str) -> str:
    return f'"{hexed(text)}"'


def opened(path: str, number: int = 3, flags: str = "O_WRONLY|O_CREAT") -> str:
    return f"1 openat(AT_FDCWD<{hexed('/')}>, {quoted(path)}, {flags}, 0600) = {fd(number, path)}"


def written(path: str, text: str, number: int = 3) -> str:
    return f"1 write({fd(number, path)}, {quoted(text)}, {len(text)}) = {len(text)}"


def synced(path: str, number: int = 3) -> str:
    return f"1 fsync({fd(number, path)})    = 0"


def acked(text: str) -> str:
    return f"1 write(2<{hexed('pipe:[1]')}>, {quoted(f'ack {text}')}, 9) = 9"


def disks(lines: list[str], tmp_path: Path, variant: str) -> list[dict[str, bytes]]:
    """The files on each disk of a variant."""
    found = []
    for crash in Recording("/r", Folder(), replay.parse(lines)).crashes(some=20):
        if crash.variant == variant:
            crash.write_to(tmp_path / "disk")
            found.append(
                {
                    str(path.relative_to(tmp_path / "disk")): path.read_bytes()
                    for path in (tmp_path / "disk").rglob("*")
                    if path.is_file()
                }
            )
    return found


def test_bytes_are_safe_after_fsync_and_a_name_after_fsync_of_its_folder(tmp_path: Path) -> None:
    lines = [opened("/r/a"), written("/r/a", "one"), synced("/r/a"), synced("/r"), acked("x")]
    assert disks(lines, tmp_path, "none") == [{}, {"a": b"one"}, {"a": b"one"}]
    lines = [opened("/r/a"), written("/r/a", "one"), synced("/r"), acked("x")]
    assert disks(lines, tmp_path, "none")[-1] == {"a": b""}
    assert disks(lines, tmp_path, "all")[-1] == {"a": b"one"}
    assert disks(lines, tmp_path, "sizes")[-1] == {"a": b"\0\0\0"}


def test_writes_after_the_fsync_are_not_safe(tmp_path: Path) -> None:
    lines = [opened("/r/a"), written("/r/a", "one"), synced("/r/a"), synced("/r")]
    lines += [written("/r/a", "two"), acked("x")]
    assert disks(lines, tmp_path, "none")[-1] == {"a": b"one"}
    assert disks(lines, tmp_path, "all")[-1] == {"a": b"onetwo"}
    assert {disk["a"] for disk in disks(lines, tmp_path, "some") if "a" in disk} >= {
        b"one",
        b"onetwo",
    }


def test_an_fsync_keeps_only_what_was_written_before_it_began(tmp_path: Path) -> None:
    lines = [
        opened("/r/a"),
        synced("/r"),
        written("/r/a", "one"),
        f"1 fsync({fd(3, '/r/a')} <unfinished ...>",
        written("/r/a", "two").replace("1 ", "2 ", 1),
        "1 <... fsync resumed>)     = 0",
        acked("x"),
    ]
    assert disks(lines, tmp_path, "none")[-1] == {"a": b"one"}


def test_an_acknowledgement_counts_from_its_beginning() -> None:
    lines = [
        opened("/r/a"),
        synced("/r"),
        written("/r/a", "one"),
        acked("x").replace(") = 9", " <unfinished ...>"),
        synced("/r/a").replace("1 ", "2 ", 1),
        "1 <... write resumed>) = 9",
    ]
    crashes = list(Recording("/r", Folder(), replay.parse(lines)).crashes())
    first = next(crash for crash in crashes if crash.acknowledged)
    # Before the fsync that came too late.
    assert (first.step, first.variant) == (3, "none")


def test_a_rename_in_a_folder_is_lost_or_kept_as_one(tmp_path: Path) -> None:
    lines = [opened("/r/a"), written("/r/a", "one"), synced("/r/a"), synced("/r")]
    lines += [f"1 rename({quoted('/r/a')}, {quoted('/r/b')}) = 0", acked("x")]
    assert disks(lines, tmp_path, "none")[-1] == {"a": b"one"}
    found = disks(lines, tmp_path, "some")[-20:]
    assert {tuple(disk) for disk in found} == {("a",), ("b",)}


def test_a_removed_name_may_come_back(tmp_path: Path) -> None:
    lines = [opened("/r/a"), synced("/r"), f"1 unlink({quoted('/r/a')}) = 0", acked("x")]
    assert disks(lines, tmp_path, "none")[-1] == {"a": b""}
    assert disks(lines, tmp_path, "all")[-1] == {}


def test_long_writes_are_torn_by_sectors(tmp_path: Path) -> None:
    text = "".join(chr(ord("a") + number) * 512 for number in range(4))
    lines = [opened("/r/a"), synced("/r"), written("/r/a", text)]
    found = {disk["a"] for disk in disks(lines, tmp_path, "some")}
    assert text.encode() in found
    assert b"" in found
    torn = [content for content in found if content and content != text.encode()]
    assert torn
    for content in torn:
        for position in range(0, len(content), 512):
            piece = content[position : position + 512]
            assert piece in (text[position : position + 512].encode(), bytes(512))


def test_positions_cuts_and_appends_are_followed(tmp_path: Path) -> None:
    lines = [
        opened("/r/a"),
        written("/r/a", "abcdef"),
        f"1 lseek({fd(3, '/r/a')}, 2, SEEK_SET) = 2",
        written("/r/a", "X"),
        f"1 pwrite64({fd(3, '/r/a')}, {quoted('Y')}, 1, 7) = 1",
        f"1 ftruncate({fd(3, '/r/a')}, 9) = 0",
        opened("/r/a", 4, "O_WRONLY|O_APPEND"),
        written("/r/a", "Z", 4),
        f"1 writev({fd(4, '/r/a')}, [{{iov_base={quoted('1')}, iov_len=1}}, "
        f"{{iov_base={quoted('2')}, iov_len=1}}], 2) = 2",
    ]
    assert disks(lines, tmp_path, "all")[-1] == {"a": b"abXdef\0Y\0Z12"}
    lines += [opened("/r/a", 5, "O_WRONLY|O_TRUNC"), written("/r/a", "new", 5)]
    assert disks(lines, tmp_path, "all")[-1] == {"a": b"new"}


def test_failed_calls_and_other_files_do_not_count(tmp_path: Path) -> None:
    lines = [
        f"1 openat(AT_FDCWD<{hexed('/')}>, {quoted('/r/a')}, O_RDONLY|O_CREAT) = -1 EACCES (x)",
        f"1 unlink({quoted('/elsewhere')}) = 0",
        written("/elsewhere", "text"),
        f"1 link({quoted('/x')}, {quoted('/y')}) = 0",
        f"1 fsync({fd(3, '/r/gone')}(deleted)) = 0",
        "1 +++ exited with 0 +++",
        acked("x"),
    ]
    assert disks(lines, tmp_path, "none") == [{}]


@pytest.mark.parametrize(
    "line",
    [
        f"1 link({quoted('/r/a')}, {quoted('/r/b')}) = 0",
        f"1 fallocate({fd(3, '/r/a')}, 0, 0, 4096) = 0",
        f"1 rename({quoted('/x')}, {quoted('/r/b')}) = 0",
        f"1 dup({fd(3, '/r/a')}) = 4",
        f"1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {fd(3, '/r/a')}, 0) = 0x7f00",
        opened("/r/b", 4, "O_RDWR|O_TMPFILE"),
        written("/r/never-made", "text"),
        f"1 write({fd(3, '/r/a')}, {quoted('ab')}, 9) = 9",
        "strace: Process 5 attached",
    ],
)
def test_what_the_model_does_not_know_is_never_passed_over(line: str) -> None:
    with pytest.raises(NotModelled):
        list(Recording("/r", Folder(), replay.parse([opened("/r/a"), line])).crashes())


def test_what_was_there_before_is_safe(tmp_path: Path) -> None:
    (tmp_path / "before" / "sub").mkdir(parents=True)
    (tmp_path / "before" / "sub" / "a").write_bytes(b"old")
    start = replay.load(tmp_path / "before")
    calls = [Call("write", (fd(2, "pipe"), quoted("ack x")), 5, 0)]
    crash = next(Recording("/r", start, calls).crashes())
    crash.write_to(tmp_path / "disk")
    assert (tmp_path / "disk" / "sub" / "a").read_bytes() == b"old"


def test_shared_memory_may_be_mapped_and_comes_back_as_garbage(tmp_path: Path) -> None:
    lines = [
        opened("/r/db-shm"),
        f"1 ftruncate({fd(3, '/r/db-shm')}, 8) = 0",
        f"1 mmap(NULL, 8, PROT_READ|PROT_WRITE, MAP_SHARED, {fd(3, '/r/db-shm')}, 0) = 0x7f00",
        synced("/r"),
    ]
    found = disks(lines, tmp_path, "some")[-20:]
    assert len({disk["db-shm"] for disk in found}) == 20
    assert all(len(disk["db-shm"]) == 8 for disk in found)
