"""A database server that ends its connections, as it does when it is restarted or fails over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pymysql.constants import ER
from sqlalchemy import Connection
from sqlalchemy import NullPool
from sqlalchemy import create_engine
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from s3kit import Config
from s3kit import S3App
from tests.client import Client
from tests.client import Signer
from tests.databases import fresh_database
from tests.databases import server_url

KEY = Signer("AKIARESTART", "secret")
PROGRAM = "s3kit-test-restart"


class Endpoint:
    """An app on a database server, and the means to end its connections there."""

    def __init__(self, kind: str, url: str, folder: Path) -> None:
        self.kind = kind
        parsed = make_url(url)
        # By these the server tells our connections from those of other tests.
        self.name = f"{PROGRAM}-{time.time_ns()}"
        if kind == "postgresql":
            parsed = parsed.update_query_dict({"application_name": self.name})
        self._database = parsed.database
        self._admin = create_engine(
            server_url(kind), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        self.app = S3App(
            Config(
                storages={"default": str(folder / "blobs")},
                index=parsed.render_as_string(hide_password=False),
                keys={KEY.access_key: KEY.secret_key},
            )
        )
        self.client = Client(self.app, KEY)

    def end_some(self) -> None:
        """End all that the app has open now, of which there is at least one."""
        # Who finds its connection dead closes the idle ones too, the app's own threads as well.
        for _ in range(20):
            if self.end_connections():
                return
            assert self.client.get("/").status == 200
        raise AssertionError("no connection to end")

    def end_connections(self) -> int:
        """End all that the app has open now; how many these were."""
        with self._admin.connect() as connection:
            if self.kind == "postgresql":
                ended = connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = :name"
                    ),
                    {"name": self.name},
                ).all()
                return len(ended)
            found = connection.execute(
                text("SELECT id FROM information_schema.processlist WHERE db = :name"),
                {"name": self._database},
            ).scalars()
            return sum(self._kill(connection, number) for number in list(found))

    @staticmethod
    def _kill(connection: Connection, number: int) -> bool:
        try:
            connection.exec_driver_sql(f"KILL CONNECTION {number}")
        except OperationalError as error:
            # It ended by itself since it was listed; the app closes those that it finds dead.
            if error.orig is None or error.orig.args[0] != ER.NO_SUCH_THREAD:
                raise
            return False
        return True


@pytest.fixture(params=["postgresql", "mariadb"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    with fresh_database(request.param, tmp_path) as url:
        made = Endpoint(request.param, url, tmp_path)
        made.client.put("/bucket")
        made.client.put("/bucket/small", b"hello")
        made.client.put("/bucket/big", bytes(100_000))
        try:
            yield made
        finally:
            made.app.close()


READS: dict[str, tuple[str, str, str]] = {
    "ListBuckets": ("GET", "/", ""),
    "HeadBucket": ("HEAD", "/bucket", ""),
    "ListObjectsV2": ("GET", "/bucket", "list-type=2"),
    "GetObject, inline": ("GET", "/bucket/small", ""),
    "GetObject, blob": ("GET", "/bucket/big", ""),
    "HeadObject": ("HEAD", "/bucket/small", ""),
    "GetObjectTagging": ("GET", "/bucket/small", "tagging"),
    "GetObjectAcl": ("GET", "/bucket/small", "acl"),
    "ListMultipartUploads": ("GET", "/bucket", "uploads"),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_after_its_connection_was_ended_answers(endpoint: Endpoint, read: str) -> None:
    method, path, query = READS[read]
    for _ in range(3):
        endpoint.end_some()
        answer = endpoint.client.request(method, path, query)
        assert answer.status == 200
        # So that there is a connection to be ended again, also where nothing had to be asked.
        assert endpoint.client.get("/").status == 200


def test_a_write_after_its_connection_was_ended_is_done_once(endpoint: Endpoint) -> None:
    for number in range(5):
        endpoint.end_some()
        body = f"{number}".encode()
        assert endpoint.client.put(f"/bucket/{number}", body).status == 200
        assert endpoint.client.get(f"/bucket/{number}").body == body
        endpoint.end_some()
        assert endpoint.client.delete(f"/bucket/{number}").status == 204
    listed = endpoint.client.get("/bucket", "list-type=2")
    assert listed.texts("Contents/Key") == ["big", "small"]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Raises what the first of them raised."""
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, number) for number in range(count)]:
            future.result(120)


def test_all_connections_of_a_full_pool_may_be_ended(endpoint: Endpoint) -> None:
    """Not only the one that is tried first is dead."""
    together = threading.Barrier(8, timeout=60)
    statuses: list[int] = []

    def read(number: int) -> None:
        together.wait()
        for _ in range(20):
            statuses.append(endpoint.client.get("/bucket", "list-type=2").status)

    in_threads(8, read)
    ended = endpoint.end_connections()
    assert ended > 1
    in_threads(8, read)
    assert statuses == [200] * len(statuses)
    assert len(statuses) == 320


def test_reads_while_connections_are_ended_again_and_again(endpoint: Endpoint) -> None:
    statuses: list[int] = []
    done = threading.Event()

    def read(number: int) -> None:
        path, query = [("/bucket", "list-type=2"), ("/bucket/small", ""), ("/", "")][number % 3]
        try:
            while not done.is_set():
                statuses.append(endpoint.client.get(path, query).status)
        finally:
            done.set()

    def end(number: int) -> None:
        try:
            limit = time.monotonic() + 60
            rounds = 0
            while rounds < 10 or statuses.count(200) <= 50:
                assert time.monotonic() < limit, statuses
                time.sleep(0.1)
                endpoint.end_connections()
                rounds += 1
        finally:
            done.set()

    in_threads(7, lambda number: end(number) if number == 6 else read(number))
    # Whoever loses its connection twice in one request may be told to come again, never 500.
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 50
    assert endpoint.client.get("/bucket/small").body == b"hello"
