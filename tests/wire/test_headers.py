from __future__ import annotations

import base64
import datetime
import email.header
import email.utils
import hashlib
import time

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies

from s3kit.errors import BadRequest
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidDigest
from s3kit.errors import InvalidRange
from s3kit.errors import InvalidRedirectLocation
from s3kit.errors import InvalidTag
from s3kit.errors import MetadataTooLarge
from s3kit.errors import S3Error
from s3kit.wire import headers
from s3kit.wire.environ import environ_key
from s3kit.wire.headers import BUCKET_TAG_LIMIT
from s3kit.wire.headers import ETAGS_LIMIT
from s3kit.wire.headers import check_tags
from s3kit.wire.headers import content_md5
from s3kit.wire.headers import decode_metadata
from s3kit.wire.headers import encode_metadata
from s3kit.wire.headers import http_date
from s3kit.wire.headers import iso8601
from s3kit.wire.headers import parse_copy_range
from s3kit.wire.headers import parse_copy_source
from s3kit.wire.headers import parse_etags
from s3kit.wire.headers import parse_http_date
from s3kit.wire.headers import parse_range
from s3kit.wire.headers import parse_tagging_header
from s3kit.wire.headers import quote_etag
from s3kit.wire.headers import response_overrides
from s3kit.wire.headers import sent_headers
from s3kit.wire.headers import stored_fields
from s3kit.wire.headers import stored_headers
from s3kit.wire.query import Query

YEAR_9999 = 253_402_300_799_999
MOMENTS = strategies.integers(0, YEAR_9999)


# --- dates ---------------------------------------------------------------------------------


@given(MOMENTS)
@example(0)
@example(951_782_399_999)
@example(YEAR_9999)
def test_dates_are_written_as_the_standard_library_writes_them(milliseconds: int) -> None:
    moment = datetime.datetime.fromtimestamp(milliseconds // 1000, datetime.UTC)
    assert http_date(milliseconds) == email.utils.format_datetime(moment, usegmt=True)
    assert iso8601(milliseconds) == moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@given(MOMENTS)
def test_an_http_date_is_read_back_to_the_second(milliseconds: int) -> None:
    assert parse_http_date(http_date(milliseconds)) == milliseconds // 1000 * 1000


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 09:49:37 +0100",
        "06 Nov 1994 08:49:37 GMT",
    ],
)
def test_all_forms_of_an_http_date_mean_the_same(text: str) -> None:
    assert parse_http_date(text) == 784_111_777_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "yesterday",
        "2009-10-12",
        "Sun, 06 Nov 1994",
        "Sun, 40 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "1255369830",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


@given(strategies.text() | strategies.text("Sun, 0123456789:JanNov GMT+-"))
def test_any_text_is_a_date_or_none(text: str) -> None:
    found = parse_http_date(text)
    assert found is None or isinstance(found, int)


def test_a_text_too_long_for_a_date_is_none_and_not_kept() -> None:
    long = "Sun, 06 Nov 1994 08:49:37 GMT" + " " * 64
    before = headers._parse_http_date.cache_info().currsize
    assert parse_http_date(long) is None
    assert headers._parse_http_date.cache_info().currsize == before
    assert parse_http_date(long[:64]) == 784_111_777_000


# --- ETags ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "etags", "strong"),
    [
        ('"abc"', ("abc",), ("abc",)),
        ("abc", ("abc",), ("abc",)),
        (' "abc" ', ("abc",), ("abc",)),
        ("*", ("*",), ("*",)),
        ('"a", "b"', ("a", "b"), ("a", "b")),
        ('"a",b , *', ("a", "b", "*"), ("a", "b", "*")),
        ('"a,b"', ("a,b",), ("a,b",)),
        ('"d41d8cd98f00b204e9800998ecf8427e-12"',)
        + (("d41d8cd98f00b204e9800998ecf8427e-12",),) * 2,
        ('W/"abc"', ("abc",), ()),
        ("W/abc", ("abc",), ()),
        ('W/"a", "b"', ("a", "b"), ("b",)),
        ('"W/"', ("W/",), ("W/",)),
        ('""', ("",), ("",)),
    ],
)
def test_etags_are_read_with_and_without_quotes_and_weakness(
    value: str, etags: tuple[str, ...], strong: tuple[str, ...]
) -> None:
    assert parse_etags(value) == etags
    assert parse_etags(value, strong=True) == strong


@given(
    strategies.lists(
        strategies.text("0123456789abcdef-,/ W", min_size=1).filter(lambda tag: '"' not in tag),
        min_size=1,
        max_size=4,
    )
)
def test_quoted_etags_are_read_back(etags: list[str]) -> None:
    assert parse_etags(", ".join(map(quote_etag, etags))) == tuple(etags)


@pytest.mark.parametrize(
    "piece", ['"a', " ", "\t", '"a" ', ', "', '",', "W/", 'W/"', '" "', "a ", "/ ", "\xa0"]
)
@pytest.mark.parametrize(
    ("start", "end"), [('"a",', ',"b"'), ("", ",/"), ('"', ",x"), ('"a"', ",")]
)
def test_a_hostile_etag_list_costs_no_more_than_its_length(
    start: str, piece: str, end: str
) -> None:
    value = start + piece * 8000
    value = value[: ETAGS_LIMIT - len(end)] + end
    began = time.thread_time()
    parse_etags(value)
    assert time.thread_time() - began < 0.1


def test_a_list_of_etags_has_an_end() -> None:
    tags = ",".join([quote_etag("0" * 32)] * (ETAGS_LIMIT // 35))
    assert len(parse_etags(tags)) == ETAGS_LIMIT // 35
    with pytest.raises(InvalidArgument):
        parse_etags(tags + " " * ETAGS_LIMIT)


# --- Range ---------------------------------------------------------------------------------


def model_of_range(first: int | None, last: int | None, size: int) -> list[int] | str:
    """The bytes that one range asks for, found by trying every position."""
    positions = range(size)
    if first is None:
        if last is None:
            return "ignored"
        if last == 0:
            return "unsatisfiable"
        return [at for at in positions if size - at <= last] or "ignored"
    if last is not None and last < first:
        return "ignored"
    return [at for at in positions if at >= first and (last is None or at <= last)] or (
        "unsatisfiable"
    )


OFFSETS = strategies.none() | strategies.integers(0, 12)


@given(OFFSETS, OFFSETS, strategies.integers(0, 10))
def test_a_range_selects_the_bytes_that_a_brute_force_model_selects(
    first: int | None, last: int | None, size: int
) -> None:
    """A102."""
    begin = "" if first is None else first
    end = "" if last is None else last
    value = f"bytes={begin}-{end}"
    found: list[int] | str
    try:
        span = parse_range(value, size)
        found = "ignored" if span is None else list(range(*span))
    except InvalidRange:
        found = "unsatisfiable"
    assert found == model_of_range(first, last, size)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-", (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=9-9", (9, 10)),
        ("bytes=4-99999999999", (4, 10)),
        ("bytes=-5", (5, 10)),
        ("bytes=-50", (0, 10)),
        (" bytes=1-2 ", (1, 3)),
        ("Bytes=1-2", (1, 3)),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("bytes=0-1,", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=--5", None),
        ("bytes=-5-", None),
        ("bytes=1", None),
        ("bytes=a-b", None),
        ("bytes=1-b", None),
        ("bytes=+1-2", None),
        ("bytes=1_0-", None),
        ("bytes=\u0661-", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("bytes=0-" + "9" * 5000, None),
        ("bytes 0-1", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_ranges_of_ten_bytes(value: str, span: tuple[int, int] | None) -> None:
    """A102: garbage, several ranges and other units are answered with the whole object."""
    assert parse_range(value, 10) == span


@pytest.mark.parametrize(
    ("value", "size"),
    [("bytes=10-", 10), ("bytes=10-11", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=40-50", 0)],
)
def test_a_range_behind_the_end_is_invalid_and_says_how_long_the_object_is(
    value: str, size: int
) -> None:
    with pytest.raises(InvalidRange) as caught:
        parse_range(value, size)
    assert caught.value.details == {"range_requested": value, "actual_object_size": size}
    assert caught.value.headers == {"Content-Range": f"bytes */{size}"}


def test_a_suffix_of_an_empty_object_is_ignored() -> None:
    assert parse_range("bytes=-5", 0) is None


@given(strategies.text(), strategies.integers(0, 10))
def test_any_range_text_is_a_span_inside_the_object_or_ignored(text: str, size: int) -> None:
    for value in (text, f"bytes={text}"):
        try:
            span = parse_range(value, size)
        except InvalidRange:
            continue
        assert span is None or 0 <= span[0] < span[1] <= size


@pytest.mark.parametrize(
    "value",
    [
        "0-2",
        "bytes=0",
        "bytes=hello-world",
        "bytes=0-bar",
        "bytes=hello-",
        "bytes=0-2,3-5",
        "bytes=0-",
        "bytes=-2",
        "bytes=2-1",
        "bytes=0-5",
        "bytes=5-6",
        "",
    ],
)
def test_a_copy_range_must_be_whole_and_inside_the_source(value: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_copy_range(value, 5)
    assert caught.value.details["argument_name"] == "x-amz-copy-source-range"


def test_a_copy_range_is_read() -> None:
    assert parse_copy_range("bytes=0-4", 5) == (0, 5)
    assert parse_copy_range("bytes=2-2", 5) == (2, 3)


# --- metadata ------------------------------------------------------------------------------


@given(strategies.text(strategies.characters(exclude_categories=["Cs"])))
@example("=?UTF-8?Q?x?=")
@example(" a ")
@example("a =?UTF-8?B?w6k=?=  =?UTF-8?B?w6k=?= b")
@example("é" * 500)
def test_metadata_is_read_back_from_its_header_form(value: str) -> None:
    """A100: whatever it was, the header form is printable ASCII without line breaks."""
    header = encode_metadata(value)
    assert header.isascii()
    assert header.isprintable()
    assert header == header.strip()
    assert decode_metadata(header) == value


@given(
    strategies.text(strategies.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
        lambda text: not text.isascii()
    )
)
def test_the_standard_library_reads_our_encoded_words(value: str) -> None:
    header = encode_metadata(value)
    assert str(email.header.make_header(email.header.decode_header(header))) == value
    assert all(len(word) <= 75 for word in header.split(" "))


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("AMAZONS3", "AMAZONS3"),
        ("a b=c?", "a b=c?"),
        ("Hello Worldé", "=?UTF-8?Q?Hello_World=C3=A9?="),
        ("日本", "=?UTF-8?B?5pel5pys?="),
        ("a\r\nSet-Cookie: x", "=?UTF-8?Q?a=0D=0ASet-Cookie:_x?="),
    ],
)
def test_metadata_is_encoded_only_where_it_has_to_be(value: str, header: str) -> None:
    assert encode_metadata(value) == header


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("=?UTF-8?Q?AMAZONS3?=", "AMAZONS3"),
        ("=?utf-8?b?5pel?= =?utf-8?B?5pys?=", "日本"),
        ("x =?iso-8859-1?q?=E9_=e9?= y", "x é é y"),
        ("=?nope?Q?a?=", "=?nope?Q?a?="),
        ("=?punycode?Q?a?=", "=?punycode?Q?a?="),
        ("=?hex?Q?61?=", "=?hex?Q?61?="),
        ("=?UTF-8?B?a?=", "=?UTF-8?B?a?="),
        ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
        ("=?UTF-8?X?a?=", "=?UTF-8?X?a?="),
        ("=?UTF-8?Q?a", "=?UTF-8?Q?a"),
        ("=?UTF-8?B?a?= =?UTF-8?Q?b?=", "=?UTF-8?B?a?= b"),
    ],
)
def test_encoded_words_are_read_and_unreadable_ones_stay(header: str, value: str) -> None:
    assert decode_metadata(header) == value


def test_the_headers_of_an_upload_are_kept_with_lower_case_names() -> None:
    environ = {
        "CONTENT_TYPE": "text/plain; charset=utf-8",
        "HTTP_CACHE_CONTROL": "max-age=1",
        "HTTP_CONTENT_DISPOSITION": 'attachment; filename="a b"',
        "HTTP_CONTENT_ENCODING": "gzip",
        "HTTP_CONTENT_LANGUAGE": "de",
        "HTTP_EXPIRES": "0",
        "HTTP_X_AMZ_WEBSITE_REDIRECT_LOCATION": "/other",
        "HTTP_X_AMZ_META_COLOUR": " red ",
        "HTTP_X_AMZ_META_EMPTY": "",
        "HTTP_X_AMZ_ACL": "private",
        "HTTP_HOST": "x",
        "wsgi.version": (1, 0),
    }
    stored = stored_headers(environ)
    assert stored == {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "max-age=1",
        "content-disposition": 'attachment; filename="a b"',
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "0",
        "x-amz-website-redirect-location": "/other",
        "x-amz-meta-colour": "red",
        "x-amz-meta-empty": "",
    }
    sent = sent_headers(stored, {"content-type": "text/html"})
    assert ("Content-Type", "text/html") in sent
    assert ("Cache-Control", "max-age=1") in sent
    assert ("x-amz-meta-colour", "red") in sent
    assert len(sent) == len(stored)
    assert stored["content-type"].startswith("text/plain")


@pytest.mark.parametrize("environ", [{}, {"CONTENT_TYPE": ""}, {"CONTENT_TYPE": "  "}])
def test_the_default_content_type_is_s3s(environ: dict[str, str]) -> None:
    assert stored_headers(environ) == {"content-type": "binary/octet-stream"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip, br", "gzip,br"),
        ("gzip, br", "gzip, br"),
    ],
)
def test_aws_chunked_is_the_transports_and_not_kept(sent: str, kept: str | None) -> None:
    assert stored_headers({"HTTP_CONTENT_ENCODING": sent}).get("content-encoding") == kept


@pytest.mark.parametrize(
    ("arrived", "header"),
    [
        ("é".encode().decode("latin-1"), "=?UTF-8?B?w6k=?="),
        ("\xe9", "=?UTF-8?B?w6k=?="),
        ("=?UTF-8?Q?=C3=A9?=", "=?UTF-8?B?w6k=?="),
        ("日", "=?UTF-8?B?5pel?="),
        ("=?UTF-8?Q?plain?=", "plain"),
    ],
)
def test_non_ascii_metadata_is_returned_as_rfc_2047(arrived: str, header: str) -> None:
    assert stored_headers({"HTTP_X_AMZ_META_A": arrived})["x-amz-meta-a"] == header


# The UTF-8 of these ends in 0xA0 and 0x85, which are white space once read as latin-1.
SPACE_LIKE = ("\u00e0", "\u0405")


@pytest.mark.parametrize("letter", SPACE_LIKE)
def test_bytes_that_look_like_spaces_in_latin_1_stay(letter: str) -> None:
    arrived = letter.encode().decode("latin-1")
    environ = {"HTTP_CONTENT_DISPOSITION": f"x={arrived}", "HTTP_CONTENT_ENCODING": arrived}
    stored = stored_headers(environ)
    assert stored["content-disposition"] == f"x={arrived}"
    assert stored["content-encoding"] == arrived
    environ = {"HTTP_CONTENT_ENCODING": f"aws-chunked,{arrived}"}
    assert stored_headers(environ)["content-encoding"] == arrived
    assert parse_copy_source(f"bucket/{arrived}")[1] == letter.encode()
    assert parse_tagging_header(f"k={arrived}") == (("k", letter),)


def test_metadata_keeps_the_spaces_that_are_no_blanks() -> None:
    value = "\u00a0a\u3000".encode().decode("latin-1")
    stored = stored_headers({"HTTP_X_AMZ_META_A": f" {value}\t"})
    assert decode_metadata(stored["x-amz-meta-a"]) == "\u00a0a\u3000"
    assert decode_metadata("=?UTF-8?Q?a?=\u00a0=?UTF-8?Q?b?=") == "a\u00a0b"


def test_an_underscore_in_a_signed_metadata_name_survives_wsgi() -> None:
    environ = {
        "HTTP_X_AMZ_META_MY_KEY": "1",
        "HTTP_X_AMZ_META_MY_OTHER": "2",
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=A/1/r/s3/aws4_request, "
        "SignedHeaders=host;x-amz-meta-my_key;x-amz-meta-my-other, Signature=0",
    }
    stored = stored_headers(environ)
    assert (stored["x-amz-meta-my_key"], stored["x-amz-meta-my-other"]) == ("1", "2")


@pytest.mark.parametrize("name", ["A\r\nSET", "\u65e5", "A B", "A:", "A\0"])
def test_a_metadata_name_that_no_header_can_have_is_refused(name: str) -> None:
    """A100: from whichever door it comes."""
    with pytest.raises(InvalidArgument):
        stored_headers({f"HTTP_X_AMZ_META_{name}": "1"})
    signed = f"AWS4-HMAC-SHA256 Credential=A, SignedHeaders=x-amz-meta-_{name}, Signature=0"
    with pytest.raises(InvalidArgument):
        stored_headers({"HTTP_AUTHORIZATION": signed, f"HTTP_X_AMZ_META__{name}": "1"})


def test_the_names_of_metadata_are_not_kept_in_memory() -> None:
    stored_headers({})
    before = environ_key.cache_info().currsize
    stored_headers({"HTTP_X_AMZ_META_NEVER_SEEN_BEFORE": "1"})
    assert environ_key.cache_info().currsize == before


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("k", "v" * 2047, True),
        ("k", "v" * 2048, False),
        ("k" * 48, "v" * 2000, True),
        ("k" * 49, "v" * 2000, False),
        ("k", "é".encode().decode("latin-1") * 1023, True),
        ("k", "é".encode().decode("latin-1") * 1024, False),
    ],
)
def test_two_kilobytes_of_metadata_count_names_and_values_in_utf_8(
    name: str, value: str, fits: bool
) -> None:
    """A096: the prefix x-amz-meta- does not count, RFC 2047's overhead neither."""
    environ = {f"HTTP_X_AMZ_META_{name.upper()}": value, "HTTP_CACHE_CONTROL": "x" * 3000}
    if fits:
        assert f"x-amz-meta-{name}" in stored_headers(environ)
        return
    with pytest.raises(MetadataTooLarge) as caught:
        stored_headers(environ)
    assert caught.value.details == {"size": 2049, "max_size_allowed": 2048} or "é" in (
        value.encode("latin-1").decode()
    )


@pytest.mark.parametrize("target", ["ftp://x", "other", "javascript:alert(1)"])
def test_a_website_redirect_goes_to_a_path_or_an_http_url(target: str) -> None:
    key = "HTTP_X_AMZ_WEBSITE_REDIRECT_LOCATION"
    with pytest.raises(InvalidRedirectLocation):
        stored_headers({key: target})
    with pytest.raises(InvalidRedirectLocation):
        stored_headers({key: "/" + "x" * 2048})
    for good in ("/x", "http://x", "https://x"):
        assert good in stored_headers({key: good}).values()


def test_a_forms_fields_are_kept_like_headers() -> None:
    assert stored_fields({"content-type": "a/b", "x-amz-meta-a": "é", "key": "k", "acl": "x"}) == {
        "content-type": "a/b",
        "x-amz-meta-a": "=?UTF-8?B?w6k=?=",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"content-type": "a\r\nX-Bad: 1"},
        {"content-disposition": "a\x00"},
        {"content-disposition": "日"},
        {"content-disposition": "\u0100"},
        {"x-amz-meta-a b": "x"},
        {"x-amz-meta-a\r\nx": "x"},
        {"x-amz-meta-é": "x"},
    ],
)
def test_a_forms_field_cannot_split_a_response(fields: dict[str, str]) -> None:
    """A100."""
    with pytest.raises(InvalidArgument):
        stored_fields(fields)


@given(
    strategies.dictionaries(
        strategies.sampled_from(["HTTP_X_AMZ_META_A", "HTTP_CACHE_CONTROL", "CONTENT_TYPE"]),
        strategies.text(),
    )
)
def test_no_header_value_ever_becomes_one_that_wsgi_cannot_send(environ: dict[str, str]) -> None:
    try:
        stored = stored_headers(environ)
    except S3Error:
        return
    for name, value in sent_headers(stored):
        (name + value).encode("latin-1")
        assert not set(value) & set("\r\n\0")


# --- response overrides, Content-MD5 --------------------------------------------------------


def test_the_six_response_parameters_override_headers() -> None:
    query = Query(
        "response-content-type=text%2Fhtml&response-content-language=de&response-expires=x&"
        "response-cache-control=no-cache&response-content-disposition=attachment%3B+x&"
        "response-content-encoding=gzip&response-other=1&prefix=a&response-content-type=second"
    )
    assert response_overrides(query) == {
        "content-type": "text/html",
        "content-language": "de",
        "expires": "x",
        "cache-control": "no-cache",
        "content-disposition": "attachment; x",
        "content-encoding": "gzip",
    }
    assert response_overrides(Query("response-expires&response-content-type=")) == {}


@pytest.mark.parametrize("value", ["a%0D%0ASet-Cookie:x", "a%0A", "%00", "%7F", "%E6%97%A5"])
def test_a_response_parameter_cannot_split_a_response(value: str) -> None:
    """A100."""
    with pytest.raises(InvalidArgument) as caught:
        response_overrides(Query(f"response-content-disposition={value}"))
    assert caught.value.details["argument_name"] == "response-content-disposition"


def test_content_md5_is_sixteen_bytes_of_base64() -> None:
    digest = hashlib.md5(b"x").digest()
    assert content_md5({}) is None
    assert content_md5({"HTTP_CONTENT_MD5": base64.b64encode(digest).decode()}) == digest
    for bad in ("", "x", "AAAA", digest.hex(), base64.b64encode(digest).decode() + "é"):
        with pytest.raises(InvalidDigest):
            content_md5({"HTTP_CONTENT_MD5": bad})


# --- copy source ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bucket/key", ("bucket", b"key", None)),
        ("/bucket/key", ("bucket", b"key", None)),
        ("bucket/a/b//c/", ("bucket", b"a/b//c/", None)),
        ("bucket//key", ("bucket", b"/key", None)),
        ("bucket/a+b", ("bucket", b"a b", None)),
        ("bucket/a+b%2Bc%20d", ("bucket", b"a b+c d", None)),
        ("bucket/a%20b%2Bc", ("bucket", b"a b+c", None)),
        ("bucket%2Fkey", ("bucket", b"key", None)),
        ("%2Fbucket%2Fkey", ("bucket", b"key", None)),
        ("bucket/%2525", ("bucket", b"%25", None)),
        ("bucket/..%2F..%2Fetc", ("bucket", b"../../etc", None)),
        ("bucket/%C3%A9", ("bucket", "é".encode(), None)),
        ("bucket/" + "é".encode().decode("latin-1"), ("bucket", "é".encode(), None)),
        ("bucket/日", ("bucket", "日".encode(), None)),
        ("bucket/key?versionId=null", ("bucket", b"key", "null")),
        ("bucket/key?versionId=a%2Eb", ("bucket", b"key", "a.b")),
        ("bucket/a%3FversionId%3Db", ("bucket", b"a?versionId=b", None)),
        ("bucket/a%3FversionId%3Db?versionId=c", ("bucket", b"a?versionId=b", "c")),
    ],
)
def test_a_copy_source_is_decoded_once_and_then_split(
    value: str, expected: tuple[str, bytes, str | None]
) -> None:
    """A067."""
    assert parse_copy_source(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "/",
        "//",
        "bucket",
        "bucket/",
        "/bucket/",
        "//key",
        "../key",
        "bucket%00/key",
        "Bucket/key",
        "bucket/key?versionId=",
        "bucket/key?version=1",
        "bucket/a?b?versionId=1",
        "bucket/key?versionId=1&x=2",
        "bucket/%",
        "bucket/%zz",
        "bucket/%FF",
        "bucket/key?versionId=%FF",
        "bucket/\xff",
        "arn:aws:s3:us-west-2:123456789012:accesspoint/name/object/key",
        "arn%3Aaws%3As3:::bucket/key",
    ],
)
def test_a_copy_source_that_names_no_object_is_an_invalid_argument(value: str) -> None:
    """A067, A104."""
    with pytest.raises(InvalidArgument) as caught:
        parse_copy_source(value)
    assert caught.value.details == {"argument_name": "x-amz-copy-source", "argument_value": value}


def test_an_access_point_as_copy_source_is_refused_as_what_it_is() -> None:
    with pytest.raises(InvalidArgument, match="Access point"):
        parse_copy_source("arn:aws:s3:us-west-2:123456789012:accesspoint/name/object/key")


@given(strategies.text())
def test_any_copy_source_is_read_or_an_invalid_argument(value: str) -> None:
    for text in (value, f"bucket/{value}"):
        try:
            bucket, key, _ = parse_copy_source(text)
        except InvalidArgument:
            continue
        assert bucket
        assert key


# --- tags ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("a=1&b=2", (("a", "1"), ("b", "2"))),
        ("foo=bar&bar", (("bar", ""), ("foo", "bar"))),
        ("a=", (("a", ""),)),
        ("a=1&", (("a", "1"),)),
        ("", ()),
        ("a+b=c%2Bd", (("a b", "c+d"),)),
        ("a%3Db=%26x".replace("%26", "%40"), (("a=b", "@x"),)),
        ("%C3%A9=%E6%97%A5", (("é", "日"),)),
        ("é".encode().decode("latin-1") + "=1", (("é", "1"),)),
    ],
)
def test_a_tagging_header_is_read_as_form_data(
    value: str, tags: tuple[tuple[str, str], ...]
) -> None:
    assert parse_tagging_header(value) == tags


@pytest.mark.parametrize(
    "value", ["=", "=1", "a=1&a=2", "a=1&a=1", "a&%61", "a=b=c", "a=%", "a=%FF", "%zz=1"]
)
def test_a_tagging_header_that_is_no_form_data_is_an_invalid_argument(value: str) -> None:
    """A108: a duplicate in the header is InvalidArgument, in a document InvalidTag."""
    with pytest.raises(InvalidArgument):
        parse_tagging_header(value)


def test_a_tagging_header_obeys_the_rules_for_tags() -> None:
    with pytest.raises(InvalidTag):
        parse_tagging_header("a=%3C")
    with pytest.raises(BadRequest):
        parse_tagging_header("&".join(f"k{n}=v" for n in range(11)))


@pytest.mark.parametrize("limit", [10, BUCKET_TAG_LIMIT])
def test_as_many_tags_as_the_limit_are_allowed(limit: int) -> None:
    """A108."""
    tags = [(f"k{n}", "") for n in range(limit)]
    check_tags(tags, limit)
    with pytest.raises(BadRequest, match=f"cannot be greater than {limit}"):
        check_tags([*tags, ("one-more", "")], limit)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k" * 128, "v" * 256),
        ("日" * 128, "é" * 256),
        ("aA0 +-=._:/@", "aA0 +-=._:/@"),
        ("é +-=._:/@", ""),
        ("my-aws:key", "aws:value"),
        ("Ⅷ", "٣"),
    ],
)
def test_tags_that_aws_allows(key: str, value: str) -> None:
    check_tags([(key, value)])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("", "v", "TagKey"),
        ("k" * 129, "v", "TagKey"),
        ("k", "v" * 257, "TagValue"),
        ("日" * 129, "", "TagKey"),
        ("a&b", "", "TagKey"),
        ("a\n", "", "TagKey"),
        ("é\n", "", "TagKey"),
        ("é!", "", "TagKey"),
        ("k", "a,b", "TagValue"),
        ("k", "(x)", "TagValue"),
        ("k", "é\x00", "TagValue"),
        ("k", "😀", "TagValue"),
        ("aws:x", "", "System tags"),
        ("AWS:x", "", "System tags"),
    ],
)
def test_tags_that_aws_refuses(key: str, value: str, message: str) -> None:
    """A108."""
    with pytest.raises(InvalidTag, match=message):
        check_tags([(key, value)])


def test_a_tag_key_may_stand_only_once() -> None:
    """A108."""
    check_tags([("a", "1"), ("A", "1")])
    with pytest.raises(InvalidTag, match="multiple Tags with the same key"):
        check_tags([("a", "1"), ("a", "2")])
