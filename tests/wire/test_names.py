"""s3kit.wire.names: which bucket names and keys there can be."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import InvalidBucketName
from s3kit.errors import InvalidURI
from s3kit.errors import KeyTooLongError
from s3kit.wire import names
from s3kit.wire.names import check_bucket_name
from s3kit.wire.names import check_key
from s3kit.wire.names import is_bucket_name


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        "a" * 63,
        "my-bucket",
        "my.bucket.example",
        "123",
        "0a9",
        "a--b",
        "iup-usa",
        "1.2.3",
        "1.2.3.4.5",
        "192.168.5.x",
        "xn-abc",
        "b-s3alias1",
    ],
)
def test_names_that_s3_takes(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "Bucket",
        "my_bucket",
        "my bucket",
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "192.168.5.4",
        "999.999.999.999",
        "xn--abc",
        "sthree-abc",
        "sthree-configurator",
        "amzn-s3-demo-bucket",
        "abc-s3alias",
        "abc--ol-s3",
        "abc.mrap",
        "abc--x-s3",
        "abc--table-s3",
        "büc",
        "٣٣٣",
        "a/b",
        "a\n",
        "abc\n",
        "a\0b",
        "..",
        "...",
        "a%2Fb",
    ],
)
def test_names_that_s3_refuses(name: str) -> None:
    """CS-18."""
    with pytest.raises(InvalidBucketName) as caught:
        check_bucket_name(name)
    assert caught.value.details == {"bucket_name": name}


@given(st.text(alphabet=string.ascii_lowercase + string.digits, min_size=3, max_size=63))
def test_every_plain_name_is_taken(name: str) -> None:
    # The letters of a reserved beginning need a hyphen, which is not drawn here.
    assert is_bucket_name(name)


@given(st.text())
def test_a_name_that_is_taken_is_safe_in_a_host_and_a_path(name: str) -> None:
    if is_bucket_name(name):
        assert set(name) <= set(string.ascii_lowercase + string.digits + ".-")
        assert ".." not in name


@pytest.mark.parametrize("key", [b"a", b"\0", b"../x", b"a" * 1024, "ü".encode() * 512, b"\r\n"])
def test_keys_that_s3_takes(key: bytes) -> None:
    check_key(key)


@pytest.mark.parametrize("key", [b"a" * 1025, "ü".encode() * 512 + b"a"])
def test_a_key_of_more_than_1024_bytes_is_refused(key: bytes) -> None:
    """A097: bytes of UTF-8 count, not characters."""
    with pytest.raises(KeyTooLongError) as caught:
        check_key(key)
    assert caught.value.details == {"size": 1025, "max_size_allowed": 1024}


@pytest.mark.parametrize("key", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
def test_a_key_that_is_not_utf8_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidURI):
        check_key(key)


def test_a_name_too_long_for_a_bucket_is_not_kept() -> None:
    # A full one of another test would not grow.
    names._is_bucket_name.cache_clear()
    before = names._is_bucket_name.cache_info().currsize
    assert not is_bucket_name("a" * 64)
    assert not is_bucket_name("never-seen" * 100_000)
    assert names._is_bucket_name.cache_info().currsize == before
    assert is_bucket_name("seen-now" * 7)
    assert names._is_bucket_name.cache_info().currsize == before + 1
