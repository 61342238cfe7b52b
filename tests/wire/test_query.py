"""s3kit.wire.query: parsing that never fails, the first of repeated names, whole numbers."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import InvalidArgument
from s3kit.wire.query import EMPTY_QUERY
from s3kit.wire.query import Query
from s3kit.wire.query import parse_query


def test_names_and_values_are_decoded_once() -> None:
    query = Query("prefix=a%252Fb&marker=%C3%BC&versioning&empty=")
    assert query.items == [
        ("prefix", "a%2Fb"),
        ("marker", "ü"),
        ("versioning", None),
        ("empty", ""),
    ]


def test_a_plus_in_a_query_is_a_space_and_an_encoded_plus_a_plus() -> None:
    assert Query("prefix=a+b%2Bc").get("prefix") == "a b+c"


def test_only_the_ampersand_separates_pairs() -> None:
    assert Query("a=1;b=2&&c=3&").items == [("a", "1;b=2"), ("c", "3")]


def test_a_value_may_hold_equals_signs() -> None:
    assert Query("uploadId=abc==").get("uploadId") == "abc=="


def test_the_first_of_a_repeated_parameter_counts() -> None:
    assert Query("max-keys=1&max-keys=2").integer("max-keys", 1000, 0, 1000) == 1


def test_absent_bare_and_empty_parameters_are_told_apart() -> None:
    query = Query("bare&empty=")
    assert query.get("absent") is None
    assert query.get("absent", "x") == "x"
    assert query.get("bare") == ""
    assert query.get("empty") == ""
    assert "bare" in query
    assert "absent" not in query
    assert query.names == {"bare", "empty"}


def test_the_empty_query_is_false_and_shared() -> None:
    assert not EMPTY_QUERY
    assert parse_query("") is EMPTY_QUERY
    assert parse_query("acl")


def test_bytes_that_are_not_utf8_are_replaced_and_kept_in_raw() -> None:
    query = Query("prefix=%ff%zz%")
    assert query.get("prefix") == "\ufffd%zz%"
    assert query.raw == "prefix=%ff%zz%"


def test_raw_bytes_that_arrive_as_latin1_are_read_as_utf8() -> None:
    assert Query("prefix=" + "ü".encode().decode("latin-1")).get("prefix") == "ü"


def test_a_query_shows_no_values_in_its_repr() -> None:
    """A125: a presigned URL's signature is a secret while it lasts."""
    assert "topsecret" not in repr(Query("X-Amz-Signature=topsecret"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("7", 7), ("1000", 1000), ("+5", 5), ("-0", 0), ("007", 7)],
)
def test_whole_numbers_are_read(text: str, expected: int) -> None:
    assert Query(f"n={quote(text)}").integer("n", 1, 0, 1000) == expected


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1.5", "1e3", "1_000", " 1", "0x10", "٣", "²", "--1", "9" * 5000, "2147483648"],
)
def test_what_is_no_whole_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Query("max-keys=" + quote(text)).integer("max-keys", 1, 0, 1000)
    assert caught.value.text == "Provided max-keys not an integer or within integer range"
    assert caught.value.details == {"argument_name": "max-keys", "argument_value": text}


@pytest.mark.parametrize("text", ["-1", "1001"])
def test_a_number_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Query("partNumber=" + text).integer("partNumber", 1, 0, 1000)
    assert caught.value.text == "Argument partNumber must be an integer between 0 and 1000"
    assert caught.value.details == {"argument_name": "partNumber", "argument_value": text}


def test_an_absent_number_is_its_default_whatever_the_range() -> None:
    assert EMPTY_QUERY.integer("max-keys", 5000, 0, 1000) == 5000


@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.text())))
def test_every_quoted_pair_comes_back(pairs: list[tuple[str, str | None]]) -> None:
    def spell(text: str) -> str:
        return quote(text.encode("utf-8", "replace"), safe="")

    raw = "&".join(
        spell(name) if value is None else f"{spell(name)}={spell(value)}" for name, value in pairs
    )
    expected = [
        (
            name.encode("utf-8", "replace").decode(),
            None if value is None else value.encode("utf-8", "replace").decode(),
        )
        for name, value in pairs
    ]
    assert Query(raw).items == expected


@given(st.text())
def test_no_query_string_is_refused(raw: str) -> None:
    query = Query(raw)
    for name in query.names:
        assert name in query
        query.get(name, "").encode("utf-8")  # type: ignore[union-attr]
