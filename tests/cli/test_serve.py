"""``s3kit serve`` on each server: first start, later starts, load, shutdown."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3kit.blobs.base import is_blob_id
from s3kit.cli.servers import GRACE_SECONDS
from s3kit.cli.servers import GUNICORN_LIMITS
from tests.cli.conftest import Serving
from tests.cli.conftest import environment
from tests.waiting import eventually

Start = Callable[..., Serving]

SERVERS = ["gunicorn", "granian", "werkzeug"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def upload_head(server: Serving, key: str, size: int, **parameters: Any) -> bytes:
    """The head of a presigned PUT of ``size`` bytes to the bucket "first"."""
    url = server.client().generate_presigned_url(
        "put_object", Params={"Bucket": "first", "Key": key, **parameters}
    )
    target = url.removeprefix(server.url)
    host = f"{server.host}:{server.port}"
    return f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n".encode()


def begin_upload(server: Serving, connection: socket.socket, key: str, blobs: Path) -> None:
    """Send the half of 4 MB, and wait until the endpoint writes them down."""
    before = len(files_in(blobs))
    connection.sendall(upload_head(server, key, 4_000_000) + b"0" * 2_000_000)
    eventually(lambda: len(files_in(blobs)) != before, "the upload has not begun")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if is_blob_id(path.name)]


def status_of(connection: socket.socket) -> bytes:
    return connection.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize("name", SERVERS)
def test_a_new_user_stores_and_reads_an_object(serve: Start, tmp_path: Path, name: str) -> None:
    server = serve("--server", name)
    client = server.client()
    client.create_bucket(Bucket="first")
    for key in ("hello.txt", "a/b//c", "ü %2F+", "x" * 1024):
        client.put_object(Bucket="first", Key=key, Body=b"hello")
        assert client.get_object(Bucket="first", Key=key)["Body"].read() == b"hello"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        server.client(secret_key="wrong").list_buckets()
    assert server.stop() == 0
    assert "Traceback" not in server.errors.read_text()

    data = tmp_path / "data"
    assert mode(data) == 0o700
    for file in ("credentials", "master.key", "s3kit.db"):
        assert mode(data / file) == 0o600


def test_the_printed_line_runs_in_a_shell(serve: Start, tmp_path: Path) -> None:
    """A stand-in for aws shows what the shell would call; tests/clients/ has the real one."""
    server = serve()
    line = server.text.strip().splitlines()[-1].strip()
    stand_in = tmp_path / "bin" / "aws"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $*"\n')
    stand_in.chmod(0o700)
    path = f"{stand_in.parent}:{os.environ['PATH']}"
    result = subprocess.run(
        line, shell=True, env=environment(PATH=path), capture_output=True, text=True, check=True
    )
    pair = f"{server.shown('access key')} {server.shown('secret key')}"
    aws = f"{pair} --endpoint-url {server.url} s3"
    assert result.stdout.splitlines() == [
        f"{aws} mb s3://first",
        f"{aws} cp - s3://first/hello.txt",
        f"{aws} cp s3://first/hello.txt -",
    ]


def test_a_later_start_finds_everything_and_shows_no_secret(serve: Start, tmp_path: Path) -> None:
    first = serve()
    secret = first.shown("secret key")
    first.client().create_bucket(Bucket="kept")
    first.stop()
    later = serve()
    assert secret not in later.text
    assert f"both are in {tmp_path}/data/credentials" in later.text
    assert "secret key" not in later.text
    assert later.shown("access key") == first.shown("access key")
    buckets = later.client(secret_key=secret).list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["kept"]
    assert secret not in later.errors.read_text()
    # What it tells to paste works too: the profile in the file.
    variables = dict(
        word.split("=", 1) for word in shlex.split(later.text.splitlines()[-1]) if "AWS_" in word
    )
    script = "import boto3, sys; print(boto3.client('s3', endpoint_url=sys.argv[1]).list_buckets())"
    result = subprocess.run(
        [sys.executable, "-c", script, later.url],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "kept" in result.stdout, result.stderr


def test_a_given_key_is_the_only_one_and_is_not_printed(serve: Start, tmp_path: Path) -> None:
    server = serve("--access-key", "AKIAMINE", S3KIT_SECRET_KEY="hush-hush")
    server.client("AKIAMINE", "hush-hush").create_bucket(Bucket="mine")
    assert "hush" not in server.text
    assert not (tmp_path / "data" / "credentials").exists()


def test_accounts_are_apart_and_stand_beside_the_default_one(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(
        '[[account]]\nid = "bob"\nname = "Bob"\nkeys = [{access_key = "BOB", secret_key = "s2"}]\n'
    )
    server = serve(*("--accounts", "accounts.toml", "--access-key", "AK", "--secret-key", "s1"))
    ours, bobs = server.client("AK", "s1"), server.client("BOB", "s2")
    ours.create_bucket(Bucket="ours")
    bobs.create_bucket(Bucket="bobs")
    assert bobs.list_buckets()["Owner"]["ID"] == "bob"
    assert ours.list_buckets()["Owner"]["ID"] == "default"
    with pytest.raises(ClientError, match="AccessDenied"):
        bobs.list_objects_v2(Bucket="ours")


@pytest.mark.parametrize("name", SERVERS)
def test_in_memory_nothing_is_written(serve: Start, tmp_path: Path, name: str) -> None:
    server = serve("--server", name, "--data", "memory")
    assert "1 worker\n" in server.text
    client = server.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"x" * 200_000)
    assert len(client.get_object(Bucket="first", Key="k")["Body"].read()) == 200_000
    assert server.stop() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["stderr.txt"]


@pytest.mark.parametrize("name", SERVERS)
def test_sigterm_lets_a_running_upload_finish(serve: Start, tmp_path: Path, name: str) -> None:
    server = serve("--server", name)
    server.client().create_bucket(Bucket="first")
    with server.connect() as connection:
        begin_upload(server, connection, "slow", tmp_path / "data" / "blobs")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        assert server.process.poll() is None
        connection.sendall(b"1" * 2_000_000)
        assert status_of(connection) == b"HTTP/1.1 200 OK"
    started = time.monotonic()
    assert server.process.wait(100) == 0
    assert time.monotonic() - started < GRACE_SECONDS - 5
    assert "Traceback" not in server.errors.read_text()
    again = serve()
    secret = server.shown("secret key")
    body = again.client(secret_key=secret).get_object(Bucket="first", Key="slow")["Body"]
    assert body.read() == b"0" * 2_000_000 + b"1" * 2_000_000


def test_30_seconds_after_sigterm_whoever_waits_for_us_may_kill() -> None:
    assert 20 < GRACE_SECONDS < 30
    assert GUNICORN_LIMITS["graceful_timeout"] == GRACE_SECONDS


def test_sigterm_waits_no_longer_than_its_grace(serve: Start, tmp_path: Path) -> None:
    """All servers at once, each with an upload that never ends."""
    shortened = (
        "from s3kit.cli import main, servers; "
        "servers.GRACE_SECONDS = servers.GUNICORN_LIMITS['graceful_timeout'] = 4; "
        "main()"
    )
    servers = [
        serve(
            "--server", name, "--data", f"data-{name}", "--workers", "1", program=("-c", shortened)
        )
        for name in SERVERS
    ]
    stalled = [server.connect() for server in servers]
    try:
        for name, server, connection in zip(SERVERS, servers, stalled, strict=True):
            server.client().create_bucket(Bucket="first")
            begin_upload(server, connection, "stalled", tmp_path / f"data-{name}" / "blobs")
        started = time.monotonic()
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
        for server in servers:
            server.process.wait(100)
            assert 3 < time.monotonic() - started < GRACE_SECONDS - 5
    finally:
        for connection in stalled:
            connection.close()


def test_granian_says_at_its_start_what_it_cannot_do(serve: Start) -> None:
    server = serve("--server", "granian")
    server.client().list_buckets()
    server.stop()
    assert server.errors.read_text().count("request target") == 1


@pytest.mark.parametrize("name", SERVERS)
def test_32_stalled_uploads_leave_room_for_a_get(serve: Start, name: str) -> None:
    server = serve("--server", name, "--workers", "1")
    client = server.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"hello")
    stalled = [server.connect() for _ in range(32)]
    try:
        for number, connection in enumerate(stalled):
            connection.sendall(upload_head(server, f"stalled-{number}", 100) + b"begin")
        time.sleep(0.5)
        started = time.monotonic()
        for _ in range(5):
            assert client.get_object(Bucket="first", Key="k")["Body"].read() == b"hello"
        # Whoever waits for a stalled one waits for minutes.
        assert time.monotonic() - started < 30
    finally:
        for connection in stalled:
            connection.close()


@pytest.mark.parametrize("name", SERVERS)
def test_health_and_readiness(serve: Start, tmp_path: Path, name: str) -> None:
    server = serve("--server", name)
    for path in ("health", "ready"):
        answer = server.exchange(f"GET /-/{path} HTTP/1.0\r\n\r\n".encode())
        assert answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    with sqlite3.connect(tmp_path / "data" / "s3kit.db", 60) as connection:
        connection.execute("UPDATE s3kit_schema_version SET version_num = 'newer'")
    connection.close()
    assert b" 503 " in server.exchange(b"GET /-/ready HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
    assert b" 200 " in server.exchange(b"GET /-/health HTTP/1.0\r\n\r\n").split(b"\r\n")[0]


def test_a_database_of_another_version_is_refused_in_one_line(
    serve: Start, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    serve().stop()
    with sqlite3.connect(tmp_path / "data" / "s3kit.db", 60) as connection:
        connection.execute("UPDATE s3kit_schema_version SET version_num = 'newer'")
    connection.close()
    result = run("serve", "--port", "0")
    assert result.returncode == 2
    assert "pip install --upgrade s3kit" in result.stderr
    assert "Traceback" not in result.stderr


def children_of(pid: int) -> list[str]:
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


@pytest.mark.parametrize("name", ["gunicorn", "granian"])
def test_workers_are_processes_that_share_everything(serve: Start, name: str) -> None:
    server = serve("--server", name, "--workers", "2")
    assert "2 workers" in server.text
    limit = time.monotonic() + 60
    # The first worker may answer before the second one is forked.
    while len(children_of(server.process.pid)) < 2:
        assert time.monotonic() < limit
        time.sleep(0.05)
    server.client().create_bucket(Bucket="first")
    for number in range(20):
        # Every client opens a connection of its own, so both processes are met.
        server.client().put_object(Bucket="first", Key=f"{number:02}", Body=b"x")
        keys = server.client().list_objects_v2(Bucket="first")["Contents"]
        assert len(keys) == number + 1


@pytest.mark.parametrize("name", SERVERS)
def test_two_servers_cannot_have_one_port(
    serve: Start, run: Callable[..., subprocess.CompletedProcess[str]], name: str
) -> None:
    """granian binds with SO_REUSEPORT and would share the port silently."""
    server = serve("--server", name)
    result = run("serve", "--server", name, "--data", "other", "--port", str(server.port))
    assert result.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {server.port}" in result.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_requests_are_not_logged_with_their_signatures(serve: Start, name: str) -> None:
    server = serve("--server", name)
    client = server.client()
    client.create_bucket(Bucket="first")
    url = client.generate_presigned_url("get_object", Params={"Bucket": "first", "Key": "k"})
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", url.removeprefix(server.url))
    assert connection.getresponse().status == 404
    connection.close()
    server.stop()
    written = server.text.partition("Try it")[2] + server.errors.read_text()
    assert "X-Amz-Signature" not in written
    assert "AWS4-HMAC-SHA256" not in written
    assert server.shown("secret key") not in server.errors.read_text()


@pytest.mark.parametrize("name", ["gunicorn", "granian"])
def test_long_and_many_headers_are_within_the_limits(serve: Start, name: str) -> None:
    """A key of 1,024 bytes, percent-encoded, with a presigned query; 2 KB of metadata."""
    server = serve("--server", name)
    client = server.client()
    client.create_bucket(Bucket="first")
    key = "ü" * 512
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": "first", "Key": key, "ResponseContentType": "x" * 1500}
    )
    target = url.removeprefix(server.url)
    assert len(target) > 4094
    assert len(urllib.parse.unquote_to_bytes(target.split("?")[0])) == len("/first/") + 1024
    metadata = {f"name-{number:02}": "v" * 12 for number in range(70)}
    client.put_object(Bucket="first", Key=key, Body=b"hello", Metadata=metadata)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", target)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"hello")
    assert response.headers["x-amz-meta-name-69"] == "v" * 12
    connection.close()


def test_underscore_headers_are_dropped_by_gunicorn(serve: Start) -> None:
    """``X_Amz_Acl`` must not join ``X-Amz-Acl`` (facts 1g); SCRIPT_NAME must not move the path."""
    server = serve("--server", "gunicorn")
    server.client().create_bucket(Bucket="first")
    head = upload_head(server, "k", 5).removesuffix(b"\r\n")
    extra = b"X_Amz_Acl: public-read\r\nSCRIPT_NAME: /first\r\nConnection: close\r\n\r\nhello"
    assert server.exchange(head + extra).startswith(b"HTTP/1.1 200 OK")
    assert b" 403 " in server.exchange(b"GET /first/k HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
    assert server.client().get_object(Bucket="first", Key="k")["Body"].read() == b"hello"


@pytest.mark.parametrize("server", SERVERS)
def test_metadata_names_may_have_underscores(serve: Start, server: str) -> None:
    """As S3 takes them; the servers leave every other such header out."""
    running = serve("--server", server)
    client = running.client()
    client.create_bucket(Bucket="first")
    metadata = {"a_b": "c", "d-e": "f", "g.h": "i", "_": "j"}
    client.put_object(Bucket="first", Key="k", Body=b"hello", Metadata=metadata)
    assert client.head_object(Bucket="first", Key="k")["Metadata"] == metadata


def test_metadata_with_an_underscore_cannot_join_what_was_signed(serve: Start) -> None:
    """A028."""
    server = serve("--server", "gunicorn")
    server.client().create_bucket(Bucket="first")
    head = upload_head(server, "k", 5, Metadata={"a-b": "good"}).removesuffix(b"\r\n")
    head += b"x-amz-meta-a-b: good\r\n"
    end = b"Connection: close\r\n\r\nhello"
    assert b"403" in server.exchange(head + b"x-amz-meta-a_b: bad\r\n" + end)
    assert server.exchange(head + end).startswith(b"HTTP/1.1 200 OK")
    got = server.client().head_object(Bucket="first", Key="k")
    assert got["Metadata"] == {"a-b": "good"}


def test_variables_of_the_process_are_not_headers_under_granian(serve: Start) -> None:
    """granian copies os.environ into every environ."""
    server = serve("--server", "granian", HTTP_X_AMZ_ACL="public-read", HTTP_RANGE="bytes=0-1")
    client = server.client()
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"hello")
    assert client.get_object(Bucket="first", Key="k")["Body"].read() == b"hello"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "s3kit test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certfile, keyfile = folder / "cert.pem", folder / "key.pem"
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certfile, keyfile


@pytest.mark.parametrize("name", SERVERS)
def test_tls_with_trailing_checksums(serve: Start, tmp_path: Path, name: str) -> None:
    certfile, keyfile = certificate(tmp_path)
    server = serve("--server", name, "--certfile", str(certfile), "--keyfile", str(keyfile))
    assert server.url.startswith("https://127.0.0.1:")
    client = server.client(verify=str(certfile))
    client.create_bucket(Bucket="first")
    client.put_object(Bucket="first", Key="k", Body=b"hello" * 50_000, ChecksumAlgorithm="SHA256")
    assert client.get_object(Bucket="first", Key="k")["Body"].read() == b"hello" * 50_000


def test_a_config_file_and_variables_set_everything(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "s3kit.toml").write_text(
        'region = "eu-central-1"\n[keys]\nAKIAFILE = "from-file"\n'
        '[serve]\nserver = "gunicorn"\nworkers = 1\ndata = "elsewhere"\nport = 1\n'
    )
    server = serve(S3KIT_CONFIG="s3kit.toml", S3KIT_THREADS="8")
    assert "eu-central-1" in server.text
    assert re.search(r"on gunicorn, 1 worker$", server.text, re.MULTILINE)
    server.client("AKIAFILE", "from-file").create_bucket(Bucket="first")
    assert (tmp_path / "elsewhere" / "s3kit.db").exists()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("storages", "durability", "warned"),
    [
        ({"scratch": "memory://"}, "full", ["scratch"]),
        ({"scratch": "memory://"}, "relaxed", []),
        ({"far": "local://far"}, "full", ["far"]),
        ({}, "full", []),
    ],
)
def test_a_storage_less_durable_than_asked_for_is_warned_of(
    serve: Start, storages: dict[str, str], durability: str, warned: list[str]
) -> None:
    server = serve(S3KIT_STORAGES=json.dumps(storages), S3KIT_DURABILITY=durability)
    found = re.findall('Warning: the storage "(.*)" may lose', server.errors.read_text())
    assert found == warned


def test_who_keeps_all_in_memory_is_not_warned(serve: Start) -> None:
    server = serve("--data", "memory")
    assert server.errors.read_text() == ""


def test_credentials_that_others_can_read_are_warned_of(serve: Start, tmp_path: Path) -> None:
    serve().stop()
    (tmp_path / "data" / "credentials").chmod(0o644)
    assert "chmod 600" in serve().errors.read_text()


def test_without_gunicorn_and_granian_werkzeug_serves_and_warns(
    serve: Start, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['gunicorn'] = sys.modules['granian'] = None\n"
    )
    path = f"{tmp_path}:{environment()['PYTHONPATH']}"
    server = serve(PYTHONPATH=path)
    assert "s3kit on werkzeug, 1 worker" in server.text
    assert "not for production" in server.errors.read_text()
    server.client().create_bucket(Bucket="first")
