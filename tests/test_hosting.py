"""Buckets as websites: index and error documents, redirects, and nothing that a stranger bends."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3kit.app import S3App
from s3kit.cli.worker import Worker
from s3kit.config import Config
from s3kit.wire.address import bucket_of_website
from tests.client import Answer
from tests.client import Client
from tests.client import call
from tests.client import make_environ
from tests.endpoint import OWNER
from tests.endpoint import boto_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app

CUSTOM = "www.example.com"
SITE: dict[str, Any] = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "404.html"},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3App]:
    made = make_app(
        "memory",
        tmp_path_factory.mktemp("web"),
        website_hosts=("*.web.test", CUSTOM),
        base_hosts=("s3.test",),
    )
    yield made
    made.close()


@functools.cache
def boto_of(app: S3App) -> Any:
    return boto_client(app)


class Visitor:
    """A browser at one website."""

    def __init__(self, app: S3App, host: str, mount: str = "") -> None:
        self.app = app
        self.host = host
        self.mount = mount

    def visit(self, path: str, method: str = "GET", **headers: str) -> Answer:
        sent = {"Host": self.host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return call(self.app, make_environ(method, self.mount + path, sent, b"", mount=self.mount))


class Site:
    """A bucket that is a website, for its owner and for its visitors."""

    def __init__(self, app: S3App, name: str, host: str) -> None:
        self.name = name
        self.s3 = Client(app, OWNER)
        self.boto = boto_of(app)
        self.visitor = Visitor(app, host)
        self.s3.put(f"/{name}")
        self.become(SITE)

    def become(self, document: dict[str, Any]) -> None:
        self.boto.put_bucket_website(Bucket=self.name, WebsiteConfiguration=document)

    def store(self, key: str, body: bytes = b"", **more: Any) -> None:
        more = {"ACL": "public-read", "ContentType": "text/html", **more}
        self.boto.put_object(Bucket=self.name, Key=key, Body=body, **more)

    def visit(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return self.visitor.visit(path, method, **headers)

    def location(self, path: str, status: int = 302) -> str:
        """Where a visitor of ``path`` is sent."""
        answer = self.visit(path)
        assert (answer.status, answer.body) == (status, b""), answer.body
        return answer.headers["location"]


@pytest.fixture
def site(app: S3App) -> Site:
    name = fresh_name("site")
    made = Site(app, name, f"{name}.web.test:8080")
    made.store("index.html", b"<h1>home</h1>")
    made.store("docs/index.html", b"<h1>docs</h1>")
    made.store("404.html", b"<h1>lost</h1>")
    made.store("private.html", b"secret", ACL="private")
    return made


def error_of(answer: Answer) -> str:
    """The error code of S3's own page."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = re.search(rb"<li>Code: (\w+)</li>", answer.body)
    assert found is not None, answer.body
    assert answer.headers["x-amz-error-code"] == found[1].decode()
    assert b"<?xml" not in answer.body
    return found[1].decode()


# Which host is whose website


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.web.test", "b"),
        ("B.Web.Test:80", "b"),
        ("b.web.test.", "b"),
        ("www.site.example.web.test", "www.site.example"),
        ("web.test", None),
        (".web.test", None),
        ("xweb.test", None),
        ("www.example.com", "www.example.com"),
        ("WWW.example.com:443", "www.example.com"),
        ("a.www.example.com", None),
        ("s3.web.test", None),
        ("b.s3.web.test", None),
        ("127.0.0.1", None),
        ("[::1]:80", None),
        ("b" * 400 + ".web.test", None),
        ("", None),
    ],
)
def test_a_host_names_the_website_of_a_bucket(host: str, bucket: str | None) -> None:
    websites, bases = ("*.web.test", "www.example.com"), ("s3.web.test", "test")
    assert bucket_of_website(host, websites, bases) == bucket


def test_a_bucket_may_be_named_like_its_host(app: S3App) -> None:
    site = Site(app, CUSTOM, CUSTOM)
    site.store("index.html", b"mine")
    assert site.visit("/").body == b"mine"


def test_other_hosts_are_s3_as_before(site: Site) -> None:
    answer = site.s3.get(f"/{site.name}", "list-type=2")
    assert answer.xml.tag == "ListBucketResult"
    virtual = Visitor(site.s3.app, f"{site.name}.s3.test").visit("/docs/")
    assert (virtual.status, virtual.headers["content-type"]) == (403, "application/xml")


def test_health_and_metrics_are_pages_of_a_website_as_any(tmp_path: Path) -> None:
    config = Config(website_hosts=("*.web.test", "www.example.com"), base_hosts=("s3.test",))
    assert config.hosts_of_buckets == ("s3.test", "web.test")
    app = Worker(config)
    for host, text in (("site.web.test", b"NoSuchBucket"), ("127.0.0.1", b"ok\n")):
        answer = call(app.app, make_environ("GET", "/-/health", {"Host": host}, b""))
        assert text in answer.body
    app.close()


def test_a_website_is_redirected_to_https_where_all_is(tmp_path: Path) -> None:
    made = make_app("memory", tmp_path, website_hosts=("*.web.test",), https="redirect")
    answer = Visitor(made, "b.web.test").visit("/a%20b?c")
    assert answer.headers["location"] == "https://b.web.test/a%20b?c"
    made.close()
    made = make_app("memory", tmp_path, website_hosts=("*.web.test",), https="reject")
    assert error_of(Visitor(made, "b.web.test").visit("/")) != ""
    made.close()


def test_requesters_do_not_pay_for_a_website(site: Site) -> None:
    assert site.visit("/").status == 200
    site.boto.put_bucket_request_payment(
        Bucket=site.name, RequestPaymentConfiguration={"Payer": "Requester"}
    )
    answer = site.visit("/", x_amz_request_payer="requester")
    assert (answer.status, error_of(answer)) == (403, "AccessDenied")


# Index documents


def test_folders_have_index_documents(site: Site) -> None:
    for path, body in (("/", b"<h1>home</h1>"), ("/docs/", b"<h1>docs</h1>")):
        answer = site.visit(path)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["content-type"] == "text/html"
        head = site.visit(path, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(body))
    assert site.location("/docs") == "/docs/"
    assert site.location("/docs?a=b&c") == "/docs/?a=b&c"
    # The object itself goes before the folder.
    site.store("docs", b"a page")
    assert site.visit("/docs").body == b"a page"


def test_a_folder_whose_index_is_private_shows_itself_to_nobody(site: Site) -> None:
    site.store("hidden/index.html", b"x", ACL="private")
    assert site.visit("/hidden").status == site.visit("/nothing").status == 403


def test_the_mount_stays_in_front(site: Site) -> None:
    visitor = Visitor(site.s3.app, site.visitor.host, "/a b")
    visitor.mount = "/sites"
    assert visitor.visit("/docs/").body == b"<h1>docs</h1>"
    assert visitor.visit("/docs").headers["location"] == "/sites/docs/"


def test_conditional_and_range_requests_are_answered(site: Site) -> None:
    etag = site.visit("/").headers["etag"]
    assert site.visit("/", if_none_match=etag).status == 304
    part = site.visit("/", range="bytes=4-7")
    assert (part.status, part.body) == (206, b"home")
    assert part.headers["content-range"] == "bytes 4-7/13"
    site.s3.delete(f"/{site.name}/404.html")
    beyond = site.visit("/", range="bytes=99-")
    assert (beyond.status, error_of(beyond)) == (416, "InvalidRange")
    assert error_of(site.visit("/", if_match='"other"')) == "PreconditionFailed"


# Errors


def test_the_error_document_has_the_errors_status(site: Site) -> None:
    answer = site.visit("/private.html", range="bytes=0-1", if_none_match="*")
    assert (answer.status, answer.body) == (403, b"<h1>lost</h1>")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-amz-error-code"] == "AccessDenied"
    site.s3.put(f"/{site.name}", b"", "acl", x_amz_acl="public-read")
    answer = site.visit("/nothing")
    assert (answer.status, answer.body) == (404, b"<h1>lost</h1>")
    head = site.visit("/nothing", "HEAD")
    assert (head.status, head.body) == (404, b"")
    assert head.headers["x-amz-error-code"] == "NoSuchKey"


def test_without_an_error_document_there_is_a_page_that_says_why(site: Site) -> None:
    site.s3.put(f"/{site.name}", b"", "acl", x_amz_acl="public-read")
    site.s3.delete(f"/{site.name}/404.html")
    answer = site.visit("/a%3Cscript%3E")
    assert (answer.status, error_of(answer)) == (404, "NoSuchKey")
    page = answer.body.decode()
    assert "<title>404 Not Found</title>" in page
    assert "<li>Key: a&lt;script&gt;</li>" in page
    assert "<script>" not in page
    assert "Attempting to Retrieve a Custom Error Document" in page
    site.become({"IndexDocument": {"Suffix": "index.html"}})
    assert b"Custom Error Document" not in site.visit("/nothing").body


def test_what_is_no_website_says_so_in_html(app: S3App) -> None:
    assert error_of(Visitor(app, "no-such-bucket.web.test").visit("/")) == "NoSuchBucket"
    assert error_of(Visitor(app, "x@evil.web.test").visit("/")) == "NoSuchBucket"
    name = fresh_name("plain")
    Client(app, OWNER).put(f"/{name}")
    answer = Visitor(app, f"{name}.web.test").visit("/")
    assert (answer.status, error_of(answer)) == (404, "NoSuchWebsiteConfiguration")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "TRACE"])
def test_a_website_is_only_read(site: Site, method: str) -> None:
    answer = site.visit("/index.html", method)
    assert (answer.status, error_of(answer)) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert site.visit("/").body == b"<h1>home</h1>"


def test_a_fault_of_ours_is_a_page_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **more: Any) -> Any:
        raise RuntimeError("secret text")

    monkeypatch.setattr("s3kit.hosting.read_object", broken)
    answer = site.visit("/")
    assert (answer.status, error_of(answer)) == (500, "InternalError")
    assert b"secret text" not in answer.body


def test_a_key_that_none_can_be_is_an_error_as_any(site: Site) -> None:
    for path, code in (("/" + "k" * 1100, "KeyTooLongError"), ("/%ff", "InvalidURI")):
        answer = site.visit(path)
        assert (answer.status, answer.body) == (400, b"<h1>lost</h1>")
        assert answer.headers["x-amz-error-code"] == code


# Redirects


def test_everything_may_be_somewhere_else(site: Site) -> None:
    site.become({"RedirectAllRequestsTo": {"HostName": "there.example"}})
    assert site.location("/a%20b?c=d", 301) == "http://there.example/a%20b?c=d"
    site.become({"RedirectAllRequestsTo": {"HostName": "there.example", "Protocol": "https"}})
    assert site.location("/", 301) == "https://there.example/"


def test_the_first_rule_that_counts_is_followed(site: Site) -> None:
    host = site.visitor.host
    site.become(
        {
            **SITE,
            "RoutingRules": [
                {
                    "Condition": {"KeyPrefixEquals": "old/"},
                    "Redirect": {"ReplaceKeyPrefixWith": "new/", "HttpRedirectCode": "302"},
                },
                {"Condition": {"KeyPrefixEquals": "old/a"}, "Redirect": {"HostName": "never"}},
                {"Condition": {"KeyPrefixEquals": "one"}, "Redirect": {"ReplaceKeyWith": "1.html"}},
                {
                    "Condition": {"HttpErrorCodeReturnedEquals": "403", "KeyPrefixEquals": "app/"},
                    "Redirect": {"ReplaceKeyPrefixWith": "#!/", "HttpRedirectCode": "307"},
                },
                {
                    "Condition": {"HttpErrorCodeReturnedEquals": "404"},
                    "Redirect": {"HostName": "lost.example", "Protocol": "https"},
                },
            ],
        }
    )
    assert site.location("/old/a%20%25", 302) == f"http://{host}/new/a%20%25"
    assert site.location("/one/two", 301) == f"http://{host}/1.html"
    assert site.location("/app/users/7", 307) == f"http://{host}/#!/users/7"
    assert site.visit("/docs/").status == 200
    assert site.visit("/nothing").body == b"<h1>lost</h1>"
    site.s3.put(f"/{site.name}", b"", "acl", x_amz_acl="public-read")
    assert site.location("/nothing", 301) == "https://lost.example/nothing"
    # A folder goes before the rules about errors.
    assert site.location("/docs") == "/docs/"


def test_an_object_may_be_a_redirect(site: Site) -> None:
    site.store("away", WebsiteRedirectLocation="https://there.example/x?y#z")
    site.store("near", WebsiteRedirectLocation="/docs/")
    assert site.location("/away", 301) == "https://there.example/x?y#z"
    assert site.location("/near", 301) == "/docs/"
    head = site.visit("/near", "HEAD")
    assert (head.status, head.headers["location"]) == (301, "/docs/")
    site.store("private", ACL="private", WebsiteRedirectLocation="/docs/")
    assert site.visit("/private").status == 403


# What a stranger may try


def test_a100_no_key_or_query_splits_a_redirect(site: Site) -> None:
    for key in ("a\r\nSet-Cookie: b", "a\0b", "\u2028", "é"):
        site.store(f"{key}/index.html", b"x")
    rule = {"Condition": {"KeyPrefixEquals": "r"}, "Redirect": {"ReplaceKeyPrefixWith": "s"}}
    site.become({**SITE, "RoutingRules": [rule]})
    for path, location in (
        ("/a%0D%0ASet-Cookie:%20b", "/a%0D%0ASet-Cookie%3A%20b/"),
        ("/a%00b", "/a%00b/"),
        ("/%E2%80%A8", "/%E2%80%A8/"),
        ("/é".encode().decode("latin-1"), "/%C3%A9/"),
        ('/docs?a\xa0"<b>', "/docs/?a%A0%22%3Cb%3E"),
    ):
        assert site.location(path) == location
    assert site.location("/r%0D%0AX:y", 301).endswith("/s%0D%0AX%3Ay")


def test_a124_no_key_sends_to_another_host(site: Site) -> None:
    for key in ("/evil.example/index.html", "//evil.example/index.html", "\\evil/index.html"):
        site.store(key, b"x")
    assert site.location("//evil.example") == "/%2Fevil.example/"
    assert site.location("///evil.example") == "/%2F%2Fevil.example/"
    assert site.location("/%5Cevil") == "/%5Cevil/"
    assert site.visit("/%2Fevil.example/").body == b"x"
    rule = {"Redirect": {"HttpRedirectCode": "302"}}
    site.become({**SITE, "RoutingRules": [rule]})
    assert site.location("//evil.example") == f"http://{site.visitor.host}//evil.example"
    assert site.location("/@evil.example") == f"http://{site.visitor.host}/%40evil.example"


def test_a_website_knows_no_keys_and_no_queries(site: Site) -> None:
    """Neither a signature nor a parameter makes more of a visitor than a stranger."""
    signed = site.s3.signed_headers("GET", "/private.html", {}, b"", site.visitor.host)
    assert "Authorization" in signed
    answer = call(site.s3.app, make_environ("GET", "/private.html", signed, b""))
    assert (answer.status, answer.body) == (403, b"<h1>lost</h1>")
    url = site.boto.generate_presigned_url(
        "get_object", {"Bucket": site.name, "Key": "private.html"}
    )
    assert site.visit("/private.html?" + url.partition("?")[2]).status == 403
    assert site.visit("/?response-content-type=text/x").headers["content-type"] == "text/html"
    assert site.visit("/?versionId=x&acl&uploads").body == b"<h1>home</h1>"
    assert site.visit("/", x_amz_expected_bucket_owner="nobody", range="bytes=x").status == 200
    assert site.visit("/", authorization="Basic eDp5").status == 200


def test_pages_of_other_origins_see_what_the_rules_allow(site: Site) -> None:
    rule = {"AllowedOrigins": ["https://page.example"], "AllowedMethods": ["GET"]}
    site.boto.put_bucket_cors(Bucket=site.name, CORSConfiguration={"CORSRules": [rule]})
    origin = {"origin": "https://page.example"}
    for path, status in (("/", 200), ("/docs", 302), ("/nothing", 403)):
        answer = site.visit(path, **origin)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
    asked = {**origin, "access_control_request_method": "GET"}
    assert site.visit("/", "OPTIONS", **asked).status == 200
    refused = site.visit("/", "OPTIONS", origin="https://x", access_control_request_method="GET")
    assert error_of(refused) == "AccessForbidden"
    assert error_of(site.visit("/", "OPTIONS")) == "BadRequest"
