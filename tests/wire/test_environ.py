"""s3kit.wire.environ: targets, headers, the body's end, and proxies, by environ alone.

tests/wire/test_servers.py shows the same against the servers themselves.
"""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import IncompleteBody
from s3kit.errors import InvalidArgument
from s3kit.errors import InvalidRequest
from s3kit.errors import MissingContentLength
from s3kit.errors import RequestTimeout
from s3kit.wire import environ as environ_module
from s3kit.wire.environ import Input
from s3kit.wire.environ import TrustedProxies
from s3kit.wire.environ import amz_headers
from s3kit.wire.environ import gives_raw_target
from s3kit.wire.environ import header
from s3kit.wire.environ import header_items
from s3kit.wire.environ import open_input
from s3kit.wire.environ import public_url_parts
from s3kit.wire.environ import raw_target
from s3kit.wire.environ import take_hoisted_headers
from s3kit.wire.query import Query

# The request target


@pytest.mark.parametrize("variable", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/b/a%2Fb?acl&x=%20", "/b/a%2Fb", "acl&x=%20"),
        ("/b/k", "/b/k", ""),
        ("/b/k?", "/b/k", ""),
        ("/b/k?a?b", "/b/k", "a?b"),
        ("//b/k", "//b/k", ""),
        ("/b//lead", "/b//lead", ""),
        ("/b/../x", "/b/../x", ""),
        ("http://host:9000/b/k?x=1", "/b/k", "x=1"),
        ("HTTPS://host/b/k", "/b/k", ""),
        ("http://host", "/", ""),
        ("http://host?x=1", "/", "x=1"),
        ("/b/http://host/k", "/b/http://host/k", ""),
        ("/http://host/k", "/http://host/k", ""),
        ("*", "*", ""),
    ],
)
def test_the_raw_target_is_taken_byte_for_byte(
    variable: str, raw: str, path: str, query: str
) -> None:
    """A105: an absolute target's authority is dropped; // is no authority."""
    target = raw_target({variable: raw, "PATH_INFO": "/wrong", "QUERY_STRING": "wrong"})
    assert (target.path, target.query, target.exact) == (path, query, True)
    assert target.alternatives == ()


def test_werkzeugs_double_encoding_of_raw_bytes_is_undone() -> None:
    wire = "/b/ü?prefix=ü".encode().decode("latin-1")
    twice = wire.encode().decode("latin-1")
    target = raw_target({"REQUEST_URI": twice, "SERVER_SOFTWARE": "Werkzeug/3.1"})
    path, _, query = wire.partition("?")
    assert (target.path, target.query) == (path, query)
    once = raw_target({"REQUEST_URI": wire, "SERVER_SOFTWARE": "uWSGI"})
    assert once.path == path


@pytest.mark.parametrize(
    ("path_info", "path"),
    [
        ("/b/a//b", "/b/a//b"),
        ("/b/ü".encode().decode("latin-1"), "/b/%C3%BC"),
        ("/b/\xff", "/b/%FF"),
        ("/b/€", "/b/%E2%82%AC"),
        ("/b/a b+c%", "/b/a%20b%2Bc%25"),
        ("/b/../x", "/b/../x"),
        ("", ""),
    ],
)
def test_without_a_raw_target_the_path_is_encoded_anew(path_info: str, path: str) -> None:
    target = raw_target({"PATH_INFO": path_info, "QUERY_STRING": "a=%41+b"})
    assert (target.path, target.query, target.exact) == (path, "a=%41+b", False)


def test_a_rebuilt_target_has_the_mount() -> None:
    assert raw_target({"SCRIPT_NAME": "/s3", "PATH_INFO": "/b/k"}).path == "/s3/b/k"


def test_djangos_rewritten_path_info_is_read_as_text_where_its_mount_says_so() -> None:
    environ = {"PATH_INFO": "/b/ü", "s3kit.path_encoding": "utf-8"}
    assert raw_target(environ).path == "/b/%C3%BC"


def test_the_few_paths_with_encoded_slashes_are_alternatives_likeliest_first() -> None:
    target = raw_target({"PATH_INFO": "/b/a/c//k/d/e/f"})
    assert target.alternatives == (
        "/b%2Fa%2Fc%2F/k/d/e/f",
        "/b%2Fa/c//k/d/e/f",
        "/b%2Fa%2Fc//k/d/e/f",
        "/b%2Fa%2Fc%2F%2Fk/d/e/f",
    )
    assert raw_target({"PATH_INFO": "/b/k"}).alternatives == ("/b%2Fk",)
    assert raw_target({"PATH_INFO": "/b"}).alternatives == ()


def test_alternatives_stay_few_however_deep_the_key() -> None:
    assert len(raw_target({"PATH_INFO": "/b" + "/x" * 500}).alternatives) == 4


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        (b"/s3/b/a%2Fb//c%20d+e%ff", "/s3/b/a%2Fb//c%20d+e%ff"),
        (b"//b/k", "//b/k"),
        (b"http://host/b/k", "/b/k"),
        (b"/b/k?old=servers", "/b/k"),
    ],
)
def test_under_asgi_the_servers_raw_path_is_the_target(raw_path: bytes, path: str) -> None:
    """a2wsgi hands the ASGI scope over; its own PATH_INFO is decoded and lossy."""
    environ = {"asgi.scope": {"raw_path": raw_path}, "PATH_INFO": "/x", "QUERY_STRING": "a=%20"}
    target = raw_target(environ)
    assert (target.path, target.query, target.exact) == (path, "a=%20", True)
    assert gives_raw_target(environ)


@pytest.mark.parametrize("scope", [{}, {"raw_path": None}, {"raw_path": b""}])
def test_an_asgi_server_may_know_no_raw_path(scope: dict[str, Any]) -> None:
    environ = {"asgi.scope": scope, "PATH_INFO": "/b/a b"}
    assert raw_target(environ).path == "/b/a%20b"
    assert not raw_target(environ).exact
    assert not gives_raw_target(environ)


def test_one_warning_tells_that_the_server_gives_no_raw_target(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environ_module, "_warned_about_target", False)
    with caplog.at_level(logging.WARNING):
        raw_target({"PATH_INFO": "/b/k", "SERVER_SOFTWARE": "Granian"})
        raw_target({"PATH_INFO": "/b/k", "SERVER_SOFTWARE": "Granian"})
    assert len(caplog.records) == 1
    assert "Granian" in caplog.text
    assert "REQUEST_URI" in caplog.text
    assert "'%2F'" in caplog.text


def test_a_server_that_gives_the_target_is_told_from_one_that_does_not() -> None:
    assert gives_raw_target({"RAW_URI": "/"})
    assert gives_raw_target({"REQUEST_URI": "/"})
    assert not gives_raw_target({"PATH_INFO": "/"})


# Headers


def test_headers_are_found_by_their_lower_case_names() -> None:
    environ = {"HTTP_X_AMZ_ACL": "private", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3"}
    assert header(environ, "x-amz-acl") == "private"
    assert header(environ, "content-type") == "text/plain"
    assert header(environ, "content-length") == "3"
    assert header(environ, "x-amz-tagging") is None


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("  a b \t", "a b"),
        ("a\r\n\t b", "a b"),
        ("a\r\nX-Evil: 1", "a X-Evil: 1"),
        ("\xa0", "\xa0"),
        ("\xc3\xa0\r\n b\x85", "\xc3\xa0 b\x85"),
    ],
)
def test_a_headers_outer_blanks_and_folds_go_and_no_line_break_stays(sent: str, read: str) -> None:
    """A100."""
    assert header({"HTTP_X": sent}, "x") == read


def test_an_empty_content_type_or_length_counts_as_absent_any_other_header_not() -> None:
    environ = {"CONTENT_TYPE": "", "CONTENT_LENGTH": "", "HTTP_RANGE": ""}
    assert header(environ, "content-type") is None
    assert header(environ, "content-length") is None
    assert header(environ, "range") == ""


def test_the_amz_parameters_of_a_presigned_url_become_headers_but_those_of_its_signature() -> None:
    environ = {"HTTP_X_AMZ_ACL": "private"}
    raw = "X-Amz-Date=1&x-amz-acl=public-read&X-Amz-Meta-A=%C3%A0&prefix=x"
    assert take_hoisted_headers(environ, Query(raw))
    assert environ == {
        "HTTP_X_AMZ_ACL": "private",
        "HTTP_X_AMZ_META_A": "\u00e0".encode().decode("latin-1"),
    }
    assert not take_hoisted_headers(environ, Query("X-Amz-Date=1&prefix=x"))


@pytest.mark.parametrize(
    "name", ["a%0D%0ASet-Cookie%3A%20x", "%E6%97%A5", "%C3%A9", "a%20b", "a%3Ab", "%00", "%FF"]
)
def test_a_parameter_that_can_be_no_header_is_refused(name: str) -> None:
    """A100: a server would write such a name into its answer as it stands."""
    environ: dict[str, Any] = {}
    with pytest.raises(InvalidArgument):
        take_hoisted_headers(environ, Query(f"x-amz-meta-a=1&x-amz-meta-{name}=1"))


def test_the_names_of_headers_that_clients_invent_are_not_kept() -> None:
    before = environ_module.environ_key.cache_info().currsize
    for number in range(3):
        take_hoisted_headers({}, Query(f"x-amz-meta-invented-{number}=1"))
        header_items({f"HTTP_X_INVENTED_{number}": "1"})
    assert environ_module.environ_key.cache_info().currsize == before


def test_amz_headers_are_listed_by_name() -> None:
    environ = {"HTTP_X_AMZ_META_A_B": "1", "HTTP_X_AMZ_DATE": "2", "HTTP_HOST": "h", "X_AMZ_Z": "3"}
    assert sorted(amz_headers(environ)) == ["x-amz-date", "x-amz-meta-a-b"]


def test_all_headers_come_by_name_without_the_servers_own_variables() -> None:
    environ = {
        "HTTP_HOST": "h",
        "HTTP_X_AMZ_DATE": " d ",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "5",
        "SERVER_NAME": "s",
        "wsgi.input": None,
    }
    assert header_items(environ) == {"host": "h", "x-amz-date": "d", "content-length": "5"}


# The body


class Drip:
    """A stream that gives at most ``step`` bytes a time and counts what is asked."""

    def __init__(self, data: bytes, step: int = 3, error: BaseException | None = None) -> None:
        self.data = io.BytesIO(data)
        self.step = step
        self.error = error
        self.asked = 0

    def read(self, n: int) -> bytes:
        assert n > 0, "a server may treat read(0) and read(-1) as it likes"
        self.asked += 1
        block = self.data.read(min(n, self.step))
        if not block and self.error is not None:
            raise self.error
        return block


def body(stream: Any, **environ: object) -> Input:
    return open_input({"wsgi.input": stream, "SERVER_PROTOCOL": "HTTP/1.1", **environ})


def test_a_body_is_read_in_full_blocks_and_never_past_its_length() -> None:
    source = body(Drip(b"0123456789GET / HTTP/1.1"), CONTENT_LENGTH="10")
    assert (source.length, source.remaining, source.declared) == (10, 10, True)
    assert source.read(4) == b"0123"
    assert source.remaining == 6
    assert source.read(100) == b"456789"
    assert source.read(100) == b""
    assert source.remaining == 0


def test_a_negative_size_reads_the_rest() -> None:
    source = body(Drip(b"0123456789more"), CONTENT_LENGTH="10")
    source.read(2)
    assert source.read() == b"23456789"
    assert body(Drip(b"abcdef"), **CHUNKED).read() == b"abcdef"


@pytest.mark.parametrize("step", [1, 100])
def test_a_body_that_ends_early_is_incomplete_again_and_again(step: int) -> None:
    """A092."""
    stream = Drip(b"01234", step)
    source = body(stream, CONTENT_LENGTH="10")
    with pytest.raises(IncompleteBody):
        source.read(10)
    asked = stream.asked
    with pytest.raises(IncompleteBody):
        source.read(10)
    assert stream.asked == asked, "a stream that broke off is not read again"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(), IncompleteBody),
        (OSError("error during read on wsgi.input"), IncompleteBody),
        (ValueError("Bad chunked transfer size"), IncompleteBody),
        (RuntimeError("gone"), IncompleteBody),
        (TimeoutError(), RequestTimeout),
    ],
)
def test_a_broken_connection_is_the_clients_error_and_not_ours(
    error: Exception, expected: type[Exception]
) -> None:
    source = body(Drip(b"0123", error=error), CONTENT_LENGTH="10")
    with pytest.raises(expected):
        source.read(10)
    with pytest.raises(expected):
        source.read(1)


def test_a_process_being_stopped_is_no_broken_connection() -> None:
    source = body(Drip(b"", error=KeyboardInterrupt()), CONTENT_LENGTH="10")
    with pytest.raises(KeyboardInterrupt):
        source.read(10)


@pytest.mark.parametrize(
    "text",
    ["-1", "+5", "5,5", "5, 5", "0x5", "5.0", "five", "٣", "1_0", "9" * 30, "9" * 5000, "5 5"],
)
def test_a_content_length_that_is_no_number_is_refused(text: str) -> None:
    """A094."""
    with pytest.raises(InvalidArgument) as caught:
        body(Drip(b""), CONTENT_LENGTH=text)
    assert caught.value.details == {"argument_name": "Content-Length", "argument_value": text}


def test_a_request_that_says_nothing_of_a_body_has_none_and_says_so() -> None:
    stream = Drip(b"GET / HTTP/1.1")
    for environ in ({}, {"CONTENT_LENGTH": ""}):
        source = body(stream, **environ)
        assert (source.length, source.declared) == (0, False)
        assert source.read(10) == b""
        source.drain()
    assert stream.asked == 0


def test_a_declared_length_of_zero_is_declared() -> None:
    source = body(Drip(b"x"), CONTENT_LENGTH="0")
    assert (source.length, source.declared) == (0, True)
    assert source.read(10) == b""


CHUNKED: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


def test_a_chunked_body_ends_by_itself() -> None:
    stream = Drip(b"0123456789")
    source = body(stream, **CHUNKED)
    assert (source.length, source.remaining, source.declared) == (None, None, True)
    assert source.read(0) == b""
    assert source.read(4) == b"0123"
    assert source.read(100) == b"456789"
    asked = stream.asked
    assert source.read(100) == b""
    assert stream.asked == asked, "not every server may be read after its end"


def test_a_chunked_body_that_the_server_cannot_end_wants_a_length() -> None:
    with pytest.raises(MissingContentLength):
        body(Drip(b""), HTTP_TRANSFER_ENCODING="chunked")
    with pytest.raises(MissingContentLength):
        body(Drip(b""), **CHUNKED, **{"uwsgi.version": b"2.0"})


def test_granian_gets_only_chunked_bodies_that_show_their_own_end() -> None:
    """A092: it passes a chunked body that broke off as one that ended."""
    granian = {**CHUNKED, "SERVER_SOFTWARE": "Granian"}
    for payload in ("UNSIGNED-PAYLOAD", ""):
        with pytest.raises(MissingContentLength):
            body(Drip(b"abc"), **granian, HTTP_X_AMZ_CONTENT_SHA256=payload)
    with pytest.raises(MissingContentLength):
        body(Drip(b"abc"), **granian)
    trailer = {"HTTP_X_AMZ_CONTENT_SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    assert body(Drip(b"abc"), **granian, **trailer).read() == b"abc"


def test_a_body_with_both_a_length_and_chunks_is_refused() -> None:
    """A094: the way of request smuggling."""
    with pytest.raises(InvalidRequest):
        body(Drip(b""), CONTENT_LENGTH="5", **CHUNKED)


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity", "chunked, chunked", ""])
def test_any_transfer_encoding_but_chunked_is_refused(coding: str) -> None:
    with pytest.raises(InvalidRequest):
        body(Drip(b""), **{**CHUNKED, "HTTP_TRANSFER_ENCODING": coding})


def test_a_body_over_http2_needs_neither_header() -> None:
    source = open_input(
        {"wsgi.input": Drip(b"abc"), "SERVER_PROTOCOL": "HTTP/2", "wsgi.input_terminated": True}
    )
    assert (source.length, source.declared) == (None, False)
    assert source.read(10) == b"abc"


def test_draining_leaves_the_connection_at_the_next_request() -> None:
    stream = Drip(b"0123456789NEXT")
    source = body(stream, CONTENT_LENGTH="10")
    source.read(3)
    source.drain()
    assert stream.data.read() == b"NEXT"
    assert source.remaining == 0


def test_a_long_rest_is_not_drained() -> None:
    stream = Drip(b"x" * 50)
    source = body(stream, CONTENT_LENGTH="50")
    source.drain(limit=49)
    assert stream.asked == 0
    source.drain(limit=50)
    assert source.remaining == 0


def test_draining_a_chunked_body_stops_at_the_limit_and_at_its_end() -> None:
    stream = Drip(b"x" * 50, step=10)
    source = body(stream, **CHUNKED)
    source.drain(limit=20)
    assert stream.data.tell() == 20
    source.drain()
    assert stream.data.tell() == 50
    assert source.remaining == 0


def test_draining_never_fails() -> None:
    for error in (TimeoutError(), ConnectionResetError()):
        body(Drip(b"", error=error), CONTENT_LENGTH="10").drain()
    body(Drip(b"012"), CONTENT_LENGTH="10").drain()


@pytest.mark.parametrize("environ", [{"SERVER_SOFTWARE": "Granian"}, {"uwsgi.version": b"2.0"}])
def test_a_body_that_the_client_still_holds_back_is_not_asked_for_by_draining(
    environ: dict[str, Any],
) -> None:
    stream = Drip(b"0123456789")
    source = body(stream, CONTENT_LENGTH="10", HTTP_EXPECT="100-continue", **environ)
    source.drain()
    assert stream.asked == 0
    source.read(1)
    source.drain()
    assert source.remaining == 0


def test_a_server_that_has_said_continue_already_is_drained() -> None:
    source = body(
        Drip(b"0123456789"),
        CONTENT_LENGTH="10",
        HTTP_EXPECT="100-continue",
        SERVER_SOFTWARE="gunicorn/27",
    )
    source.drain()
    assert source.remaining == 0


@given(st.binary(max_size=200), st.lists(st.integers(1, 60), max_size=30), st.integers(1, 50))
def test_any_way_of_reading_gives_the_same_bytes(data: bytes, sizes: list[int], step: int) -> None:
    for environ in ({"CONTENT_LENGTH": str(len(data))}, CHUNKED):
        tail = b"" if environ is CHUNKED else b"TAIL"
        source = body(Drip(data + tail, step), **environ)
        blocks = [source.read(size) for size in sizes]
        assert all(
            len(block) == size or source.remaining == 0
            for block, size in zip(blocks, sizes, strict=True)
        )
        assert b"".join(blocks) + source.read() == data


# Proxies

FORWARDED: dict[str, Any] = {
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "inner:9000",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "s3.example.com",
    "HTTP_X_FORWARDED_PREFIX": "/store/",
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
}


def test_forwarded_headers_of_a_stranger_count_for_nothing() -> None:
    """A030, A077."""
    for trusted in (TrustedProxies(), TrustedProxies(["10.0.0.0/8", "unix"])):
        for peer in ("198.51.100.1", "11.0.0.1", "10.0.0.1.evil.test"):
            parts = public_url_parts({**FORWARDED, "REMOTE_ADDR": peer}, trusted)
            assert parts == ("http", "inner:9000", "", peer)


@pytest.mark.parametrize(
    ("networks", "peer"),
    [
        (["10.0.0.0/8"], "10.1.2.3"),
        (["10.1.2.3"], "10.1.2.3"),
        (["10.1.2.3/8"], "10.9.9.9"),
        (["::1"], "::1"),
        (["127.0.0.1"], "::ffff:127.0.0.1"),
        (["fe80::/10"], "fe80::1%eth0"),
        (["unix"], ""),
    ],
)
def test_forwarded_headers_of_a_trusted_proxy_count(networks: list[str], peer: str) -> None:
    parts = public_url_parts({**FORWARDED, "REMOTE_ADDR": peer}, TrustedProxies(networks))
    assert parts == ("https", "s3.example.com", "/store", "203.0.113.9")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.0.0.8, 10.0.0.7", "10.0.0.8"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("6.6.6.6, unknown", "10.0.0.1"),
        ("6.6.6.6, fe80::1%" + "z" * 10_000, "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.9, ", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    forwarded: str, client: str
) -> None:
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "h", "HTTP_X_FORWARDED_FOR": forwarded}
    assert public_url_parts(environ, TrustedProxies(["10.0.0.0/8"]))[3] == client


@pytest.mark.parametrize(
    ("name", "value", "position", "expected"),
    [
        ("PROTO", "http, https", 0, "https"),
        ("PROTO", "gopher", 0, "http"),
        ("PROTO", "", 0, "http"),
        ("HOST", "evil.test, s3.example.com", 1, "s3.example.com"),
        ("HOST", "evil.test/path", 1, "h"),
        ("PREFIX", "store", 2, ""),
        ("PREFIX", "/", 2, ""),
        ("PREFIX", "/a?b", 2, ""),
        ("PREFIX", "/a/b", 2, "/a/b"),
    ],
)
def test_of_forwarded_values_only_the_last_and_only_a_sound_one_counts(
    name: str, value: str, position: int, expected: str
) -> None:
    environ = {
        "REMOTE_ADDR": "10.0.0.1",
        "HTTP_HOST": "h",
        "wsgi.url_scheme": "http",
        f"HTTP_X_FORWARDED_{name}": value,
    }
    assert public_url_parts(environ, TrustedProxies(["10.0.0.1"]))[position] == expected


def test_a_request_without_a_host_is_named_by_the_server() -> None:
    environ = {"SERVER_NAME": "srv", "SERVER_PORT": "9000", "wsgi.url_scheme": "http"}
    assert public_url_parts(environ, TrustedProxies())[1] == "srv:9000"
    environ["SERVER_PORT"] = "80"
    assert public_url_parts(environ, TrustedProxies())[1] == "srv"


def test_a_proxy_that_is_no_network_is_refused_at_once() -> None:
    with pytest.raises(ValueError):
        TrustedProxies(["proxy.example.com"])


def test_the_memory_of_seen_addresses_is_bounded() -> None:
    trusted = TrustedProxies(["10.0.0.0/8"])
    for number in range(5000):
        assert f"192.0.{number >> 8}.{number & 255}" not in trusted
    assert len(trusted._known) <= 1024
    assert "10.0.0.1" in trusted
