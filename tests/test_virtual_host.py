"""Where a bucket may stand: path, host, mount, behind a proxy. botocore signs every request."""

from __future__ import annotations

import io
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import botocore.awsrequest
import pytest
import urllib3
from botocore.exceptions import ClientError

from s3kit.app import S3App
from tests.client import HOST
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ
from tests.endpoint import ACCOUNTS
from tests.endpoint import OWNER
from tests.endpoint import botocore_client
from tests.endpoint import fresh_name
from tests.endpoint import make_app

SESSION = Signer("ASESSION", "session-secret", "a session's token/+=")
PROXY = "10.1.2.3"
KEYS = ["k", "a/b", "a//b", "a b+c%2F~", "\u00e9/\u4e2d", "../x", "/lead", "%", "a?b#c&d=e", "dir/"]


@dataclass(frozen=True)
class Road:
    """How a request reaches the app: what the client sends to, and what a proxy makes of it.

    ``taken_off`` is the path prefix that the proxy removes, ``mount`` where the app is mounted.
    """

    endpoint: str
    style: str = "path"
    mount: str = ""
    proxy: bool = False
    taken_off: str = ""
    tells_prefix: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


BASES = (("base_hosts", ("s3.test", "s3.example.com", "storage.s3.test")),)
TRUST = (("trusted_proxies", (f"{PROXY}/32",)),)

ROADS = {
    "path": Road("http://s3.test"),
    "path-port": Road("http://s3.test:8333"),
    "path-address": Road("http://127.0.0.1:8333", settings=BASES),
    "path-ipv6": Road("http://[::1]:8333", settings=BASES),
    "path-https": Road("https://s3.test"),
    "path-base": Road("http://s3.test", settings=BASES),
    "host": Road("http://s3.test", "virtual", settings=BASES),
    "host-second": Road("http://s3.example.com:9000", "virtual", settings=BASES),
    "host-longest": Road("https://storage.s3.test", "virtual", settings=BASES),
    "mounted": Road("http://s3.test/files/s3", mount="/files/s3"),
    "host-mounted": Road("http://s3.test/files", "virtual", mount="/files", settings=BASES),
    "proxy": Road("https://s3.test", proxy=True, settings=TRUST),
    "proxy-host": Road("https://s3.test", "virtual", proxy=True, settings=BASES + TRUST),
    "proxy-mounted": Road("https://s3.test/s3", mount="/s3", proxy=True, settings=TRUST),
    "proxy-strips": Road(
        "https://s3.test/public/s3",
        proxy=True,
        taken_off="/public/s3",
        tells_prefix=True,
        settings=TRUST,
    ),
    "proxy-strips-silently": Road(
        "https://s3.test/public",
        proxy=True,
        taken_off="/public",
        settings=(*TRUST, ("public_prefix", "/public")),
    ),
    "proxy-strips-half": Road(
        "https://s3.test/public/s3",
        mount="/s3",
        proxy=True,
        taken_off="/public",
        tells_prefix=True,
        settings=TRUST,
    ),
}


def client_on(app: Any, road: Road, signer: Signer = OWNER, region: str = "us-east-1") -> Any:
    """A botocore client whose requests take the road into the app."""
    client = botocore_client(
        signer,
        road.endpoint,
        region,
        signature_version="s3v4",
        s3={"addressing_style": road.style},
        retries={"total_max_attempts": 1},
    )

    def send(request: Any, **_: Any) -> Any:
        return deliver(app, road, request.method, request.url, request.headers, request.body)

    client.meta.events.register("before-send.s3", send)
    return client


def deliver(app: Any, road: Road, method: str, url: str, headers: Any, body: Any) -> Any:
    parts = urlsplit(url)
    path = parts.path or "/"
    sent = {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
    }
    sent.setdefault("Host", parts.netloc)
    data = b"" if body is None else body if isinstance(body, bytes) else body.read()
    if "Transfer-Encoding" not in sent:
        sent["Content-Length"] = str(len(data))
    environ_scheme = parts.scheme
    if road.proxy:
        assert path.startswith(road.taken_off)
        path = path.removeprefix(road.taken_off) or "/"
        sent["X-Forwarded-Host"] = sent["Host"]
        sent["X-Forwarded-Proto"] = parts.scheme
        sent["X-Forwarded-For"] = "203.0.113.9"
        if road.tells_prefix:
            sent["X-Forwarded-Prefix"] = road.taken_off
        sent["Host"] = "backend:8080"
        environ_scheme = "http"
    target = path + (f"?{parts.query}" if parts.query else "")
    environ = make_environ(method, target, sent, data, mount=road.mount)
    environ["wsgi.url_scheme"] = environ_scheme
    if road.proxy:
        environ["REMOTE_ADDR"] = PROXY
    answer = call(app, environ)
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(answer.body),
        headers=answer.headers,
        status=answer.status,
        preload_content=False,
    )
    return botocore.awsrequest.AWSResponse(
        url, answer.status, botocore.awsrequest.HeadersDict(answer.headers), raw
    )


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., S3App]]:
    made: dict[tuple[tuple[str, Any], ...], S3App] = {}
    session = {
        "access_key": SESSION.access_key,
        "secret_key": SESSION.secret_key,
        "session_token": SESSION.token,
    }
    accounts = ({**ACCOUNTS[0], "keys": [*ACCOUNTS[0]["keys"], session]}, ACCOUNTS[1])

    def app_for(**settings: Any) -> S3App:
        key = tuple(sorted(settings.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("hosts")
            made[key] = make_app("memory", folder, accounts=accounts, **settings)
        return made[key]

    yield app_for
    for app in made.values():
        app.close()


@pytest.fixture(params=sorted(ROADS))
def road(request: pytest.FixtureRequest) -> Road:
    return ROADS[request.param]


@pytest.fixture
def app(apps: Callable[..., S3App], road: Road) -> S3App:
    return apps(**dict(road.settings))


@pytest.fixture
def bucket(app: S3App) -> str:
    return fresh_name("hosted")


@pytest.mark.parametrize("signer", [OWNER, SESSION], ids=["key", "session"])
def test_a_bucket_and_its_keys_are_found_on_every_road(
    app: S3App, road: Road, bucket: str, signer: Signer
) -> None:
    client = client_on(app, road, signer)
    client.create_bucket(Bucket=bucket)
    assert bucket in [each["Name"] for each in client.list_buckets()["Buckets"]]
    for key in KEYS:
        body = f"{road}{key}".encode()
        client.put_object(Bucket=bucket, Key=key, Body=body)
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    # Unquoted by botocore, so that the very keys are compared.
    listed = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(listed) == sorted(KEYS)
    # Stored are the very same on every road.
    there = app.store.buckets.get(bucket)
    page = app.store.list_keys(there, prefix=b"", delimiter=b"", after=b"", limit=1000)
    assert [row[0].decode() for row in page.entries] == sorted(KEYS, key=str.encode)


@pytest.mark.parametrize("signer", [OWNER, SESSION], ids=["key", "session"])
def test_presigned_urls_and_forms_work_on_every_road(
    app: S3App, road: Road, bucket: str, signer: Signer
) -> None:
    client = client_on(app, road, signer)
    client.create_bucket(Bucket=bucket)
    for key in KEYS:
        url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
        assert deliver(app, road, "PUT", url, {}, key.encode()).status_code == 200
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        assert deliver(app, road, "GET", url, {}, None).content == key.encode()
        assert deliver(app, road, "PUT", url, {}, b"evil").status_code == 403
    made = client.generate_presigned_post(bucket, "posted")
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in made["fields"].items()
    )
    end = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nfile\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = deliver(app, road, "POST", made["url"], headers, (fields + end).encode())
    assert answer.status_code == 204, answer.content
    assert client.get_object(Bucket=bucket, Key="posted")["Body"].read() == b"file"
    # Where the client finds it, as the client sees it.
    location = answer.headers["location"]
    assert urlsplit(location).netloc == urlsplit(made["url"]).netloc
    assert deliver(app, road, "GET", location, {}, None).status_code == 403
    client.put_object_acl(Bucket=bucket, Key="posted", ACL="public-read")
    assert deliver(app, road, "GET", location, {}, None).content == b"file"


def test_a_completed_upload_names_where_the_client_finds_it(
    app: S3App, road: Road, bucket: str
) -> None:
    client = client_on(app, road)
    client.create_bucket(Bucket=bucket)
    upload = client.create_multipart_upload(Bucket=bucket, Key="a b/k", ACL="public-read")
    same = {"Bucket": bucket, "Key": "a b/k", "UploadId": upload["UploadId"]}
    part = client.upload_part(**same, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = client.complete_multipart_upload(**same, MultipartUpload=parts)
    assert deliver(app, road, "GET", done["Location"], {}, None).content == b"part"


def test_a_wrong_secret_is_refused_on_every_road(app: S3App, road: Road, bucket: str) -> None:
    wrong = client_on(app, road, Signer(OWNER.access_key, "wrong"))
    with pytest.raises(ClientError) as caught:
        wrong.create_bucket(Bucket=bucket)
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    for token in (None, "wrong"):
        client = client_on(app, road, Signer(SESSION.access_key, SESSION.secret_key, token))
        with pytest.raises(ClientError) as caught:
            client.create_bucket(Bucket=bucket)
        assert caught.value.response["Error"]["Code"] in ("InvalidToken", "InvalidAccessKeyId")
    assert bucket not in [each["Name"] for each in client_on(app, road).list_buckets()["Buckets"]]


def test_a_bucket_in_the_host_is_not_read_from_the_path(apps: Callable[..., S3App]) -> None:
    app = apps(**dict(BASES))
    client = Client(app, OWNER)
    one, two = fresh_name("one"), fresh_name("two")
    for name in (one, two):
        assert client.put(f"/{name}").status == 200
    assert client.request("PUT", f"/{two}/k", body=b"x", host=f"{one}.s3.test").status == 200
    assert client.get(f"/{one}").texts("Contents/Key") == [f"{two}/k"]
    assert client.get(f"/{two}").texts("Contents/Key") == []
    # Case and a port make no difference, a host that is no base does.
    assert client.request("GET", f"/{two}/k", host=f"{one.upper()}.S3.test:80").body == b"x"
    assert client.request("GET", f"/{two}/k", host=f"{one}.evil.test").status == 404
    assert client.request("GET", "/", host="s3.test").xml.tag == "ListAllMyBucketsResult"
    assert client.request("GET", "/", host=f"{one}.s3.test").xml.tag == "ListBucketResult"
    assert client.request("GET", "/", host="no-such-bucket.s3.test").code == "NoSuchBucket"
    assert client.request("GET", "/", host="Not_A_Bucket.s3.test").code == "InvalidBucketName"
    # A bucket with dots in its name is found too.
    assert client.put("/dotted.name").status == 200
    assert client.request("GET", "/", host="dotted.name.s3.test").text("Name") == "dotted.name"


def test_forwarded_headers_of_a_stranger_count_for_nothing(apps: Callable[..., S3App]) -> None:
    app = apps(**dict(ROADS["proxy-strips"].settings))
    road = ROADS["proxy-strips"]
    client = client_on(app, road)
    client.create_bucket(Bucket="trusted-only")
    untrusted = Road(road.endpoint)
    url = client.generate_presigned_url("list_objects_v2", Params={"Bucket": "trusted-only"})
    stripped = url.replace("/public/s3/", "/")
    headers = {
        "X-Forwarded-Prefix": "/public/s3",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "s3.test",
        "Host": "s3.test",
    }
    assert deliver(app, road, "GET", url, {}, None).status_code == 200
    assert deliver(app, untrusted, "GET", stripped, headers, None).status_code == 403


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
def test_a_pinned_region_is_the_only_one(apps: Callable[..., S3App], region: str) -> None:
    app = apps(region=region, pin_region=True)
    road = ROADS["path"]
    bucket = fresh_name("pinned")
    client = client_on(app, road, region=region)
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    elsewhere = client_on(app, road, region="ap-south-1")
    elsewhere.meta.events.unregister("needs-retry.s3")
    answer = Client(app, OWNER, region="ap-south-1").get(f"/{bucket}")
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.text("Region") == region
    url = elsewhere.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    answer = deliver(app, road, "GET", url, {}, None)
    assert answer.status_code == 400
    assert b"AuthorizationQueryParametersError" in answer.content
    assert Client(app, OWNER, region=region).get(f"/{bucket}/k").body == b"x"


def test_a_free_region_is_any_label(apps: Callable[..., S3App]) -> None:
    app = apps()
    bucket = fresh_name("free")
    for region in ("us-east-1", "eu-central-1", "auto", "x", "mars-north-9"):
        client = Client(app, OWNER, region=region)
        assert client.put(f"/{bucket}").status == 200
        assert client.put(f"/{bucket}/{region}", b"x").status == 200
    assert Client(app, OWNER).head(f"/{bucket}", Host=HOST).headers["x-amz-bucket-region"]


def test_a_key_of_one_slash_is_no_bucket_where_the_server_folds_slashes(
    apps: Callable[..., S3App],
) -> None:
    """http.server, under werkzeug, hands over "/" for "//": the signature tells them apart."""
    app = apps(**dict(BASES))
    client = Client(app, OWNER)
    name = fresh_name("folded")
    host = f"{name}.s3.test"

    def folded(method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        target = path + (f"?{query}" if query else "")
        headers = client.signed_headers(method, target, {}, body, host)
        environ = make_environ(method, target, headers, body)
        environ["RAW_URI"] = environ["REQUEST_URI"] = "/" + target.lstrip("/")
        environ["PATH_INFO"] = "/" + path.lstrip("/")
        environ["SERVER_SOFTWARE"] = "Werkzeug/3.1.3"
        return call(app, environ)

    # No bucket is made by a client that meant an object.
    assert folded("PUT", "//", body=b"slash").code == "NoSuchBucket"
    assert folded("PUT", "/").status == 200
    assert folded("PUT", "//", body=b"slash").headers["etag"]
    assert folded("PUT", "//k", body=b"key").status == 200
    assert folded("GET", "//").body == b"slash"
    assert folded("GET", "/").texts("Contents/Key") == ["/", "/k"]
    upload = folded("POST", "//", "uploads").text("UploadId")
    assert folded("DELETE", "//", f"uploadId={upload}").status == 204
    assert folded("DELETE", "//k").status == 204
    # The bucket would be empty after this one, and would be removed by the next.
    assert folded("DELETE", "//").status == 204
    assert folded("DELETE", "//").status == 204
    assert folded("GET", "/").texts("Contents/Key") == []
    assert folded("DELETE", "/").status == 204
    assert folded("GET", "/").code == "NoSuchBucket"
