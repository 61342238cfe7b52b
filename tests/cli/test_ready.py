"""``/-/ready`` while the database comes and goes: load balancers go by it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.conftest import Serving
from tests.databases import fresh_database

Start = Callable[..., Serving]


class Relay:
    """A way to a database that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open = True
        self._ended = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        self._open = False

    def mend(self) -> None:
        self._open = True

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while not self._ended:
            if not self._open:
                self._drop()
            ends = [end for pair in self._pairs for end in pair]
            for ready in select.select([self._listening, *ends], [], [], 0.02)[0]:
                if ready is self._listening:
                    self._accept()
                else:
                    self._pass_on(ready)
        self._drop()

    def _accept(self) -> None:
        ours = self._listening.accept()[0]
        if self._open:
            self._pairs.append((ours, socket.create_connection(self._there)))
        else:
            ours.close()

    def _pass_on(self, ready: socket.socket) -> None:
        for pair in list(self._pairs):
            if ready in pair:
                other = pair[1] if ready is pair[0] else pair[0]
                with contextlib.suppress(OSError):
                    data = ready.recv(65536)
                    if data:
                        other.sendall(data)
                        return
                self._pairs.remove(pair)
                for end in pair:
                    end.close()

    def _drop(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[tuple[str, Relay]]:
    with fresh_database("postgresql", tmp_path) as text:
        url = make_url(text)
        relay = Relay(str(url.host), int(url.port or 5432))
        through = url.set(host="127.0.0.1", port=relay.port)
        try:
            yield through.render_as_string(hide_password=False), relay
        finally:
            relay.close()


def status(server: Serving, path: str) -> int:
    return int(server.exchange(f"GET {path} HTTP/1.0\r\n\r\n".encode()).split()[1])


def wait_for(server: Serving, readiness: int) -> None:
    limit = time.monotonic() + 60
    while (found := status(server, "/-/ready")) != readiness:
        assert time.monotonic() < limit, found
        time.sleep(0.05)


def test_without_its_database_a_server_is_alive_and_not_ready(
    serve: Start, database: tuple[str, Relay]
) -> None:
    url, relay = database
    server = serve("--workers", "1", S3KIT_INDEX=url)
    client = server.client()
    client.create_bucket(Bucket="first")
    assert [status(server, path) for path in ("/-/health", "/-/ready")] == [200, 200]
    relay.cut()
    wait_for(server, 503)
    assert status(server, "/-/health") == 200
    with pytest.raises(client.exceptions.ClientError) as failed:
        client.head_bucket(Bucket="first")
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    relay.mend()
    wait_for(server, 200)
    client.put_object(Bucket="first", Key="k", Body=b"x")
    # What went wrong is in the log, and not in the answer.
    assert "Not ready." in server.errors.read_text()
