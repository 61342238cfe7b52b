"""``s3kit serve``'s access log, metrics and traces, on real servers with several workers."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Serving
from tests.waiting import eventually

Start = Callable[..., Serving]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

SERVERS = ["gunicorn", "granian", "werkzeug"]
WITH_WORKERS = ["gunicorn", "granian"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def entries(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log: whoever reads while one is written may see its beginning."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def get(url: str, **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, headers=sent), timeout=60) as response:
        text: str = response.read().decode()
    return text


def refusal(url: str, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(url, **headers)
    caught.value.close()
    return caught.value.code


# -- the access log


@pytest.mark.parametrize("name", SERVERS)
def test_all_workers_write_whole_lines_into_one_log(
    serve: Start, tmp_path: Path, name: str
) -> None:
    workers = ("--workers", "2") if name in WITH_WORKERS else ()
    server = serve("--server", name, "--access-log", "access.log", *workers)
    secret = server.shown("secret key")
    client = server.client()
    client.create_bucket(Bucket="first")

    def work(number: int) -> str:
        own = client if number == 0 else server.client()
        own.put_object(Bucket="first", Key=f"{number}", Body=b"x" * 100_000)
        answer = own.get_object(Bucket="first", Key=f"{number}")
        answer["Body"].read()
        request_id: str = answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
        return request_id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(work, range(16)))
    get(server.url + "/-/health")
    log = tmp_path / "access.log"
    eventually(lambda: len(entries(log)) >= 33)
    server.stop()
    found = entries(log)
    assert len(found) == 33
    reads = {entry["request_id"]: entry for entry in found if entry["operation"] == "GetObject"}
    assert set(reads) == ids
    for entry in reads.values():
        assert (entry["status"], entry["bytes_sent"]) == (200, 100_000)
        assert "aborted" not in entry
        assert entry["user_agent"].startswith("Boto3")
    writes = [entry for entry in found if entry["operation"] == "PutObject"]
    assert len(writes) == 16
    assert all(entry["bytes_received"] >= 100_000 for entry in writes)
    text = log.read_text()
    assert secret not in text
    assert "ignature" not in text
    assert log.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_hangs_up_is_in_the_log(serve: Start, tmp_path: Path, name: str) -> None:
    server = serve("--server", name, "--access-log", "access.log")
    client = server.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="big", Body=b"x" * 30_000_000)
    url = client.generate_presigned_url("get_object", Params={"Bucket": "first", "Key": "big"})
    with server.connect() as connection:
        target = url.removeprefix(server.url)
        host = f"{server.host}:{server.port}"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(1000)
    blobs = tmp_path / "data" / "blobs"
    stored = sum(path.is_file() for path in blobs.rglob("*"))
    with server.connect() as connection:
        url = client.generate_presigned_url("put_object", Params={"Bucket": "first", "Key": "k"})
        target = url.removeprefix(server.url)
        head = f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 3_000_000)
        # The endpoint is at it.
        eventually(lambda: sum(path.is_file() for path in blobs.rglob("*")) > stored)
    log = tmp_path / "access.log"

    def aborted() -> dict[str, Any]:
        return {entry["aborted"]: entry for entry in entries(log) if "aborted" in entry}

    found = eventually(lambda: seen if len(seen := aborted()) == 2 else None)
    assert found["response"]["operation"] == "GetObject"
    assert found["response"]["bytes_sent"] < 30_000_000
    assert found["request"]["operation"] == "PutObject"
    assert found["request"]["error"] == "IncompleteBody"
    assert "X-Amz-" not in log.read_text()


def test_a_log_that_is_moved_away_is_made_anew(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "s3kit.toml").write_text('[serve]\naccess_log = "access.log"\nworkers = 2\n')
    server = serve("--config", "s3kit.toml")
    client = server.client()
    client.create_bucket(Bucket="first")
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    eventually(lambda: entries(log))
    log.rename(old)
    for _ in range(8):
        server.client().list_buckets()
    assert eventually(lambda: len(entries(log)) == 8)
    assert [entry["operation"] for entry in entries(old)] == ["CreateBucket"]


# -- the audit log


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_the_audit_log_has_a_whole_line_of_every_request(
    serve: Start, tmp_path: Path, name: str
) -> None:
    log, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    server = serve("--server", name, "--audit-log", "audit.log", "--workers", "2")
    secret, access_key = server.shown("secret key"), server.shown("access key")
    client = server.client()
    client.create_bucket(Bucket="first")
    # A line of more than 4,096 bytes, which pipes would tear.
    key = "\u2028" * 300
    clients = [server.client() for _ in range(4)]

    def work(number: int) -> None:
        own = clients[number % 4]
        own.put_object(Bucket="first", Key=f"{number}{key}", Body=b"x" * 1000)
        own.head_object(Bucket="first", Key=f"{number}{key}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))
    eventually(lambda: len(entries(log)) >= 25)
    # logrotate moves it, and may say so or not.
    log.rename(old)
    if name == "gunicorn":
        before = children(server.process.pid)
        server.process.send_signal(signal.SIGHUP)
        # A worker that ends may take a connection and leave it.
        eventually(lambda: len(children(server.process.pid) - before) == 2)
        eventually(lambda: not children(server.process.pid) & before)
    url = client.generate_presigned_url("get_object", Params={"Bucket": "first", "Key": "1" + key})
    token = url.rpartition("Signature=")[2]
    host = f"Host: {server.host}:{server.port}\r\n"
    target = url.removeprefix(server.url)
    paths = (target, target + "0", "/first/a%0D%0A%7B%22account%22%3A%22root%22%7D")
    for number, sent in enumerate(paths, 1):
        server.exchange(f"GET {sent} HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode())
        # It is written when the answer is closed, which may be after the next one's.
        eventually(lambda count=number: len(entries(log)) >= count)
    # No request, and so none in the log; nor who asks after our health.
    server.exchange(b"GARBAGE\r\n\r\n")
    assert server.stop() == 0
    first, second = entries(old), entries(log)
    assert (len(first), len(second)) == (25, 3)
    assert {each["account"] for each in first} == {"default"}
    assert {each["decision"] for each in first} == {"allow"}
    puts = [each for each in first if each["operation"] == "PutObject"]
    assert {each["key"] for each in puts} == {f"{number}{key}" for number in range(12)}
    assert {each["received"] for each in puts} == {1000}
    good, forged, broken = second
    assert (good["signed"], good["account"], good["sent"]) == ("query", "default", 1000)
    assert (forged["account"], forged["access_key"]) == (None, access_key)
    assert (forged["decision"], forged["decided_by"]) == ("deny", "signature")
    assert (broken["account"], broken["key"]) == (None, 'a\r\n{"account":"root"}')
    text = old.read_text() + log.read_text()
    assert secret not in text
    assert token not in text
    assert "ignature=" not in text
    assert log.stat().st_mode & 0o007 == 0


def test_standard_output_can_be_the_log(serve: Start) -> None:
    server = serve("--access-log", "-", "--data", "memory")
    server.client().list_buckets()
    server.stop()
    (line,) = (line for line in server.text.splitlines() if line.startswith("{"))
    assert json.loads(line)["operation"] == "ListBuckets"


def test_a_trusted_proxys_id_is_the_requests(serve: Start, tmp_path: Path) -> None:
    server = serve(
        *("--request-id-header", "X-Request-Id", "--data", "memory"),
        *("--access-log", str(tmp_path / "a.log")),
        S3KIT_TRUSTED_PROXIES="127.0.0.1",
    )
    headers = {"X_Request_Id": "outer-1", "X_Forwarded_For": "203.0.113.9"}
    assert refusal(server.url + "/", **headers) == 403
    (entry,) = eventually(lambda: entries(tmp_path / "a.log"))
    assert (entry["request_id"], entry["client"]) == ("outer-1", "203.0.113.9")


def test_what_cannot_be_done_is_said_at_the_start(run: Run, tmp_path: Path) -> None:
    for arguments, variables, message in (
        (["--access-log", "no/where.log"], {}, "Cannot write the access log"),
        (["--request-id-header", "X-Id"], {}, "needs trusted_proxies"),
        ([], {"S3KIT_METRICS_TOKEN": "t"}, "add --metrics"),
        (["--metrics", "--metrics-from", "nowhere"], {}, "metrics_from: "),
        ([], {"S3KIT_METRICS": "perhaps"}, "metrics must be true or false"),
    ):
        done = run("serve", "--data", "memory", "--port", "0", *arguments, **variables)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
        assert "Traceback" not in done.stderr


# -- metrics


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_any_worker_tells_the_metrics_of_all(serve: Start, name: str) -> None:
    server = serve("--server", name, "--workers", "3", "--metrics")
    server.client().create_bucket(Bucket="first")

    def counting() -> set[int]:
        return children(server.process.pid) & metric_files(server)

    # The first worker answers before the others have begun.
    eventually(lambda: refusal(server.url + "/") and len(counting()) >= 2)

    def work(number: int) -> None:
        # A connection of its own, so that every worker gets some.
        server.client().put_object(Bucket="first", Key=f"{number}", Body=b"x" * 1000)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(30)))
    put = ("s3kit_requests_total", "", "PutObject", "200")
    waiting = ("s3kit_requests_in_flight",)

    def counted() -> bool:
        # An answer is counted when it is closed, which may be after the client has it.
        found = samples(get(server.url + "/-/metrics"))
        return found[put] == 30 and found[waiting] == 0

    eventually(counted)
    for _ in range(12):
        found = samples(get(server.url + "/-/metrics"))
        assert found[put] == 30
        assert found["s3kit_received_bytes_total", "PutObject"] >= 30_000
        assert found["s3kit_request_duration_seconds_count", "PutObject"] == 30
        assert found[waiting] == 0
        assert found["s3kit_index_commit_writes_sum",] >= 31
    assert len(counting()) >= 2, "all requests went to one worker"


def children(pid: int) -> set[int]:
    done = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True)
    pairs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    found = {pid}
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return found - {pid}


def metric_files(server: Serving) -> set[int]:
    """The processes that have counted anything."""
    folder = metrics_folder(server)
    names = [re.fullmatch(r"counter_(\d+)\.db", path.name) for path in folder.iterdir()]
    return {int(name.group(1)) for name in names if name}


def metrics_folder(server: Serving) -> Path:
    for pid in children(server.process.pid):
        found = re.search(r"(/\S*s3kit-metrics-[^/]+)/", Path(f"/proc/{pid}/maps").read_text())
        if found:
            return Path(found.group(1))
    raise AssertionError("no process counts")


def test_a_worker_that_dies_leaves_its_counts_and_nothing_in_flight(serve: Start) -> None:
    server = serve("--server", "gunicorn", "--workers", "2", "--metrics")
    client = server.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="big", Body=b"x" * 30_000_000)
    url = client.generate_presigned_url("get_object", Params={"Bucket": "first", "Key": "big"})
    folder = metrics_folder(server)
    with server.connect() as connection:
        host = f"{server.host}:{server.port}"
        target = url.removeprefix(server.url)
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        connection.recv(1000)
        in_flight = ("s3kit_requests_in_flight",)
        # The answer before this one may not be closed yet.
        eventually(lambda: samples(get(server.url + "/-/metrics"))[in_flight] == 1)
        before = children(server.process.pid)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(children(server.process.pid) - before) == 2)

    def settled() -> dict[tuple[str, ...], float] | None:
        try:
            found = samples(get(server.url + "/-/metrics"))
        except OSError:
            return None
        return found if found.get(("s3kit_requests_in_flight",), 0) == 0 else None

    found = eventually(settled)
    assert found["s3kit_requests_total", "", "PutObject", "200"] == 1
    assert folder.is_dir()
    assert server.stop() == 0
    assert not folder.exists()


def test_metrics_are_off_by_default_and_then_open_to_this_machine_or_a_token(
    serve: Start,
) -> None:
    server = serve("--data", "memory")
    assert refusal(server.url + "/-/metrics") in (400, 403, 404)
    server = serve("--data", "memory", "--metrics")
    assert "s3kit_requests_in_flight" in get(server.url + "/-/metrics")
    assert refusal(server.url + "/-/metrics", X_Forwarded_For="203.0.113.9") == 403
    server = serve("--data", "memory", S3KIT_METRICS="true", S3KIT_METRICS_TOKEN="hush-hush")
    assert refusal(server.url + "/-/metrics") == 401
    headers = {"Authorization": "Bearer hush-hush", "X_Forwarded_For": "203.0.113.9"}
    assert "s3kit_requests_in_flight" in get(server.url + "/-/metrics", **headers)
    assert "hush" not in server.text
    server = serve("--data", "memory", "--metrics", S3KIT_METRICS_FROM="10.0.0.0/8, 192.0.2.1")
    assert refusal(server.url + "/-/metrics") == 403


# -- traces


class Collector:
    """Takes spans by OTLP over HTTP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_spans_reach_a_collector_also_those_of_the_last_moment(
    serve: Start, collector: Collector, tmp_path: Path, name: str
) -> None:
    server = serve(
        *("--server", name, "--workers", "1", "--tracing", "--access-log", "access.log"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    )
    client = server.client()

    def trace(request: Any, **_: Any) -> None:
        request.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"

    client.meta.events.register("before-send.s3", trace)
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="a", Body=b"x")
    assert server.stop() == 0
    names = {span.name for span in collector.spans}
    assert names == {"S3.CreateBucket", "S3.PutObject"}
    assert collector.services == {"s3kit"}
    logged = {entry["span_id"] for entry in entries(tmp_path / "access.log")}
    assert logged == {span.span_id.hex() for span in collector.spans}
    for span in collector.spans:
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id.hex() == PARENT
