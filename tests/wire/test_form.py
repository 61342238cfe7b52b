"""Browser forms: fields first, then the file as a stream, exact wherever a read ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import encode_multipart

from s3kit.errors import EntityTooLarge
from s3kit.errors import IncorrectNumberOfFilesInPostRequest
from s3kit.errors import InvalidArgument
from s3kit.errors import MalformedPOSTRequest
from s3kit.errors import MaxPostPreDataLengthExceededError
from s3kit.errors import PreconditionFailed
from s3kit.errors import S3Error
from s3kit.wire.checksums import BodyReader
from s3kit.wire.form import PRE_DATA_LIMIT
from s3kit.wire.form import Form
from s3kit.wire.form import read_form

TYPE = "multipart/form-data; boundary=xyz"


class Cut:
    """A stream that ends its reads where it is told, and remembers how much was taken."""

    def __init__(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        pieces = [data[low:high] for low, high in itertools.pairwise(bounds)]
        self._pieces = [piece for piece in pieces if piece]
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        if not self._pieces:
            return b""
        block, self._pieces[0] = self._pieces[0][:size], self._pieces[0][size:]
        if not self._pieces[0]:
            del self._pieces[0]
        self.taken += len(block)
        return block


def part(name: str, value: bytes, extra: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


FILE = '; filename="a.txt"\r\nContent-Type: text/plain'
END = b"--xyz--\r\n"


def contents(form: Form, size: int = 1 << 20) -> bytes:
    return b"".join(iter(lambda: form.file.read(size), b""))


def test_fields_come_by_lower_case_name_and_the_file_as_a_stream() -> None:
    body = part("Key", b"photos/${filename}") + part("X-Amz-Meta-Uuid", "1é".encode())
    form = read_form(Cut(body + part("file", b"hello\r\n", FILE) + END), TYPE)
    assert form.fields == {"key": "photos/${filename}", "x-amz-meta-uuid": "1é"}
    assert form.filename == "a.txt"
    assert form.expand(form.fields["key"]) == "photos/a.txt"
    assert contents(form) == b"hello\r\n"
    assert form.file.read() == b""


@pytest.mark.parametrize("content", [b"", b"hello", b"he\r\nllo\r", b"\r\n--xy\r\n-\r\r\n--x"])
def test_every_pair_of_cuts_gives_the_same_file_and_fields(content: bytes) -> None:
    """werkzeug's decoder adds a CR to the file when a read ends within ``CRLF--boundary-``."""
    body = part("key", b"k") + part("file", content, FILE) + END
    for cuts in itertools.combinations_with_replacement(range(len(body)), 2):
        form = read_form(Cut(body, cuts), TYPE)
        assert form.fields == {"key": "k"}
        assert contents(form) == content, cuts


@given(
    fields=st.dictionaries(
        st.from_regex(r"[a-eg-z][a-z0-9-]{0,8}", fullmatch=True), st.text(max_size=40), max_size=5
    ),
    content=st.binary(max_size=3000) | st.text("\r\n-xyz", max_size=60).map(str.encode),
    cuts=st.lists(st.integers(0, 5000), max_size=8),
    size=st.integers(1, 2000),
    # Its own has from 62 to 72 characters.
    boundary=st.sampled_from(["x-boundary-of-the-test", "-" * 15 + "x" * 57]),
)
def test_what_werkzeug_encodes_is_read(
    fields: dict[str, str], content: bytes, cuts: list[int], size: int, boundary: str
) -> None:
    """Oracle: werkzeug's encoder, with a boundary that the content may nearly hold."""
    values: dict[str, object] = {**fields, "file": content.decode("latin-1")}
    _, body = encode_multipart(values, boundary)
    form = read_form(Cut(body, cuts), f'multipart/form-data; boundary="{boundary}"')
    assert form.fields == fields
    assert contents(form, size).decode() == content.decode("latin-1")


def test_a_large_file_streams_and_little_of_it_is_read_with_the_fields() -> None:
    content = bytes(range(256)) * (10 << 10)
    stream = Cut(part("key", b"k") + part("file", content, FILE) + END)
    form = read_form(stream, TYPE)
    assert stream.taken <= 4096
    assert contents(form) == content


def test_a_file_over_the_limit_stops_the_reading() -> None:
    """A084: content-length-range holds while the file streams."""
    stream = Cut(part("file", bytes(10 << 20), FILE) + END)
    reader = BodyReader(read_form(stream, TYPE).file, None, limit=1 << 20)
    with pytest.raises(EntityTooLarge):
        while reader.read():
            pass
    assert stream.taken <= 4 << 20


@pytest.mark.parametrize(
    ("sent", "filename"),
    [
        ("a.txt", "a.txt"),
        ("C:\\\\Users\\\\me\\\\a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("é.txt", "é.txt"),
        ("", ""),
    ],
)
def test_only_the_last_part_of_a_files_name_counts(sent: str, filename: str) -> None:
    body = part("file", b"x", f'; filename="{sent}"') + END
    assert read_form(Cut(body), TYPE).filename == filename


def test_a_file_may_come_without_a_name_as_plain_text() -> None:
    form = read_form(Cut(part("file", b"text") + END), TYPE)
    assert (form.filename, contents(form)) == ("", b"text")


def test_parts_without_a_body_are_empty() -> None:
    head = b"--xyz\r\nContent-Disposition: form-data; name=%s\r\n\r\n"
    form = read_form(Cut(head % b"key" + head % b"file" + END), TYPE)
    assert form.fields == {"key": ""}
    assert contents(form) == b""


def test_a_preamble_padding_and_epilogue_are_allowed() -> None:
    body = part("key", b"k").replace(b"--xyz", b"--xyz \t") + part("file", b"x", FILE)
    form = read_form(Cut(b"preamble\r\n" + body + END + b"epilogue"), TYPE)
    assert form.fields == {"key": "k"}
    assert contents(form) == b"x"


def test_fields_behind_the_file_are_ignored() -> None:
    body = part("key", b"k") + part("file", b"x", FILE) + part("acl", b"public-read") + END
    form = read_form(Cut(body), TYPE)
    assert contents(form) == b"x"
    assert form.fields == {"key": "k"}


def test_a_second_file_behind_the_first_is_refused() -> None:
    body = part("file", b"x", FILE) + part("File", b"y", FILE) + END
    form = read_form(Cut(body), TYPE)
    with pytest.raises(IncorrectNumberOfFilesInPostRequest):
        contents(form)
    with pytest.raises(IncorrectNumberOfFilesInPostRequest):
        form.file.read()


@pytest.mark.parametrize("body", [part("key", b"k") + END, END, part("photo", b"x", FILE) + END])
def test_a_form_without_its_file_is_refused(body: bytes) -> None:
    with pytest.raises(IncorrectNumberOfFilesInPostRequest):
        read_form(Cut(body), TYPE)


def test_a_file_in_another_field_is_refused() -> None:
    body = part("photo", b"x", FILE) + part("file", b"x", FILE) + END
    with pytest.raises(IncorrectNumberOfFilesInPostRequest):
        read_form(Cut(body), TYPE)


def test_a_field_that_comes_twice_is_refused() -> None:
    body = part("key", b"k") + part("Key", b"other") + part("file", b"x", FILE) + END
    with pytest.raises(InvalidArgument) as caught:
        read_form(Cut(body), TYPE)
    assert caught.value.details == {"argument_name": "key"}


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        read_form(Cut(END), content_type)
    assert "enclosure-type" in str(caught.value.details["condition"])


@pytest.mark.parametrize(
    "options", ["", "; boundary=", "; boundary=" + "x" * 201, '; boundary="é"']
)
def test_a_boundary_that_is_none_is_refused(options: str) -> None:
    with pytest.raises(MalformedPOSTRequest):
        read_form(Cut(END), "multipart/form-data" + options)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--xyz",
        b"--xyz\r\n\r\nno head\r\n" + END,
        b"--xyz\r\nContent-Type: text/plain\r\n\r\nno disposition\r\n" + END,
        b"--xyz\r\nContent-Disposition: attachment; name=key\r\n\r\nk\r\n" + END,
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nno name\r\n" + END,
        b'--xyz\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nk\r\n' + END,
        part("key", b"\xff") + part("file", b"x", FILE) + END,
        b"--xyzz\r\n" + END,
    ],
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPOSTRequest):
        read_form(Cut(body), TYPE)


def test_every_truncation_is_refused_before_the_file_ends() -> None:
    body = part("key", b"k") + part("file", b"hello", FILE) + part("late", b"x") + b"--xyz--"
    for end in range(len(body)):
        with pytest.raises(MalformedPOSTRequest):
            contents(read_form(Cut(body[:end]), TYPE))
    assert contents(read_form(Cut(body), TYPE)) == b"hello"


def test_a_line_that_only_begins_like_the_boundary_is_refused() -> None:
    head = b'Content-Disposition: form-data; name="late"\r\n\r\n'
    for value in (b"x\r\n--xyz2\r\n" + head, b"x\r\n--xyz-\r\n" + head):
        form = read_form(Cut(part("file", value, FILE) + END), TYPE)
        with pytest.raises(MalformedPOSTRequest):
            contents(form)


def test_the_fields_before_the_file_have_20_kb() -> None:
    around = len(part("policy", b"")) + len(part("file", b"", FILE)) - 2
    room = PRE_DATA_LIMIT - around - 2
    ending = part("file", b"hello", FILE) + END
    form = read_form(Cut(part("policy", b"p" * room) + ending), TYPE)
    assert contents(form) == b"hello"
    with pytest.raises(MaxPostPreDataLengthExceededError):
        read_form(Cut(part("policy", b"p" * (room + 1)) + ending), TYPE)


@pytest.mark.parametrize(
    "endless",
    [
        b"preamble " * 1_000_000,
        b"--xyz\r\nX: " + b"y" * 9_000_000,
        part("key", b"k" * 9_000_000),
        b"".join(part(f"x-{number}", b"") for number in range(100_000)),
    ],
)
def test_endless_fields_are_cut_off(endless: bytes) -> None:
    """A128: a giant form costs no memory."""
    stream = Cut(endless)
    with pytest.raises(MaxPostPreDataLengthExceededError):
        read_form(stream, TYPE)
    assert stream.taken <= PRE_DATA_LIMIT + 3 * 4096


def test_an_endless_end_is_cut_off() -> None:
    stream = Cut(part("file", b"x", FILE) + END + b"epilogue " * 1_000_000)
    with pytest.raises(MalformedPOSTRequest):
        contents(read_form(stream, TYPE))
    assert stream.taken <= 4 << 20


@given(noise=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=4))
def test_noise_is_refused_in_s3s_words(noise: bytes, cuts: list[int]) -> None:
    for body in (noise, b"--xyz\r\n" + noise, part("file", noise, FILE)):
        with pytest.raises(S3Error):
            contents(read_form(Cut(body, cuts), TYPE))
