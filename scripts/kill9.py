"""Kill ``s3kit serve`` at random moments while clients write, and look at what is left.

    python -m scripts.kill9 --cycles 200

After each kill -9 of the whole process group the server is started again. Then every acknowledged
object must be there and whole, every unacknowledged one must be the old or the new, and nothing
else may be readable. At the end garbage and orphans are swept, and nothing but blobs that the
index points at may be left.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from sqlalchemy import func
from sqlalchemy import select

from s3kit.assembly import open_store_of
from s3kit.cli.settings import gather
from s3kit.index.schema import contents
from s3kit.index.schema import garbage
from s3kit.index.schema import parts
from s3kit.index.schema import versions
from scripts.processes import LOOPBACK
from scripts.processes import ServerProcess
from scripts.processes import free_port
from scripts.processes import s3kit_command
from scripts.signing import Signer

BUCKET = "crash"
KIB = 1 << 10
MIB = 1 << 20
FIRST_PART = 5 * MIB
TIMEOUT = 30.0
SWEEP_EVERY = 25
"""Cycles between sweeps: what is swept too early is missed by the checks that follow."""

Digest = str | None
"""What a key holds: the SHA-256 of its bytes, or None for nothing."""


class Unacknowledged(Exception):
    """No answer came: the request may have been carried out, or not."""


class Refused(Exception):
    """The server answered with an error that it should not have given."""


@dataclass(slots=True)
class State:
    """What a key may hold: what was last acknowledged or seen, or what was under way since."""

    certain: Digest = None
    possible: set[Digest] = field(default_factory=set)

    def allowed(self) -> set[Digest]:
        return {self.certain} | self.possible


@dataclass(slots=True)
class Report:
    """What a run did and what it found wrong; it is good when ``problems`` is empty."""

    cycles: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    took_effect: int = 0
    reads: int = 0
    orphans: int = 0
    collected: int = 0
    blobs: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.cycles} cycles, {self.acknowledged} writes acknowledged, "
            f"{self.unacknowledged} not ({self.took_effect} of them took effect), "
            f"{self.reads} reads, {self.collected} blobs collected, {self.orphans} orphans swept, "
            f"{self.blobs} blobs left, {len(self.problems)} problems"
        )


def make_body(chance: random.Random, size: int) -> bytes:
    """Random bytes that begin with the SHA-256 of the rest, so that any reader can check them."""
    rest = chance.randbytes(size - 32)
    return hashlib.sha256(rest).digest() + rest


def is_whole(body: bytes) -> bool:
    """Whether these are bytes of :func:`make_body`, all of them."""
    return hashlib.sha256(body[32:]).digest() == body[:32]


class Client:
    """One kept connection. Every method waits for the answer."""

    def __init__(self, port: int, signer: Signer) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT)
        self._signer = signer

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Send a signed request; status, body and headers of its answer.

        :raises Unacknowledged: there was none.
        """
        target, headers = self._signer.headers(
            method,
            path,
            query,
            payload_sha256=hashlib.sha256(body).hexdigest(),
            extra=extra,
        )
        try:
            self._connection.request(method, target, body=body or None, headers=headers)
            response = self._connection.getresponse()
            return response.status, response.read(), response.headers
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unacknowledged(str(error)) from error

    def expect(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
    ) -> tuple[bytes, http.client.HTTPMessage]:
        """The same, where only success is right.

        :raises Refused: for any other status.
        """
        status, answer, headers = self.ask(method, path, query, body, extra)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {answer[:200]!r}")
        return answer, headers

    def close(self) -> None:
        self._connection.close()


class Writer(threading.Thread):
    """A client that puts, copies and deletes its own keys until the server is gone."""

    def __init__(self, name: str, client: Client, states: dict[str, State], seed: int) -> None:
        super().__init__(name=name)
        self._client = client
        self._states = states
        self._chance = random.Random(seed)
        self.acknowledged = 0
        self.unacknowledged = 0
        self.problem = ""
        self.stopping = False

    def run(self) -> None:
        try:
            while not self.stopping:
                self._write()
        except Unacknowledged:
            self.unacknowledged += 1
        except Refused as error:
            self.problem = str(error)
        finally:
            self._client.close()

    def _write(self) -> None:
        key = self._chance.choice(list(self._states))
        state = self._states[key]
        kind = self._chance.choices(
            ("inline", "blob", "multipart", "copy", "delete"), (40, 25, 5, 10, 20)
        )[0]
        if kind == "delete":
            self._try(state, None, lambda: self._client.expect("DELETE", f"/{BUCKET}/{key}"))
        elif kind == "copy":
            source, digest = self._source(key)
            if source:
                copy = {"x-amz-copy-source": f"/{BUCKET}/{source}"}
                self._try(
                    state,
                    digest,
                    lambda: self._client.expect("PUT", f"/{BUCKET}/{key}", extra=copy),
                )
        else:
            size = {
                "inline": self._chance.randint(64, 64 * KIB),
                "blob": self._chance.randint(64 * KIB + 1, 512 * KIB),
                "multipart": FIRST_PART + self._chance.randint(1, 200 * KIB),
            }[kind]
            body = make_body(self._chance, size)
            put = self._put_parts if kind == "multipart" else self._put
            self._try(state, hashlib.sha256(body).hexdigest(), lambda: put(key, body))

    def _try(self, state: State, digest: Digest, write: Callable[[], object]) -> None:
        # Noted before it is sent: the thread may end in the middle.
        state.possible.add(digest)
        write()
        state.certain = digest
        state.possible.clear()
        self.acknowledged += 1

    def _source(self, target: str) -> tuple[str, Digest]:
        there = [
            (key, state.certain)
            for key, state in self._states.items()
            if key != target and state.certain is not None and not state.possible
        ]
        return self._chance.choice(there) if there else ("", None)

    def _put(self, key: str, body: bytes) -> None:
        self._client.expect("PUT", f"/{BUCKET}/{key}", body=body)

    def _put_parts(self, key: str, body: bytes) -> None:
        path = f"/{BUCKET}/{key}"
        answer, _ = self._client.expect("POST", path, {"uploads": ""})
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", answer)
        if found is None:
            raise Refused(f"no UploadId in {answer[:200]!r}")
        upload = found[1].decode()
        document = "<CompleteMultipartUpload>"
        for number, part in enumerate((body[:FIRST_PART], body[FIRST_PART:]), 1):
            _, headers = self._client.expect(
                "PUT", path, {"partNumber": str(number), "uploadId": upload}, part
            )
            document += (
                f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['ETag']}</ETag></Part>"
            )
        document += "</CompleteMultipartUpload>"
        answer, _ = self._client.expect("POST", path, {"uploadId": upload}, document.encode())
        if b"<Error>" in answer:
            raise Refused(f"Complete of {key}: {answer[:200]!r}")


class Reader(threading.Thread):
    """A client that reads any key at any time: whatever it gets must be whole."""

    def __init__(self, client: Client, keys: Sequence[str], seed: int) -> None:
        super().__init__(name="reader")
        self._client = client
        self._keys = keys
        self._chance = random.Random(seed)
        self.reads = 0
        self.problem = ""
        self.stopping = False

    def run(self) -> None:
        try:
            while not self.stopping:
                key = self._chance.choice(self._keys)
                status, body, _ = self._client.ask("GET", f"/{BUCKET}/{key}")
                self.reads += 1
                if status not in (200, 404):
                    self.problem = f"while others wrote, GET {key}: {status} {body[:400]!r}"
                elif status == 200 and not is_whole(body):
                    self.problem = f"GET {key}: a half object of {len(body)} bytes was readable"
        except Unacknowledged:
            pass
        finally:
            self._client.close()


class Crashes:
    """A data folder, the server on it, and what is known of its objects.

    :param folder: an empty folder for data and log.
    :param server: gunicorn or granian.
    :param writers: threads that write, each to its own keys.
    :param keys: keys of each writer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: str = "gunicorn",
        writers: int = 4,
        keys: int = 12,
        seed: int = 1,
        workers: int = 2,
    ) -> None:
        self.report = Report()
        self._chance = random.Random(seed)
        self.states = [
            {f"writer-{writer}/key-{number:02d}": State() for number in range(keys)}
            for writer in range(writers)
        ]
        self._data = folder / "data"
        self._port = free_port()
        self._signer = Signer(f"{LOOPBACK}:{self._port}", "CRASHKEY000000000001", "s" * 40)
        command = s3kit_command(
            data=self._data,
            port=self._port,
            server=server,
            access_key="CRASHKEY000000000001",
            secret_key="s" * 40,
            workers=workers,
            threads=8,
        )
        self._process = ServerProcess(command, self._port, folder / "server.log")

    def cycle(self) -> None:
        """Start, check what the last crash left, write, kill."""
        self._process.start()
        self.check()
        writers = [
            Writer(f"writer-{number}", self._client(), states, self._chance.getrandbits(32))
            for number, states in enumerate(self.states)
        ]
        everything = [key for states in self.states for key in states]
        reader = Reader(self._client(), everything, self._chance.getrandbits(32))
        threads: list[Writer | Reader] = [*writers, reader]
        for thread in threads:
            thread.start()
        time.sleep(self._chance.choice((0.02, 0.2, 0.6, 1.0)) * (0.5 + self._chance.random()))
        self._process.kill()
        for thread in threads:
            thread.stopping = True
            thread.join(TIMEOUT * 2)
            if thread.problem:
                self._problem(thread.problem)
        self.report.cycles += 1
        self.report.reads += reader.reads
        self.report.acknowledged += sum(writer.acknowledged for writer in writers)
        self.report.unacknowledged += sum(writer.unacknowledged for writer in writers)
        if not self.report.cycles % SWEEP_EVERY:
            self.sweep()

    def check(self) -> None:
        """Compare what the server shows with what it may show, and remember what it showed."""
        client = self._client()
        try:
            if not self.report.cycles:
                client.expect("PUT", f"/{BUCKET}")
            listed = self._listed(client)
            for states in self.states:
                for key, state in states.items():
                    self._check_key(client, key, state, listed.pop(key, None))
            for key in listed:
                self._problem(f"{key} is listed, but nobody wrote it")
        except (Refused, Unacknowledged) as error:
            self._problem(f"after a restart: {error}")
        finally:
            client.close()

    def _check_key(
        self, client: Client, key: str, state: State, listed: tuple[int, str] | None
    ) -> None:
        status, body, headers = client.ask("GET", f"/{BUCKET}/{key}")
        found: Digest = None
        if status == 200:
            found = hashlib.sha256(body).hexdigest()
            if (len(body), headers["ETag"].strip('"')) != listed:
                self._problem(f"{key}: the listing says {listed}, GET {headers['ETag']}")
        elif status != 404:
            self._problem(f"after a restart, GET {key}: {status} {body[:400]!r}")
            return
        elif listed is not None:
            self._problem(f"{key} is listed and cannot be read")
        if found not in state.allowed():
            whole = "whole" if found and is_whole(body) else "not whole"
            self._problem(
                f"{key}: {'nothing' if found is None else f'{len(body)} bytes, {whole}'}, "
                f"allowed were {sorted(map(str, state.allowed()))}"
            )
        if state.possible and found != state.certain:
            self.report.took_effect += 1
        state.certain = found
        state.possible.clear()

    @staticmethod
    def _listed(client: Client) -> dict[str, tuple[int, str]]:
        answer, _ = client.expect("GET", f"/{BUCKET}", {"list-type": "2"})
        text = answer.decode().replace("&quot;", '"').replace("&#34;", '"')
        return {
            key: (int(size), etag)
            for key, etag, size in re.findall(
                r'<Key>([^<]+)</Key>.*?<ETag>"([^"]+)"</ETag>.*?<Size>(\d+)</Size>', text
            )
        }

    def finish(self) -> None:
        """Check once more, sweep, and look for blobs that should not be left, or be missing."""
        self._process.start()
        self.check()
        self._process.stop()
        self.sweep()
        self._process.start()
        self.check()
        self._process.stop()

    def sweep(self) -> None:
        """Collect garbage and orphans of any age, then compare blobs with the index."""
        store = open_store_of(gather({"data": str(self._data)}, {}).config)
        try:
            # Later than every row's time, which is in milliseconds.
            time.sleep(0.01)
            self.report.collected += store.janitor.collect_garbage(grace_seconds=0)
            self.report.orphans += store.janitor.sweep_orphans(orphan_seconds=0)
            present = {blob for blob, _ in store.storages["default"].sweep()}
            with store.index.engine.connect() as connection:
                known = set(connection.scalars(select(contents.c.id).where(contents.c.parts == 0)))
                known |= set(connection.scalars(select(parts.c.blob)))
                waiting = connection.scalar(select(func.count()).select_from(garbage))
                uses = (
                    select(func.count())
                    .where(versions.c.content_id == contents.c.id)
                    .scalar_subquery()
                )
                wrong = connection.execute(
                    select(contents.c.id, contents.c.refs, uses).where(contents.c.refs != uses)
                ).all()
                sound = connection.exec_driver_sql("pragma integrity_check").scalar()
                broken = connection.exec_driver_sql("pragma foreign_key_check").all()
        finally:
            store.close()
        self.report.blobs = len(present)
        for blob in sorted(present - known):
            self._problem(f"blob {blob} is left and nothing points at it")
        for blob in sorted(known - present):
            self._problem(f"blob {blob} is missing though the index points at it")
        for content, refs, used in wrong:
            self._problem(f"content {content} counts {refs} references and has {used}")
        if waiting:
            self._problem(f"{waiting} rows of garbage are left")
        if sound != "ok" or broken:
            self._problem(f"the database is damaged: {sound} {broken}")

    def close(self) -> None:
        """Kill what still runs."""
        self._process.kill()

    def _client(self) -> Client:
        return Client(self._port, self._signer)

    def _problem(self, text: str) -> None:
        self.report.problems.append(f"cycle {self.report.cycles}: {text}")


def run_cycles(
    folder: Path,
    cycles: int,
    *,
    server: str = "gunicorn",
    seed: int = 1,
    progress: Callable[[Report], None] | None = None,
) -> Report:
    """Run so many crashes in an empty folder and report.

    :param progress: called after each cycle.
    """
    crashes = Crashes(folder, server=server, seed=seed)
    try:
        for _ in range(cycles):
            crashes.cycle()
            if progress is not None:
                progress(crashes.report)
        crashes.finish()
    finally:
        crashes.close()
    return crashes.report


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.kill9",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--server", default="gunicorn", choices=("gunicorn", "granian"))
    parser.add_argument("--log", type=Path, help="keep the server's log here when all is over")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(argv)
    print(f"seed {options.seed}")

    def progress(report: Report) -> None:
        if sys.stdout.isatty() or not report.cycles % 10:
            end = "" if sys.stdout.isatty() else "\n"
            print(f"\r{report.cycles}/{options.cycles}: {report}", end=end, flush=True)

    with tempfile.TemporaryDirectory(prefix="s3kit-kill9-") as folder:
        try:
            report = run_cycles(
                Path(folder),
                options.cycles,
                server=options.server,
                seed=options.seed,
                progress=progress,
            )
        finally:
            if options.log:
                shutil.copyfile(Path(folder) / "server.log", options.log)
    print(f"\n{report}")
    for problem in report.problems[:50]:
        print(f"  {problem}")
    return 1 if report.problems or report.cycles < options.cycles else 0


if __name__ == "__main__":
    sys.exit(main())
