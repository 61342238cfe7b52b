from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies

from s3kit.errors import InvalidArgument
from s3kit.errors import NoSuchKey
from s3kit.errors import NotImplemented as HeaderNotImplemented
from s3kit.errors import NotModified
from s3kit.errors import PreconditionFailed
from s3kit.errors import S3Error
from s3kit.wire.conditions import COPY_SOURCE_PREFIX
from s3kit.wire.conditions import Conditions
from s3kit.wire.conditions import check_copy_source
from s3kit.wire.conditions import check_delete
from s3kit.wire.conditions import check_read
from s3kit.wire.conditions import check_write
from s3kit.wire.conditions import check_write_form
from s3kit.wire.conditions import read_conditions
from s3kit.wire.headers import http_date

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
MODIFIED = 1_255_369_830_500
NOW = MODIFIED / 1000 + 3600
HOUR = 3_600_000
BEFORE = MODIFIED - HOUR
AFTER = MODIFIED + HOUR // 2
FUTURE = MODIFIED + 2 * HOUR
CURRENT = (ETAG, MODIFIED, 3)


def answer_to_read(conditions: Conditions) -> str:
    try:
        check_read(conditions, ETAG, MODIFIED, now=NOW)
    except NotModified:
        return "304"
    except PreconditionFailed as error:
        return f"412 {error.details['condition']}"
    return "200"


def answer_to_copy(conditions: Conditions) -> str:
    try:
        check_copy_source(conditions, ETAG, MODIFIED, now=NOW)
    except PreconditionFailed as error:
        return f"412 {error.details['condition']}"
    return "200"


def answer_to_write(conditions: Conditions, current: tuple[str, int, int] | None) -> str:
    try:
        check_write(conditions, current, key=b"k")
    except S3Error as error:
        return error.code
    return "done"


def answer_to_delete(conditions: Conditions, current: tuple[str, int, int] | None) -> str:
    try:
        check_delete(conditions, current)
    except S3Error as error:
        return error.code
    return "done"


# --- reading headers -----------------------------------------------------------------------


def test_a_request_without_conditions_has_none() -> None:
    assert read_conditions({"HTTP_RANGE": "bytes=0-", "HTTP_IF_MATCH": ""}) is None
    assert read_conditions({"HTTP_IF_MATCH": '"a"'}, COPY_SOURCE_PREFIX) is None
    assert read_conditions({"HTTP_X_AMZ_COPY_SOURCE_IF_MATCH": '"a"'}) is None


@pytest.mark.parametrize("prefix", ["", COPY_SOURCE_PREFIX])
def test_the_four_headers_are_read(prefix: str) -> None:
    start = "HTTP_" + prefix.upper().replace("-", "_")
    conditions = read_conditions(
        {
            start + "IF_MATCH": '"a", W/"b"',
            start + "IF_NONE_MATCH": 'c, W/"d"',
            start + "IF_MODIFIED_SINCE": http_date(BEFORE),
            start + "IF_UNMODIFIED_SINCE": http_date(AFTER),
        },
        prefix,
    )
    assert conditions is not None
    assert conditions.if_match == ("a",)
    assert conditions.if_none_match == ("c", "d")
    assert conditions.if_modified_since == BEFORE // 1000 * 1000
    assert conditions.if_unmodified_since == AFTER // 1000 * 1000
    assert conditions.prefix == prefix


def test_a_date_that_is_none_is_ignored() -> None:
    conditions = read_conditions(
        {"HTTP_IF_MODIFIED_SINCE": "soon", "HTTP_IF_UNMODIFIED_SINCE": "0"}
    )
    assert conditions is not None
    assert answer_to_read(conditions) == "200"


def test_the_conditions_of_a_delete_are_read_strictly() -> None:
    conditions = read_conditions(
        {
            "HTTP_X_AMZ_IF_MATCH_SIZE": "3",
            "HTTP_X_AMZ_IF_MATCH_LAST_MODIFIED_TIME": http_date(MODIFIED),
        }
    )
    assert conditions is not None
    assert conditions.if_match_size == 3
    assert conditions.if_match_last_modified == MODIFIED // 1000 * 1000
    for name, value in [
        ("HTTP_X_AMZ_IF_MATCH_SIZE", "x"),
        ("HTTP_X_AMZ_IF_MATCH_SIZE", "-1"),
        ("HTTP_X_AMZ_IF_MATCH_SIZE", "9" * 5000),
        ("HTTP_X_AMZ_IF_MATCH_LAST_MODIFIED_TIME", "soon"),
    ]:
        with pytest.raises(InvalidArgument):
            read_conditions({name: value})


@given(
    strategies.dictionaries(
        strategies.sampled_from(
            [
                "HTTP_IF_MATCH",
                "HTTP_IF_NONE_MATCH",
                "HTTP_IF_MODIFIED_SINCE",
                "HTTP_IF_UNMODIFIED_SINCE",
                "HTTP_X_AMZ_IF_MATCH_SIZE",
            ]
        ),
        strategies.text(),
    )
)
def test_any_header_text_ends_in_an_s3_error_at_worst(environ: dict[str, str]) -> None:
    try:
        conditions = read_conditions(environ)
        if conditions is not None:
            check_read(conditions, ETAG, MODIFIED)
    except S3Error:
        pass


# --- reads ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "read", "copy"),
    [
        ({}, "200", "200"),
        ({"if_match": (ETAG,)}, "200", "200"),
        ({"if_match": ("x", ETAG)}, "200", "200"),
        ({"if_match": ("*",)}, "200", "200"),
        ({"if_match": ("x",)}, "412 If-Match", "412 If-Match"),
        ({"if_match": ()}, "412 If-Match", "412 If-Match"),
        ({"if_none_match": ("x",)}, "200", "200"),
        ({"if_none_match": (ETAG,)}, "304", "412 If-None-Match"),
        ({"if_none_match": ("x", ETAG)}, "304", "412 If-None-Match"),
        ({"if_none_match": ("*",)}, "304", "412 If-None-Match"),
        ({"if_modified_since": BEFORE}, "200", "200"),
        ({"if_modified_since": AFTER}, "304", "412 If-Modified-Since"),
        ({"if_modified_since": FUTURE}, "200", "200"),
        ({"if_unmodified_since": AFTER}, "200", "200"),
        ({"if_unmodified_since": FUTURE}, "200", "200"),
        ({"if_unmodified_since": BEFORE}, "412 If-Unmodified-Since", "412 If-Unmodified-Since"),
        # AWS's own table: If-Match that holds beats If-Unmodified-Since that does not.
        ({"if_match": (ETAG,), "if_unmodified_since": BEFORE}, "200", "200"),
        ({"if_match": ("x",), "if_unmodified_since": AFTER}, "412 If-Match", "412 If-Match"),
        # And If-None-Match that does not hold beats If-Modified-Since that does.
        ({"if_none_match": (ETAG,), "if_modified_since": BEFORE}, "304", "412 If-None-Match"),
        ({"if_none_match": ("x",), "if_modified_since": AFTER}, "200", "200"),
        # 412 comes before 304.
        ({"if_match": ("x",), "if_none_match": (ETAG,)}, "412 If-Match", "412 If-Match"),
        ({"if_match": (ETAG,), "if_none_match": (ETAG,)}, "304", "412 If-None-Match"),
        ({"if_match": (ETAG,), "if_modified_since": AFTER}, "304", "412 If-Modified-Since"),
        (
            {"if_unmodified_since": BEFORE, "if_none_match": (ETAG,)},
            "412 If-Unmodified-Since",
            "412 If-Unmodified-Since",
        ),
    ],
)
def test_conditions_on_reads_and_copy_sources(
    conditions: dict[str, object], read: str, copy: str
) -> None:
    wanted = Conditions(**conditions)  # type: ignore[arg-type]
    assert answer_to_read(wanted) == read
    assert answer_to_copy(wanted) == copy


def test_the_second_that_last_modified_shows_counts_as_not_modified() -> None:
    shown = MODIFIED // 1000 * 1000
    assert answer_to_read(Conditions(if_modified_since=shown)) == "304"
    assert answer_to_read(Conditions(if_unmodified_since=shown)) == "200"
    assert answer_to_read(Conditions(if_modified_since=shown - 1000)) == "200"
    assert answer_to_read(Conditions(if_unmodified_since=shown - 1000)) != "200"


def test_not_modified_carries_the_etag_and_the_date() -> None:
    with pytest.raises(NotModified) as caught:
        check_read(Conditions(if_none_match=(ETAG,)), ETAG, MODIFIED)
    assert caught.value.headers == {
        "ETag": f'"{ETAG}"',
        "Last-Modified": "Mon, 12 Oct 2009 17:50:30 GMT",
    }


def test_a_copy_names_the_whole_header_that_did_not_hold() -> None:
    conditions = read_conditions({"HTTP_X_AMZ_COPY_SOURCE_IF_MATCH": "ABCORZ"}, COPY_SOURCE_PREFIX)
    assert conditions is not None
    assert answer_to_copy(conditions) == "412 x-amz-copy-source-If-Match"


# --- writes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "on_existing", "on_nothing"),
    [
        ({}, "done", "done"),
        ({"if_none_match": ("*",)}, "PreconditionFailed", "done"),
        ({"if_match": (ETAG,)}, "done", "NoSuchKey"),
        ({"if_match": ("x",)}, "PreconditionFailed", "NoSuchKey"),
        ({"if_match": ()}, "PreconditionFailed", "NoSuchKey"),
        ({"if_match": ("*",)}, "NotImplemented", "NotImplemented"),
        ({"if_none_match": (ETAG,)}, "NotImplemented", "NotImplemented"),
        ({"if_none_match": ("*", "x")}, "NotImplemented", "NotImplemented"),
        ({"if_none_match": ("*",), "if_match": (ETAG,)}, "NotImplemented", "NotImplemented"),
        ({"if_modified_since": BEFORE}, "NotImplemented", "NotImplemented"),
        ({"if_unmodified_since": AFTER}, "NotImplemented", "NotImplemented"),
    ],
)
def test_conditions_on_writes(
    conditions: dict[str, object], on_existing: str, on_nothing: str
) -> None:
    """A117: If-None-Match: * lets only the first writer pass."""
    wanted = Conditions(**conditions)  # type: ignore[arg-type]
    assert answer_to_write(wanted, CURRENT) == on_existing
    assert answer_to_write(wanted, None) == on_nothing


def test_a_refused_write_says_why() -> None:
    with pytest.raises(PreconditionFailed) as failed:
        check_write(Conditions(if_none_match=("*",)), CURRENT)
    assert failed.value.details == {"condition": "If-None-Match"}
    with pytest.raises(NoSuchKey) as missing:
        check_write(Conditions(if_match=("x",)), None, key=b"k")
    assert missing.value.details == {"key": b"k"}
    with pytest.raises(HeaderNotImplemented) as refused:
        check_write_form(Conditions(if_none_match=("x",)))
    assert refused.value.details == {"header": "If-None-Match"}


@pytest.mark.parametrize(
    ("conditions", "on_existing", "on_nothing"),
    [
        ({}, "done", "done"),
        ({"if_match": (ETAG,)}, "done", "PreconditionFailed"),
        ({"if_match": ("*",)}, "done", "PreconditionFailed"),
        ({"if_match": ("x",)}, "PreconditionFailed", "PreconditionFailed"),
        ({"if_match_size": 3}, "done", "PreconditionFailed"),
        ({"if_match_size": 0}, "PreconditionFailed", "PreconditionFailed"),
        ({"if_match_last_modified": MODIFIED - 500}, "done", "PreconditionFailed"),
        ({"if_match_last_modified": BEFORE}, "PreconditionFailed", "PreconditionFailed"),
        ({"if_match": (ETAG,), "if_match_size": 4}, "PreconditionFailed", "PreconditionFailed"),
        ({"if_none_match": ("*",)}, "NotImplemented", "NotImplemented"),
        ({"if_modified_since": BEFORE}, "NotImplemented", "NotImplemented"),
        ({"if_unmodified_since": AFTER}, "NotImplemented", "NotImplemented"),
    ],
)
def test_conditions_on_deletes(
    conditions: dict[str, object], on_existing: str, on_nothing: str
) -> None:
    wanted = Conditions(**conditions)  # type: ignore[arg-type]
    assert answer_to_delete(wanted, CURRENT) == on_existing
    assert answer_to_delete(wanted, None) == on_nothing
