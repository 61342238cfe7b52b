"""Prometheus text: what is counted, and who may read it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.middleware.metrics import metrics
from s3kit.testing import LiveServer
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import call
from tests.client import make_environ


@pytest.fixture
def s3() -> Iterator[S3App]:
    app = S3App(Config(keys={"AKIA": "secret"}))
    yield app
    app.close()


def scrape(app: Any, headers: dict[str, str] | None = None, **environ: str) -> Answer:
    return call(app, {**make_environ("GET", "/-/metrics", headers or {}, b""), **environ})


def samples(app: Any) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values, in the labels' order by name."""
    answer = scrape(app)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_status_and_code(s3: S3App) -> None:
    app = metrics(s3)
    client = Client(app, Signer("AKIA", "secret"))
    client.put("/photos")
    for number in range(3):
        client.put(f"/photos/{number}", b"x" * 1000)
    client.get("/photos/1")
    client.get("/photos/none")
    Client(app, None).get("/photos/1")
    found = samples(app)
    requests = {key[1:]: value for key, value in found.items() if key[0] == "s3kit_requests_total"}
    # Labels: code, operation, status.
    assert requests == {
        ("", "CreateBucket", "200"): 1,
        ("", "PutObject", "200"): 3,
        ("", "GetObject", "200"): 1,
        ("NoSuchKey", "GetObject", "404"): 1,
        ("AccessDenied", "GetObject", "403"): 1,
    }
    assert found["s3kit_received_bytes_total", "PutObject"] == 3000
    assert 1000 < found["s3kit_sent_bytes_total", "GetObject"] < 3000
    assert found["s3kit_request_duration_seconds_count", "GetObject"] == 3
    assert found["s3kit_request_duration_seconds_bucket", "60.0", "GetObject"] == 3
    assert found["s3kit_requests_in_flight",] == 0


def test_a_request_is_in_flight_until_its_last_byte(s3: S3App) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"
        yield b"y"

    counted = metrics(app)
    result: Any = counted(make_environ("GET", "/", {}, b""), lambda *_: None)
    assert samples(counted)["s3kit_requests_in_flight",] == 1
    next(result)
    result.close()
    found = samples(counted)
    assert found["s3kit_requests_in_flight",] == 0
    assert found["s3kit_aborted_requests_total", "response", ""] == 1


def test_commits_tell_how_many_writes_they_carried(s3: S3App) -> None:
    app = metrics(s3, index=s3.store.index)
    client = Client(app, Signer("AKIA", "secret"))
    client.put("/photos")

    def write(name: int) -> None:
        for number in range(20):
            client.put(f"/photos/{name}-{number}", b"x")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = samples(app)
    # The janitor writes too, now and then.
    assert 161 <= found["s3kit_index_commit_writes_sum",] < 170
    assert 0 < found["s3kit_index_commit_writes_count",] < 170


def test_metrics_are_not_for_everybody() -> None:
    app = metrics(lambda *_: [])
    assert scrape(app, REMOTE_ADDR="203.0.113.9").status == 403
    assert scrape(app, REMOTE_ADDR="10.1.2.3").status == 403
    assert scrape(app, REMOTE_ADDR="").status == 200
    assert scrape(app, {"Host": "localhost:9000"}).status == 200
    assert scrape(app, {"Host": "[::1]:9000"}, REMOTE_ADDR="::1").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Host": "s3.example.com"},
    ],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", ""])
def test_what_a_proxy_on_this_machine_passes_on_is_not_from_this_machine(
    headers: dict[str, str], peer: str
) -> None:
    """An empty peer is the other end of a unix socket, as of a proxy's."""
    assert scrape(metrics(lambda *_: []), headers, REMOTE_ADDR=peer).status == 403


def test_a_trusted_proxy_tells_who_asks() -> None:
    app = metrics(lambda *_: [], trusted_proxies=["127.0.0.1"], allowed=["10.0.0.0/8"])
    assert scrape(app, {"X-Forwarded-For": "203.0.113.9"}).status == 403
    host = {"Host": "127.0.0.1"}
    assert scrape(app, {**host, "X-Forwarded-For": "1.1.1.1, 10.9.9.9"}).status == 200
    assert scrape(app, REMOTE_ADDR="10.1.2.3").status == 200
    assert scrape(app, {"Host": "s3.internal"}, REMOTE_ADDR="10.1.2.3").status == 200
    assert scrape(app).status == 403


def test_with_a_token_whoever_knows_it_may_ask_and_nobody_else() -> None:
    app = metrics(lambda *_: [], token="tökén")
    right = {"Authorization": "Bearer " + "tökén".encode().decode("latin-1")}
    assert scrape(app, right, REMOTE_ADDR="203.0.113.9").status == 200
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "tökén"}):
        answer = scrape(app, headers)
        assert (answer.status, "www-authenticate" in answer.headers) == (401, True)
        assert b"s3kit" not in answer.body
    with pytest.raises(ValueError, match="empty"):
        metrics(lambda *_: [], token="")


def test_below_a_buckets_own_host_the_path_is_a_key() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"key"]

    counted = metrics(app, base_hosts=["s3.test"])
    assert scrape(counted, {"Host": "photos.s3.test"}).body == b"key"
    assert scrape(counted, {"Host": "s3.test"}).status == 403
    head = call(counted, make_environ("HEAD", "/-/metrics", {}, b""))
    assert (head.status, head.body) == (200, b"")
    assert call(counted, make_environ("POST", "/-/metrics", {}, b"")).status == 405


def test_a_host_apps_registry_can_hold_them(s3: S3App) -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("own", "A host's own.", registry=registry).inc()
    found = samples(metrics(s3, registry=registry))
    assert found["own_total",] == 1


def test_clients_cannot_make_new_time_series(s3: S3App) -> None:
    app = metrics(s3)
    client = Client(app, Signer("AKIA", "secret"))
    for number in range(20):
        client.request(f"M{number}", f"/b{number}-{number}/k{number}", f"q{number}")
        client.get(f"/bucket-{number}")
    found = samples(app)
    assert len([key for key in found if key[0] == "s3kit_requests_total"]) <= 3


def test_over_http_a_prometheus_gets_its_own_format(s3: S3App) -> None:
    with LiveServer(metrics(s3)) as server:
        accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
        request = urllib.request.Request(server.url + "/-/metrics", headers=accept)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            assert response.read().endswith(b"# EOF\n")


def test_without_the_extra_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from s3kit.middleware.metrics import metrics\n"
        "metrics(lambda *_: [])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert re.search(r"ImportError: .*pip install 's3kit\[metrics\]'", done.stderr)
