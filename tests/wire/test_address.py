"""s3kit.wire.address: path style, virtual hosts, mounts, proxies, and what may have been signed."""

from __future__ import annotations

from urllib.parse import quote
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3kit.errors import InvalidURI
from s3kit.wire import address as address_module
from s3kit.wire.address import Address
from s3kit.wire.address import aws_quote
from s3kit.wire.address import object_url
from s3kit.wire.address import parse_address
from s3kit.wire.environ import Target
from s3kit.wire.environ import raw_target


def at(path: str, host: str = "127.0.0.1:9000", **options: object) -> Address:
    return parse_address(Target(path, ""), host, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "bucket", "key"),
    [
        ("", None, None),
        ("/", None, None),
        ("*", None, None),
        ("/b", "b", None),
        ("/b/", "b", None),
        ("/b/k", "b", b"k"),
        ("/b/dir/", "b", b"dir/"),
        ("/b//", "b", b"/"),
        ("/b//lead", "b", b"/lead"),
        ("/b/a//b", "b", b"a//b"),
        ("/b/a%2Fb", "b", b"a/b"),
        ("/b/../x", "b", b"../x"),
        ("/b/./y", "b", b"./y"),
        ("/b/%2e%2e/x", "b", b"../x"),
        ("/b/a+b", "b", b"a+b"),
        ("/b/a%20b", "b", b"a b"),
        ("/b/a b", "b", b"a b"),
        ("/b/%25", "b", b"%"),
        ("/b/%2525", "b", b"%25"),
        ("/b/100%", "b", b"100%"),
        ("/b/%zz", "b", b"%zz"),
        ("/b/%2", "b", b"%2"),
        ("/b/%00", "b", b"\0"),
        ("/b/%0D%0A", "b", b"\r\n"),
        ("/b/%E2%82%AC", "b", "€".encode()),
        ("/b/" + "€".encode().decode("latin-1"), "b", "€".encode()),
        ("/b/%ff%fe", "b", b"\xff\xfe"),
        ("/b/;p=1", "b", b";p=1"),
        ("/b/#frag", "b", b"#frag"),
        ("/b/%3F%23", "b", b"?#"),
        ("/%62ucket/k", "bucket", b"k"),
    ],
)
def test_a_path_is_split_and_its_key_decoded_once_and_never_normalised(
    path: str, bucket: str | None, key: bytes | None
) -> None:
    """A065, A066, A099: no two spellings of different keys meet, none climbs out of its bucket."""
    address = at(path)
    assert (address.bucket, address.key) == (bucket, key)
    assert not address.virtual_host
    assert address.host_bucket is None


@pytest.mark.parametrize("path", ["//", "//b/k", "/%2Fb/k", "/%2F", "example.com:443", "b/k", "#"])
def test_a_path_without_a_bucket_before_its_key_is_refused(path: str) -> None:
    with pytest.raises(InvalidURI):
        at(path)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/iup-usa%2F123%2Fxxxxxxxx%2F/new/bucket-relative/f%20n.png",
         b"123/xxxxxxxx/new/bucket-relative/f n.png"),
        ("/iup-usa%2Fa%2Fb/key", b"a/b/key"),
        ("/iup-usa%2fa%2fb%2f/key", b"a/b/key"),
        ("/iup-usa%2F/key", b"key"),
        ("/iup-usa%2Fa", b"a"),
        ("/iup-usa%2Fa%2F", b"a/"),
        ("/iup-usa%2Fa/", b"a/"),
        ("/iup-usa%2Fa%2F//k", b"a//k"),
        ("/iup-usa%2F", None),
    ],
)  # fmt: skip
def test_a_bucket_given_with_a_path_brings_the_start_of_the_key(
    path: str, key: bytes | None
) -> None:
    """IU-20: the PHP SDK's spelling; its signature verifies only over the path as sent."""
    address = at(path)
    assert (address.bucket, address.key) == ("iup-usa", key)
    assert address.canonical == (path,)


def test_an_encoded_slash_behind_the_first_segment_is_an_ordinary_slash_of_the_key() -> None:
    address = at("/b/x%2Fy/z")
    assert (address.bucket, address.key) == ("b", b"x/y/z")


def test_the_signature_of_one_key_never_fits_another_through_an_encoded_bucket() -> None:
    """A008: /b/a//k is the key ``a//k``, /b%2Fa%2F/k is ``a/k``."""
    assert not set(at("/b/a//k").canonical) & set(at("/b%2Fa%2F/k").canonical)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", ("/",)),
        ("", ("/",)),
        ("/b/k", ("/b/k",)),
        ("/b/a~b-c_d.e", ("/b/a~b-c_d.e",)),
        ("/b/a%20b", ("/b/a%20b",)),
        ("/b/a+b", ("/b/a%2Bb", "/b/a+b")),
        ("/b/a%2Bb", ("/b/a%2Bb",)),
        ("/b/%7E", ("/b/~", "/b/%7E")),
        ("/b/%c3%bc", ("/b/%C3%BC", "/b/%c3%bc")),
        ("/b/a%2Fb", ("/b/a/b", "/b/a%2Fb")),
        ("/b/../x", ("/b/../x",)),
        ("/b//lead", ("/b//lead",)),
        ("/b/100%", ("/b/100%25", "/b/100%")),
        ("/b/(a)*!'", ("/b/%28a%29%2A%21%27", "/b/(a)*!'")),
    ],
)
def test_the_canonical_uri_is_awss_encoding_and_then_the_path_as_sent(
    path: str, canonical: tuple[str, ...]
) -> None:
    assert at(path).canonical == canonical


BASES = ("s3.example.com", "example.com", "S3.Other.Test:9000")


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("photos.s3.example.com", "photos"),
        ("Photos.S3.Example.COM:9000", "photos"),
        ("photos.s3.example.com.", "photos"),
        ("my.dotted.bucket.s3.example.com", "my.dotted.bucket"),
        ("photos.example.com", "photos"),
        ("photos.s3.other.test", "photos"),
    ],
)
def test_a_subdomain_of_a_base_host_is_a_bucket(host: str, bucket: str) -> None:
    address = at("/a/k", host, base_hosts=BASES)
    assert (address.bucket, address.key) == (bucket, b"a/k")
    assert address.virtual_host
    assert address.host_bucket == bucket
    assert address.canonical == ("/a/k",)


@pytest.mark.parametrize(
    "host",
    [
        "s3.example.com",
        "example.com:443",
        "localhost",
        "127.0.0.1:9000",
        "[::1]:9000",
        "10.0.0.1",
        "unknown.test",
        "evilexample.com",
        ".example.com",
        "",
        "photos.s3.example.com.evil.test",
    ],
)
def test_any_other_host_means_path_style(host: str) -> None:
    address = at("/a/k", host, base_hosts=BASES)
    assert (address.bucket, address.key) == ("a", b"k")
    assert not address.virtual_host


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/", None),
        ("", None),
        ("/k", b"k"),
        ("//lead", b"/lead"),
        ("/a%2Fb/c", b"a/b/c"),
        ("/%2Fa", b"/a"),
    ],
)
def test_under_a_virtual_host_the_whole_path_is_the_key(path: str, key: bytes | None) -> None:
    address = at(path, "photos.example.com", base_hosts=BASES)
    assert (address.bucket, address.key) == ("photos", key)


def test_a_base_host_that_is_an_address_never_makes_buckets() -> None:
    assert at("/a/k", "1.127.0.0.1", base_hosts=("127.0.0.1",)).bucket == "a"


@pytest.mark.parametrize(
    ("path", "bucket", "key"),
    [
        ("/s3/b/k", "b", b"k"),
        ("/s3", None, None),
        ("/s3/", None, None),
        ("/%733/b/k", "b", b"k"),
        ("/s3/b//k", "b", b"/k"),
        ("/s3/b%2Fa/k", "b", b"a/k"),
        ("//s3/b/k", "b", b"k"),
        ("/s3/s3/k", "s3", b"k"),
        ("/s3x/k", "s3x", b"k"),
        ("/b/k", "b", b"k"),
    ],
)
def test_the_mount_is_taken_off_before_the_bucket_and_kept_in_what_was_signed(
    path: str, bucket: str | None, key: bytes | None
) -> None:
    address = at(path, script_name="/s3")
    assert (address.bucket, address.key) == (bucket, key)
    assert path in address.canonical


def test_a_mount_of_several_segments_and_other_letters_is_found() -> None:
    # WSGI hands SCRIPT_NAME over decoded, as latin-1 characters; Django as real ones.
    for script_name in ("/a b/ü".encode().decode("latin-1"), "/a b/€"):
        path = quote(script_name.encode("latin-1") if "€" not in script_name else script_name)
        address = at(path + "/b/k", script_name=script_name)
        assert (address.bucket, address.key) == ("b", b"k")


def test_an_empty_bucket_below_a_mount_is_refused() -> None:
    with pytest.raises(InvalidURI):
        at("/s3//b/k", script_name="/s3")


def test_a_prefix_that_a_proxy_took_off_is_put_back_before_the_signature_is_checked() -> None:
    address = at("/b/a+b", public_prefix="/store")
    assert (address.bucket, address.key) == ("b", b"a+b")
    assert address.canonical == ("/store/b/a%2Bb", "/store/b/a+b")


def test_with_a_public_prefix_no_path_is_signed_for_two_objects() -> None:
    """A008: /store/b/k is bucket b behind the proxy, so it must not be bucket store before it."""
    behind = at("/b/k", public_prefix="/store")
    before = at("/store/b/k", public_prefix="/store")
    assert not set(behind.canonical) & set(before.canonical)


def test_a_public_prefix_that_is_the_mount_is_not_put_back_twice() -> None:
    address = at("/s3/b/k", script_name="/s3", public_prefix="/s3")
    assert address.canonical == ("/s3/b/k",)


def rebuilt(path_info: str, script_name: str = "", **options: object) -> Address:
    target = raw_target(
        {"PATH_INFO": path_info, "SCRIPT_NAME": script_name, "SERVER_SOFTWARE": "Granian"}
    )
    return parse_address(target, "h", script_name=script_name, **options)  # type: ignore[arg-type]


def test_without_a_raw_target_a_signature_over_an_encoded_bucket_settles_the_key() -> None:
    """IU-20 on granian."""
    address = rebuilt("/iup-usa/123/xxx//new/k")
    assert address.key == b"123/xxx//new/k"
    assert address.canonical[0] == "/iup-usa/123/xxx//new/k"
    signed = "/iup-usa%2F123%2Fxxx%2F/new/k"
    assert signed in address.canonical
    settled = address.settle(signed)
    assert (settled.bucket, settled.key) == ("iup-usa", b"123/xxx/new/k")
    assert address.settle(address.canonical[0]) is address


def test_without_a_raw_target_the_mount_and_the_public_prefix_still_count() -> None:
    address = rebuilt("/b/a/k", "/s3", public_prefix="/out")
    assert address.canonical[0] == "/out/s3/b/a/k"
    settled = address.settle("/out/s3/b%2Fa/k")
    assert "/out/s3/b%2Fa/k" in address.canonical
    assert (settled.bucket, settled.key) == ("b", b"a/k")


def test_with_a_raw_target_nothing_else_may_have_been_signed() -> None:
    address = at("/b/a//k")
    assert address.canonical == ("/b/a//k",)
    assert address.settle("/b%2Fa%2F/k") is address


def test_a_leading_slash_that_werkzeug_lost_comes_back_by_the_signature() -> None:
    target = raw_target({"REQUEST_URI": "/lead", "SERVER_SOFTWARE": "Werkzeug/3.1"})
    address = parse_address(target, "b.example.com", base_hosts=("example.com",))
    assert address.key == b"lead"
    assert address.settle("//lead").key == b"/lead"


def test_a_doubled_leading_slash_is_refused_on_werkzeug_too_once_the_signature_shows_it() -> None:
    target = raw_target({"REQUEST_URI": "/b/k", "SERVER_SOFTWARE": "Werkzeug/3.1"})
    address = parse_address(target, "h")
    assert address.settle("/b/k") is address
    with pytest.raises(InvalidURI):
        address.settle("//b/k")


@given(st.binary(min_size=1, max_size=60))
def test_every_key_survives_the_way_through_its_path(key: bytes) -> None:
    path = "/bucket/" + quote_from_bytes(key)
    address = at(path)
    assert (address.bucket, address.key) == ("bucket", key)
    assert address.canonical[0] == aws_quote(b"/bucket/" + key)


@given(st.binary(max_size=60))
def test_aws_quote_encodes_as_sigv4_says(data: bytes) -> None:
    assert aws_quote(data) == quote_from_bytes(data, safe="/~")
    assert aws_quote(data, safe_slash=False) == quote_from_bytes(data, safe="~")


def test_aws_quote_takes_text_as_utf8() -> None:
    assert aws_quote("a b/ü~") == "a%20b/%C3%BC~"
    assert aws_quote("a/b", safe_slash=False) == "a%2Fb"


@given(
    st.text(max_size=40),
    st.text(max_size=20),
    st.sampled_from(["", "/s3", "/a/b"]),
    st.sampled_from(["", "/p"]),
    st.booleans(),
)
def test_no_target_is_worse_than_an_invalid_uri(
    path: str, host: str, script_name: str, public_prefix: str, exact: bool
) -> None:
    environ = {"SCRIPT_NAME": script_name, "SERVER_SOFTWARE": "Granian"}
    environ["RAW_URI" if exact else "PATH_INFO"] = "/" + path
    try:
        address = parse_address(
            raw_target(environ),
            host,
            script_name=script_name,
            base_hosts=BASES,
            public_prefix=public_prefix,
        )
    except InvalidURI:
        return
    assert address.canonical
    for canonical in address.canonical:
        try:
            settled = address.settle(canonical)
        except InvalidURI:
            continue
        assert settled.key is None or settled.bucket


def test_a_client_that_asks_for_the_removed_prefix_itself_is_found() -> None:
    target = Target("/", "", True, ("//",))
    address = parse_address(target, "s3.test", public_prefix="/public")
    assert address.canonical == ("/public/", "/public", "/public//")
    assert address.settle("/public").bucket is None
    assert parse_address(Target("/b", ""), "s3.test", public_prefix="/public").canonical == (
        "/public/b",
    )


def test_an_objects_url_never_has_a_host_that_no_header_takes() -> None:
    assert object_url("http", "s3\x00.test", "b", b"k") == "http://localhost/b/k"
    assert object_url("http", "s3.test:81", "b", b"a b") == "http://s3.test:81/b/a%20b"


def test_a_host_too_long_for_a_name_has_no_bucket_and_is_not_kept() -> None:
    bases = ("s3.example.com",)
    before = address_module._bucket_of_host.cache_info().currsize
    for host in ("a" * 300 + ".s3.example.com", "s3.example.com" + " " * 300):
        assert at("/b/k", host, base_hosts=bases).bucket == "b"
    assert address_module._bucket_of_host.cache_info().currsize == before
    longest = "a" * (255 - len(bases[0]) - 1) + ".s3.example.com:65535"
    assert at("/k", longest, base_hosts=bases).virtual_host
    assert address_module._bucket_of_host.cache_info().currsize == before + 1
