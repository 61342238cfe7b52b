"""``s3kit conformance``: each verdict on an endpoint that deserves it, and nothing left behind."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from s3kit.app import S3App
from s3kit.cli.main import cli
from s3kit.config import Config
from s3kit.conformance import Endpoint
from s3kit.conformance import run as run_probes
from s3kit.conformance.objects import PROBES
from s3kit.middleware.mount import mount
from s3kit.model import Account
from s3kit.model import Key
from s3kit.testing import LiveServer
from s3kit.wire.service_model import OPERATIONS

PAGE = Path(__file__).parent.parent.parent / "docs" / "conformance.md"
KEYS = {"AKTRIED": "tried-secret"}
OPTIONS = ["--access-key", "AKTRIED", "--secret-key", "tried-secret"]

Twist = Callable[[S3App, dict[str, Any], Any], Iterable[bytes] | None]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3App]:
    app = S3App(Config(keys=KEYS))
    yield app
    app.close()


def buckets(s3: S3App) -> list[str]:
    return [bucket.name for bucket in s3.store.buckets.page("default", limit=1000)]


@pytest.fixture(autouse=True)
def nothing_is_left_behind(s3: S3App) -> Iterator[None]:
    yield
    assert buckets(s3) == []


def run(url: str, *arguments: str) -> Outcome:
    return CliRunner().invoke(cli, ["conformance", url, *OPTIONS, *arguments])


@contextmanager
def served(s3: S3App, twist: Twist | None = None) -> Iterator[str]:
    """The endpoint, or one that answers as ``twist`` says where that answers anything."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        twisted = twist(s3, environ, start_response) if twist is not None else None
        return s3(environ, start_response) if twisted is None else twisted

    with LiveServer(app) as server:
        yield server.url


def verdicts(s3: S3App, twist: Twist, *names: str) -> dict[str, tuple[str, str]]:
    """Verdict and detail of each operation, by the command's own JSON."""
    with served(s3, twist) as url:
        outcome = run(url, "--json", *(part for name in names for part in ("--operation", name)))
    found = json.loads(outcome.stdout)
    result = {each["operation"]: (each["verdict"], each["detail"]) for each in found["operations"]}
    good = all(verdict in ("right", "refused") for verdict, _ in result.values())
    assert outcome.exit_code == (0 if good else 1)
    return result


def asked(environ: dict[str, Any], method: str, word: str) -> bool:
    names = [each.partition("=")[0] for each in environ["QUERY_STRING"].split("&")]
    return environ["REQUEST_METHOD"] == method and word in names


def place(environ: dict[str, Any]) -> tuple[str, str]:
    bucket, _, key = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
    return bucket, key


def answer(start_response: Any, status: str, body: bytes = b"", **headers: str) -> list[bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    start_response(status, [*sent.items(), ("Content-Length", str(len(body)))])
    return [body]


def read_away(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


# -- s3kit itself


def test_every_operation_of_s3_has_its_probe() -> None:
    assert set(PROBES) == {row.name for row in OPERATIONS}
    assert len(PROBES) == 116


def test_s3kit_does_or_refuses_every_operation_and_its_own_buckets_stay(s3: S3App) -> None:
    client = s3.client()
    client.create_bucket("mine")
    client.put("mine", "kept", b"kept")
    try:
        with served(s3) as url:
            outcome = run(url, "--json")
            assert outcome.exit_code == 0, outcome.output
            assert buckets(s3) == ["mine"]
            assert client.get("mine", "kept") == b"kept"
    finally:
        client.delete("mine", "kept")
        client.delete_bucket("mine")
    found = json.loads(outcome.stdout)
    assert [each["operation"] for each in found["operations"]] == [row.name for row in OPERATIONS]
    counts = found["counts"]
    assert (counts["wrong"], counts["error"], found["left_behind"]) == (0, 0, [])
    assert counts["right"] + counts["refused"] == 116
    right = {each["operation"] for each in found["operations"] if each["verdict"] == "right"}
    assert right >= {"PutObject", "CopyObject", "UploadPartCopy", "DeleteObjects", "GetObjectAcl"}
    refused = next(each for each in found["operations"] if each["operation"] == "GetObjectTorrent")
    assert (refused["status"], refused["code"]) == (501, "NotImplemented")
    # Measured anew with --markdown whenever an operation is built.
    page = PAGE.read_text("utf-8").partition("\n## s3kit\n")[2].partition("\n## ")[0]
    for each in found["operations"]:
        said = f"{each['status']} {each['code']}".rstrip()
        assert f"| {each['operation']} | {each['verdict']} | {said} |" in page


def test_it_works_under_a_mount_and_in_another_region(s3: S3App) -> None:
    with LiveServer(mount(lambda environ, start: [], s3, at="/deep/s3")) as server:
        url = f"{server.url}/deep/s3/"
        operations = ("--operation", "PutObject", "--operation", "GetBucketLocation")
        outcome = run(url, *operations, "--region", "eu-west-3")
    assert outcome.exit_code == 0, outcome.output
    assert "names 'eu-west-3'" in outcome.output
    assert outcome.output.endswith("2 operations: 2 right, 0 refused, 0 wrong, 0 error\n")


def test_over_tls_the_certificate_is_checked_unless_told_not_to(s3: S3App) -> None:
    with LiveServer(s3, ssl_context="adhoc") as server:
        refused = run(server.url, "--operation", "GetObject")
        assert refused.exit_code == 2
        assert "certificate" in refused.output.lower()
        assert run(server.url, "--operation", "GetObject", "--insecure").exit_code == 0


# -- wrong: another operation's effect


def test_a_put_that_stores_an_object_is_wrong_and_its_neighbours_are_not(s3: S3App) -> None:
    """A107: the fault of at least eight servers."""

    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, "PUT", "metrics"):
            return None
        s3.client().put(place(environ)[0], "metrics", read_away(environ))
        return answer(start, "200 OK")

    found = verdicts(
        s3,
        twist,
        "PutBucketMetricsConfiguration",
        "GetBucketMetricsConfiguration",
        "DeleteBucketMetricsConfiguration",
        "ListBucketMetricsConfigurations",
    )
    assert found == {
        "PutBucketMetricsConfiguration": ("wrong", "stored an object 'metrics'"),
        "GetBucketMetricsConfiguration": ("refused", ""),
        "DeleteBucketMetricsConfiguration": ("refused", ""),
        "ListBucketMetricsConfigurations": ("right", "nothing could be put"),
    }


def test_a_delete_that_deletes_the_bucket_is_wrong(s3: S3App) -> None:
    """A107: as moto and rclone do."""

    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, "DELETE", "metrics"):
            return None
        s3.client().delete_bucket(place(environ)[0])
        return answer(start, "204 No Content")

    found = verdicts(s3, twist, "DeleteBucketMetricsConfiguration", "PutBucketMetricsConfiguration")
    assert found == {
        "DeleteBucketMetricsConfiguration": ("wrong", "deleted the bucket"),
        "PutBucketMetricsConfiguration": ("right", "read back"),
    }


def test_an_effect_counts_even_where_the_answer_is_an_error(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, "PUT", "annotation"):
            return None
        s3.client().put(*place(environ), read_away(environ))
        return answer(start, "500 Internal Server Error")

    found = verdicts(s3, twist, "PutObjectAnnotation", "GetObjectAnnotation")
    assert found["PutObjectAnnotation"] == ("wrong", "overwrote the object")
    assert found["GetObjectAnnotation"] == ("refused", "")


def test_an_effect_counts_even_where_the_connection_is_closed(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, "DELETE", "metrics"):
            return None
        s3.client().delete_bucket(place(environ)[0])
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    found = verdicts(s3, twist, "DeleteBucketMetricsConfiguration")
    assert found["DeleteBucketMetricsConfiguration"] == ("wrong", "deleted the bucket")


def test_deleting_the_object_instead_of_its_tags_is_wrong(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, "DELETE", "tagging") or not place(environ)[1]:
            return None
        s3.client().delete(*place(environ))
        return answer(start, "204 No Content")

    found = verdicts(s3, twist, "DeleteObjectTagging", "DeleteBucketTagging")
    assert found["DeleteObjectTagging"] == ("wrong", "deleted the object")
    assert found["DeleteBucketTagging"][0] == "right"


def test_a_rename_and_a_copy_that_store_an_empty_object_are_wrong(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        copying = environ["REQUEST_METHOD"] == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" in environ
        if not copying and not asked(environ, "PUT", "renameObject"):
            return None
        s3.client().put(*place(environ), b"")
        return answer(start, "200 OK")

    found = verdicts(s3, twist, "RenameObject", "CopyObject")
    empty = ("wrong", "stored an empty object, as PutObject does")
    assert found == {"RenameObject": empty, "CopyObject": empty}


# -- wrong: another operation's answer, or none of its effect


LISTING = b"<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>"


@pytest.mark.parametrize(
    ("operation", "method", "word", "status", "body", "detail"),
    [
        ("GetBucketAbac", "GET", "abac", 200, LISTING, "answers <ListBucketResult>, not <AbacS"),
        ("GetBucketPolicy", "GET", "policy", 200, LISTING, "answers <ListBucketResult>, not the p"),
        ("CreateSession", "GET", "session", 200, LISTING, "answers <ListBucketResult>, not <Creat"),
        ("ListBucketMetricsConfigurations", "GET", "metrics", 200, LISTING, "answers <ListB"),
        (
            "DeleteBucketCors",
            "DELETE",
            "cors",
            409,
            b"<Error><Code>BucketNotEmpty</Code></Error>",
            "the refusal is another operation's",
        ),
        (
            "PutBucketAbac",
            "PUT",
            "abac",
            409,
            b"<Error><Code>BucketAlreadyOwnedByYou</Code></Error>",
            "the refusal is another operation's",
        ),
        ("PutBucketCors", "PUT", "cors", 200, b"", "answered as done, but reading it back answ"),
        ("PutBucketPolicy", "PUT", "policy", 204, b"", "answered as done, but reading it back"),
        ("DeleteBucketEncryption", "DELETE", "encryption", 204, b"", "answered as done, but it is"),
        ("PutObjectTagging", "PUT", "tagging", 200, b"", "answered as done, but reading it back"),
        ("DeleteObjectTagging", "DELETE", "tagging", 204, b"", "answered as done, but it is still"),
        ("AbortMultipartUpload", "DELETE", "uploadId", 204, b"", "answered as done, but it can"),
        ("RestoreObject", "POST", "restore", 202, b"", "answered as done, but the object does not"),
        ("WriteGetObjectResponse", "POST", "", 200, b"", "answered as done, but nobody waits"),
        ("PutBucketVersioning", "PUT", "versioning", 302, b"<Error/>", None),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
)
def test_a_made_up_answer_is_not_taken_for_the_operation(
    s3: S3App, operation: str, method: str, word: str, status: int, body: bytes, detail: str | None
) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not asked(environ, method, word):
            return None
        if not word and "HTTP_X_AMZ_REQUEST_ROUTE" not in environ:
            return None
        read_away(environ)
        return answer(start, f"{status} Made Up", body, Content_Type="application/xml")

    verdict, said = verdicts(s3, twist, operation)[operation]
    if detail is None:
        assert verdict == "error"
    else:
        assert verdict == "wrong"
        assert said.startswith(detail)


def test_the_objects_bytes_in_place_of_a_document_are_wrong(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        words = ("torrent", "retention", "attributes", "annotation")
        if not any(asked(environ, "GET", word) for word in words):
            return None
        return answer(start, "200 OK", s3.client().get(*place(environ)))

    names = ("GetObjectTorrent", "GetObjectRetention", "GetObjectAttributes", "GetObjectAnnotation")
    found = verdicts(s3, twist, *names)
    assert set(found.values()) == {("wrong", "answers the object's bytes, as GetObject does")}
    assert len(found) == 4


def test_bytes_that_were_changed_on_the_way_are_wrong(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_RANGE" not in environ:
            return None
        return answer(start, "206 Partial Content", b"wrong")

    verdict, detail = verdicts(s3, twist, "GetObject")["GetObject"]
    assert (verdict, detail) == ("wrong", "answers a range of 5 bytes with 206 and 5 bytes")


# -- right, by other means


class Cors:
    """An endpoint that also keeps CORS documents; ``deaf`` to deletes, ``root`` of its own."""

    def __init__(self, *, deaf: bool = False, root: str = "") -> None:
        self.deaf = deaf
        self.root = root
        self.kept: dict[str, bytes] = {}

    def __call__(self, s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if not any(asked(environ, method, "cors") for method in ("GET", "PUT", "DELETE")):
            return None
        bucket = place(environ)[0]
        if environ["REQUEST_METHOD"] == "PUT":
            self.kept[bucket] = read_away(environ)
            return answer(start, "200 OK")
        if environ["REQUEST_METHOD"] == "DELETE":
            if not self.deaf:
                self.kept.pop(bucket, None)
            return answer(start, "204 No Content")
        if bucket not in self.kept:
            body = b"<Error><Code>NoSuchCORSConfiguration</Code></Error>"
            return answer(start, "404 Not Found", body)
        body = self.kept[bucket]
        if self.root:
            body = body.replace(b"CORSConfiguration", self.root.encode())
        return answer(start, "200 OK", body)


NAMES = ("PutBucketCors", "GetBucketCors", "DeleteBucketCors")


def test_a_setting_that_is_kept_is_right(s3: S3App) -> None:
    assert verdicts(s3, Cors(), *NAMES) == {
        "PutBucketCors": ("right", "read back"),
        "GetBucketCors": ("right", "shows what was put"),
        "DeleteBucketCors": ("right", "gone"),
    }


def test_a_setting_that_cannot_be_deleted_is_wrong_there_only(s3: S3App) -> None:
    found = verdicts(s3, Cors(deaf=True), *NAMES)
    assert found.pop("DeleteBucketCors") == (
        "wrong",
        "answered as done, but it is still there",
    )
    assert {verdict for verdict, _ in found.values()} == {"right"}


def test_a_get_that_shows_other_rules_is_wrong(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if asked(environ, "GET", "cors"):
            return answer(start, "200 OK", b"<CORSConfiguration></CORSConfiguration>")
        return cors(s3, environ, start)

    cors = Cors()
    found = verdicts(s3, twist, "PutBucketCors", "GetBucketCors")
    assert found == {
        "PutBucketCors": ("wrong", "answered as done, but reading it back does not show it"),
        "GetBucketCors": ("wrong", "does not show what was put"),
    }


def test_a_root_of_the_servers_own_is_noted_and_another_operations_is_wrong(s3: S3App) -> None:
    """SDKs read past the root's name; moto has a few of its own."""
    verdict, detail = verdicts(s3, Cors(root="GetCorsResponse"), *NAMES)["GetBucketCors"]
    assert verdict == "right"
    assert "its root is <GetCorsResponse>, not <CORSConfiguration>" in detail
    assert verdicts(s3, Cors(root="Tagging"), *NAMES)["GetBucketCors"][0] == "wrong"


# -- errors


def plain_500(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    if not asked(environ, "GET", "acl"):
        return None
    return answer(start, "500 Internal Server Error", b"<html><p>Oops</p></html>")


def s3_500(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    if not asked(environ, "GET", "acl"):
        return None
    body = b"<Error><Code>InternalError</Code></Error>"
    return answer(start, "500 Internal Server Error", body)


def plain_404(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    if not asked(environ, "GET", "acl"):
        return None
    return answer(start, "404 Not Found", b"no such page", Content_Type="text/plain")


def plain_200(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    return answer(start, "200 OK", b"{}") if asked(environ, "GET", "acl") else None


def failed_200(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    if not asked(environ, "GET", "acl"):
        return None
    return answer(start, "200 OK", b"<Error><Code>InternalError</Code></Error>")


def closed(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
    if not asked(environ, "GET", "acl"):
        return None
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


@pytest.mark.parametrize(
    ("twist", "status", "code", "detail"),
    [
        (plain_500, 500, "", "no content type, <html><p>Oops</p></html>"),
        (s3_500, 500, "InternalError", ""),
        (plain_404, 404, "", "no S3 error document: text/plain, no such page"),
        (plain_200, 200, "", "no XML: no content type, {}"),
        (failed_200, 200, "InternalError", "an error inside a 200"),
        (closed, None, "", "closed the connection without an answer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_s3_answer_is_an_error(
    s3: S3App, twist: Twist, status: int | None, code: str, detail: str
) -> None:
    with served(s3, twist) as url:
        outcome = run(
            url, "--json", "--operation", "GetBucketAcl", "--operation", "GetBucketTagging"
        )
    assert outcome.exit_code == 1
    acl, tagging = json.loads(outcome.stdout)["operations"]
    assert acl == {
        "operation": "GetBucketAcl",
        "verdict": "error",
        "status": status,
        "code": code,
        "detail": detail,
    }
    assert tagging["verdict"] == "right"


def test_an_endpoint_that_does_not_answer_in_time_is_an_error(
    s3: S3App, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    send = http.client.HTTPConnection.request

    def patient(self: http.client.HTTPConnection, method: str, url: str, *rest: Any) -> None:
        # The answers that come have more time, for a busy machine may need it.
        if "acl" not in url:
            self.timeout = 60
        send(self, method, url, *rest)

    monkeypatch.setattr(http.client.HTTPConnection, "request", patient)

    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        if asked(environ, "GET", "acl"):
            going_on.wait(60)
        return None

    with served(s3, twist) as url:
        try:
            outcome = run(url, "--operation", "GetBucketAcl", "--timeout", "0.3")
        finally:
            going_on.set()
    assert outcome.exit_code == 1
    assert "no answer in time" in outcome.output


# -- what cannot be measured, and what is left


def test_a_wrong_key_a_wrong_url_and_a_wrong_name_say_so(s3: S3App) -> None:
    with served(s3) as url:
        wrong = CliRunner().invoke(
            cli, ["conformance", url, "--access-key", "AKOTHER", "--secret-key", "x"]
        )
        assert wrong.exit_code == 2
        assert "403 InvalidAccessKeyId" in wrong.output
        misspelt = run(url, "--operation", "PutObjekt")
        assert misspelt.exit_code == 2
        assert 'Did you mean "PutObject"?' in misspelt.output
    gone = run(url)
    assert gone.exit_code == 2
    assert "refused" in gone.output
    assert run("s3.example.com").exit_code == 2


def test_an_interrupted_run_cleans_up(s3: S3App, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def interrupted(trial: Any) -> str:
        bucket = trial.bucket()
        trial.send("POST", bucket, "unfinished", "uploads")
        trial.put(bucket, "another", b"x")
        seen.extend(buckets(s3))
        raise KeyboardInterrupt

    monkeypatch.setitem(PROBES, "GetObject", interrupted)
    with served(s3) as url:
        endpoint = Endpoint(url, Key("AKTRIED", "tried-secret", Account("a", "a")))
        with pytest.raises(KeyboardInterrupt):
            run_probes(endpoint)
        assert len(seen) == 1
        assert buckets(s3) == []


def test_a_bucket_that_cannot_be_removed_is_named(s3: S3App) -> None:
    def twist(s3: S3App, environ: dict[str, Any], start: Any) -> Iterable[bytes] | None:
        bucket, key = place(environ)
        if environ["REQUEST_METHOD"] != "DELETE" or key or "ground" in bucket:
            return None
        return answer(start, "403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>")

    with served(s3, twist) as url:
        outcome = run(url, "--operation", "HeadObject")
    (left,) = buckets(s3)
    assert left.startswith("s3kit-conformance-")
    assert f"The scratch bucket {left} could not be removed." in outcome.stderr
    s3.client().delete_bucket(left)


def test_the_tables_are_for_people_and_pages(s3: S3App) -> None:
    with served(s3, plain_500) as url:
        names = ("--operation", "GetBucketAcl", "--operation", "GetObjectTorrent")
        text = run(url, *names).output
        page = run(url, *names, "--markdown").output
    assert text.splitlines()[0] == (
        "GetBucketAcl      error    500                 no content type, <html><p>Oops</p></html>"
    )
    assert text.splitlines()[1] == "GetObjectTorrent  refused  501 NotImplemented"
    assert "| GetBucketAcl | **error** | 500 | no content type, &lt;html>" in page
    assert "| GetObjectTorrent | refused | 501 NotImplemented |  |" in page
    assert page.endswith("2 operations: 0 right, 1 refused, 0 wrong, 1 error\n")
