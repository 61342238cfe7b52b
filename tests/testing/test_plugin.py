"""The pytest plug-in, run by real pytest processes, and its fixtures at work with real boto3."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from typing import Any

import boto3
import botocore.exceptions
import pytest

from s3kit.errors import AccessDenied
from s3kit.testing import session as sessions
from s3kit.testing.session import TestingSession
from tests.client import Client
from tests.client import Signer

if TYPE_CHECKING:
    from s3kit.testing.faults import FaultPlan
    from s3kit.testing.plugin import S3Server

ROOT = Path(__file__).parent.parent.parent

# Where s3kit was installed by pip it is loaded already, which must be no fault.
pytest_plugins = ["pytester", "s3kit.testing.plugin"]

USUAL = [
    "-p",
    "s3kit.testing.plugin",
    "-W",
    "error",
    "--strict-markers",
    "--strict-config",
    "-p",
    "no:cacheprovider",
]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run pytest in a process of its own over the files that were made."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run_pytest(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(*USUAL, *arguments, timeout=240)

    return run_pytest


# -- what a user's pytest run costs


def test_the_plug_in_is_an_entry_point_that_may_also_be_named() -> None:
    """Under another name than the module's, ``-p s3kit.testing.plugin`` would load it twice."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    named = settings["options.entry_points"]["pytest11"].strip()
    assert named == "s3kit.testing.plugin = s3kit.testing.plugin"


def test_importing_the_plug_in_imports_nothing_heavy() -> None:
    code = "import s3kit.testing.plugin, sys; print(*sys.modules, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert "s3kit" in loaded
    heavy = {"sqlalchemy", "werkzeug", "fsspec", "boto3", "botocore", "defusedxml", "sqlite3"}
    assert loaded & heavy == set()
    ours = {name for name in result.stdout.split() if name.partition(".")[0] == "s3kit"}
    assert ours == {"s3kit", "s3kit.testing", "s3kit.testing.plugin"}


def test_a_run_that_uses_no_fixture_loads_nothing_of_s3kit(
    pytester: pytest.Pytester, run: Any
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert "s3kit.app" not in sys.modules
            assert "sqlalchemy" not in sys.modules
        """
    )
    run().assert_outcomes(passed=1)


COUNTING = """
    import collections
    import sys
    import threading

    import boto3.session
    import pytest
    import s3kit.app
    import s3kit.index.session
    import s3kit.testing.live_server
    import s3kit.testing.session
    from sqlalchemy.sql.schema import MetaData

    counts = collections.Counter()

    def count(owner, name, label):
        before = getattr(owner, name)

        def counted(*arguments, **options):
            counts[label] += 1
            return before(*arguments, **options)

        setattr(owner, name, counted)

    count(s3kit.app.S3App, "__init__", "apps")
    count(s3kit.testing.live_server.LiveServer, "__init__", "servers")
    count(MetaData, "create_all", "schemas")
    count(s3kit.index.session.Index, "write", "writes")
    count(s3kit.testing.session, "empty", "emptied")
    count(boto3.session.Session, "__init__", "sessions")
    count(threading.Thread, "start", "threads")

    def pytest_sessionfinish():
        print("COUNTS", dict(counts))
"""


def test_a_test_in_memory_costs_one_transaction_and_makes_no_app_server_or_thread(
    pytester: pytest.Pytester, run: Any
) -> None:
    """Counted, for time is another's on a busy machine: 3 ms with a boto3 client, 0.3 without."""
    pytester.makeconftest(COUNTING)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(25))
        def test_nothing_is_asked(number, s3kit_client):
            pass
        """
    )
    result = run("-s")
    result.assert_outcomes(passed=25)
    (line,) = (line for line in result.outlines if "COUNTS" in line)
    counts = eval(line.partition("COUNTS ")[2])
    assert counts == {
        "apps": 1,
        "schemas": 1,
        "servers": 1,
        "sessions": 1,
        # The server's own; a request would have one more.
        "threads": 1,
        "emptied": 24,
        "writes": 24,
    }


# -- state


ALONE = """
    import pytest

    @pytest.mark.parametrize("number", range(10))
    def test_the_endpoint_is_empty(number, s3kit_client, s3kit_server, s3kit_app, tmp_path):
        assert s3kit_client.list_buckets()["Buckets"] == []
        # A name of the test before: nothing of it may be remembered.
        with pytest.raises(s3kit_client.exceptions.NoSuchBucket):
            s3kit_client.get_object(Bucket="same", Key="key")
        s3kit_client.create_bucket(Bucket="same")
        assert "Contents" not in s3kit_client.list_objects_v2(Bucket="same")
        assert "Uploads" not in s3kit_client.list_multipart_uploads(Bucket="same")
        s3kit_client.put_object(Bucket="same", Key="key", Body=b"%d" % number)
        s3kit_client.put_object(Bucket="same", Key="large", Body=bytes(100_000))
        s3kit_client.create_multipart_upload(Bucket="same", Key="unfinished")
        assert s3kit_client.get_object(Bucket="same", Key="key")["Body"].read() == b"%d" % number
        assert sum(1 for _ in s3kit_app.store.storages["default"].sweep()) == 1
        with (tmp_path.parent / "urls").open("a") as file:
            print(s3kit_server.url, file=file)
"""


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_every_test_finds_the_endpoint_empty(
    pytester: pytest.Pytester, run: Any, storage: str
) -> None:
    pytester.makeini(f"[pytest]\ns3kit_storage = {storage}")
    pytester.makepyfile(ALONE)
    run("--basetemp=base").assert_outcomes(passed=10)
    urls = (pytester.path / "base" / "urls").read_text().split()
    assert len(urls) == 10
    assert len(set(urls)) == 1
    assert bool(list((pytester.path / "base").glob("s3kit*/index.db"))) == (storage == "disk")


def test_under_xdist_every_process_has_an_endpoint_of_its_own(
    pytester: pytest.Pytester, run: Any
) -> None:
    pytester.makepyfile(ALONE)
    run("-n", "2", "--basetemp=base").assert_outcomes(passed=10)
    files = sorted((pytester.path / "base").glob("popen-gw*/urls"))
    urls = [set(file.read_text().split()) for file in files]
    assert [len(each) for each in urls] == [1, 1]
    assert urls[0] != urls[1]


def test_a_marker_chooses_disk_and_other_settings(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makepyfile(
        """
        import pytest
        from s3kit.blobs.local import LocalBlobStore
        from s3kit.blobs.memory import MemoryBlobStore

        pytestmark = pytest.mark.s3kit(region="eu-west-7")

        @pytest.mark.s3kit(storage="disk", max_object_size=3, keys={"AKOTHER": "other-secret"})
        def test_small(s3kit_client, s3kit_app, s3kit_server):
            assert isinstance(s3kit_app.store.storages["default"], LocalBlobStore)
            assert s3kit_client.meta.region_name == s3kit_app.config.region == "eu-west-7"
            s3kit_client.create_bucket(Bucket="small")
            with pytest.raises(s3kit_client.exceptions.ClientError, match="EntityTooLarge"):
                s3kit_client.put_object(Bucket="small", Key="k", Body=b"four")
            other = s3kit_server.client(
                aws_access_key_id="AKOTHER", aws_secret_access_key="other-secret"
            )
            assert [each["Name"] for each in other.list_buckets()["Buckets"]] == ["small"]

        def test_large(s3kit_client, s3kit_app):
            assert isinstance(s3kit_app.store.storages["default"], MemoryBlobStore)
            assert s3kit_client.list_buckets()["Buckets"] == []
            s3kit_client.create_bucket(Bucket="large")
            s3kit_client.put_object(Bucket="large", Key="k", Body=b"four")

        @pytest.mark.parametrize("s3kit_storage", ["memory", "disk"])
        def test_both(s3kit_storage, s3kit_app):
            kind = {"memory": MemoryBlobStore, "disk": LocalBlobStore}[s3kit_storage]
            assert isinstance(s3kit_app.store.storages["default"], kind)
        """
    )
    run().assert_outcomes(passed=4)


def test_a_wrong_marker_is_refused_with_the_reason(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.s3kit(storage="tape")
        def test_storage(s3kit_app): pass

        @pytest.mark.s3kit("disk")
        def test_nameless(s3kit_app): pass

        @pytest.mark.s3kit(max_objekt_size=3)
        def test_misspelt(s3kit_app): pass

        @pytest.mark.s3kit(index="postgresql://localhost/production")
        def test_dangerous(s3kit_app): pass
        """
    )
    result = run()
    result.assert_outcomes(errors=4)
    text = result.stdout.str()
    assert 'The s3kit storage is "memory" or "disk", not "tape".' in text
    assert "s3kit(storage='disk')" in text
    assert 'Did you mean "max_object_size"?' in text
    assert "The s3kit marker cannot set index: each test removes all that it finds." in text


def test_without_boto3_the_client_is_skipped_and_the_extra_is_named(
    pytester: pytest.Pytester, run: Any
) -> None:
    pytester.makeconftest("import sys; sys.modules['boto3'] = None")
    pytester.makepyfile(
        """
        import urllib.request
        import urllib.error
        import pytest

        def test_client(s3kit_client):
            raise AssertionError

        def test_server(s3kit_server):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(s3kit_server.url, timeout=60).close()
        """
    )
    result = run("-rs", "-W", "ignore::ResourceWarning")
    result.assert_outcomes(skipped=1, passed=1)
    assert "pip install 's3kit[pytest]'" in result.stdout.str()


def test_what_one_test_breaks_the_next_one_does_not_find(s3kit_app: Any, tmp_path: Path) -> None:
    session = TestingSession(lambda: tmp_path)
    try:
        first = session.app("memory", {})
        assert session.app("memory", {}) is first
        first.close()
        second = session.app("memory", {})
        assert second is not first
        assert (
            Client(second, Signer(sessions.ACCESS_KEY, sessions.SECRET_KEY)).put("/bucket").status
            == 200
        )
    finally:
        session.close()


def test_a_request_that_outlives_its_test_cannot_touch_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "WAIT_SECONDS", 0.1)
    session = TestingSession(lambda: tmp_path)
    going_on = threading.Event()
    arrived = threading.Event()

    class Stalled:
        def read(self, size: int) -> bytes:
            arrived.set()
            going_on.wait(30)
            return b"x" * size

    try:
        first = session.app("memory", {})
        client = Client(session.switchboard, Signer(sessions.ACCESS_KEY, sessions.SECRET_KEY))
        assert client.put("/bucket").status == 200
        answers: list[Any] = []

        def upload() -> None:
            headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "Content-Length": "5"}
            answers.append(client.request("PUT", "/bucket/late", "", headers, Stalled()))

        thread = threading.Thread(target=upload)
        thread.start()
        assert arrived.wait(30)
        second = session.app("memory", {})
        assert second is not first
        assert client.put("/bucket").status == 200
        going_on.set()
        thread.join(30)
        assert answers[0].status == 200
        assert client.get("/bucket/late").code == "NoSuchKey"
        assert session.switchboard.quiet(1)
        assert session.app("memory", {}) is second
    finally:
        going_on.set()
        session.close()


# -- the fixtures


def test_the_server_tells_its_address_and_its_keys(s3kit_server: S3Server) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3kit_server.url,
        aws_access_key_id=s3kit_server.access_key,
        aws_secret_access_key=s3kit_server.secret_key,
        region_name=s3kit_server.region,
    )
    try:
        client.create_bucket(Bucket="photos")
        assert s3kit_server.url.startswith("http://127.0.0.1:")
        s3kit_server.reset()
        assert client.list_buckets()["Buckets"] == []
    finally:
        client.close()


def test_other_programs_find_the_endpoint_by_variables(s3kit_server: S3Server) -> None:
    code = "import boto3; c = boto3.client('s3'); c.create_bucket(Bucket='from-outside'); c.close()"
    environment = {**os.environ, **s3kit_server.environment, "NO_PROXY": "*"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    client = s3kit_server.client()
    assert client.head_bucket(Bucket="from-outside")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_developers_own_aws_settings_change_nothing(
    s3kit_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert s3kit_server.client().list_buckets()["Buckets"] == []


def test_the_direct_client_and_the_server_are_one_endpoint(
    s3kit_direct: Any, s3kit_client: Any
) -> None:
    s3kit_direct.create_bucket("photos")
    s3kit_direct.put("photos", "cat.jpg", b"meow")
    answer = s3kit_client.get_object(Bucket="photos", Key="cat.jpg")
    assert answer["Body"].read() == b"meow"
    s3kit_client.put_object(Bucket="photos", Key="dog.jpg", Body=b"woof")
    assert s3kit_direct.get("photos", "dog.jpg") == b"woof"


# -- faults


@pytest.fixture
def bucket(s3kit_client: Any) -> str:
    s3kit_client.create_bucket(Bucket="photos")
    return "photos"


@pytest.fixture
def hasty(s3kit_server: S3Server) -> Any:
    """A client that tries once."""
    return s3kit_server.client(
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
    )


@pytest.fixture
def count() -> Iterator[Any]:
    """How often a client has really sent something."""
    clients = []

    def watch(client: Any) -> list[str]:
        sent: list[str] = []
        handler = lambda request, **_: sent.append(request.method)  # noqa: E731
        client.meta.events.register("before-send.s3", handler)
        clients.append((client, handler))
        return sent

    yield watch
    for client, handler in clients:
        client.meta.events.unregister("before-send.s3", handler)


def test_boto3_repeats_what_a_busy_endpoint_refused(
    s3kit_client: Any, bucket: str, s3kit_faults: FaultPlan, count: Any
) -> None:
    busy = s3kit_faults.slow_down(times=2, operation="PutObject", bucket="photos", key="*.jpg")
    sent = count(s3kit_client)
    s3kit_client.put_object(Bucket=bucket, Key="notes.txt", Body=b"passes")
    assert (busy.hits, len(sent)) == (0, 1)
    s3kit_client.put_object(Bucket=bucket, Key="cat.jpg", Body=b"meow" * 50_000)
    assert (busy.hits, len(sent)) == (2, 4)
    assert s3kit_faults.pending == []
    answer = s3kit_client.get_object(Bucket=bucket, Key="cat.jpg")
    assert answer["Body"].read() == b"meow" * 50_000


def test_a_client_that_does_not_repeat_sees_slow_down_and_nothing_is_stored(
    hasty: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    s3kit_faults.slow_down(operation="PutObject")
    with pytest.raises(hasty.exceptions.ClientError, match="SlowDown") as caught:
        hasty.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "Contents" not in hasty.list_objects_v2(Bucket=bucket)
    hasty.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_listings_and_heads_fail_too_and_other_operations_do_not(
    hasty: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    s3kit_faults.fail(AccessDenied(), None, operation=["ListObjectsV2", "HeadObject"])
    hasty.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(3):
        with pytest.raises(hasty.exceptions.ClientError, match="AccessDenied"):
            hasty.list_objects_v2(Bucket=bucket)
    with pytest.raises(hasty.exceptions.ClientError, match="403"):
        hasty.head_object(Bucket=bucket, Key="k")
    assert hasty.list_objects(Bucket=bucket)["Contents"][0]["Key"] == "k"


def start_upload(client: Any, bucket: str, key: str) -> dict[str, Any]:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = client.upload_part(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 1000
    )
    return {
        "Bucket": bucket,
        "Key": key,
        "UploadId": upload,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    }


@pytest.mark.parametrize("way", ["slow_down", "inside_ok", "lose_answer"])
def test_boto3_completes_a_multipart_upload_through_every_fault(
    s3kit_client: Any, bucket: str, s3kit_faults: FaultPlan, count: Any, way: str
) -> None:
    """Inside a 200: S3's way when assembling fails after the answer has begun."""
    request = start_upload(s3kit_client, bucket, "film")
    name = "CompleteMultipartUpload"
    if way == "slow_down":
        s3kit_faults.slow_down(operation=name)
    elif way == "inside_ok":
        s3kit_faults.fail(operation=name, inside_ok=True)
    else:
        s3kit_faults.lose_answer(operation=name)
    sent = count(s3kit_client)
    answer = s3kit_client.complete_multipart_upload(**request)
    assert len(sent) == 2
    assert s3kit_faults.pending == []
    assert s3kit_client.head_object(Bucket=bucket, Key="film")["ETag"] == answer["ETag"]


def test_a_lost_acknowledgement_is_a_write_that_was_done(
    hasty: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    lost = s3kit_faults.lose_answer(operation="PutObject")
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        hasty.put_object(Bucket=bucket, Key="k", Body=b"done")
    assert lost.hits == 1
    assert hasty.get_object(Bucket=bucket, Key="k")["Body"].read() == b"done"


def test_a_repeated_write_meets_its_own_lost_one(
    s3kit_client: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    """What such a plan is for: with a condition, the repetition is refused by its own success."""
    s3kit_faults.lose_answer(operation="PutObject")
    with pytest.raises(s3kit_client.exceptions.ClientError, match="PreconditionFailed"):
        s3kit_client.put_object(Bucket=bucket, Key="lock", Body=b"mine", IfNoneMatch="*")
    assert s3kit_client.get_object(Bucket=bucket, Key="lock")["Body"].read() == b"mine"


def test_a_cut_answer_is_noticed_and_a_download_begins_again(
    s3kit_client: Any, bucket: str, s3kit_faults: FaultPlan, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    s3kit_client.put_object(Bucket=bucket, Key="k", Body=content)
    cut = s3kit_faults.cut_answer(100_000, times=2, operation="GetObject")
    body = s3kit_client.get_object(Bucket=bucket, Key="k")["Body"]
    broken = (botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)
    with pytest.raises(broken):
        body.read()
    body.close()
    assert cut.hits == 1
    s3kit_client.download_file(bucket, "k", str(tmp_path / "k"))
    assert cut.hits == 2
    assert (tmp_path / "k").read_bytes() == content


def test_a_cut_upload_stores_nothing_and_is_repeated(
    s3kit_client: Any, hasty: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    content = os.urandom(300_000)
    cut = s3kit_faults.cut_upload(100_000, times=1, operation="PutObject")
    with pytest.raises(botocore.exceptions.HTTPClientError):
        hasty.put_object(Bucket=bucket, Key="k", Body=content)
    assert cut.hits == 1
    assert "Contents" not in hasty.list_objects_v2(Bucket=bucket)
    again = s3kit_faults.cut_upload(100_000, operation="PutObject")
    s3kit_client.put_object(Bucket=bucket, Key="k", Body=content)
    assert again.hits == 1
    assert s3kit_client.get_object(Bucket=bucket, Key="k")["Body"].read() == content


def test_a_slow_answer_runs_into_the_clients_timeout(
    s3kit_server: S3Server,
    hasty: Any,
    bucket: str,
    s3kit_faults: FaultPlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    given_up = threading.Event()

    def sleep(seconds: float) -> None:
        # On a busy machine a second may be over before the client begins to wait.
        slept.append(seconds)
        assert seconds != 1.0 or given_up.wait(60)

    monkeypatch.setattr("s3kit.testing.faults.time", SimpleNamespace(sleep=sleep))
    client = s3kit_server.client(
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=0.2)
    )
    hasty.put_object(Bucket=bucket, Key="k", Body=bytes(3000))
    s3kit_faults.slow(times=1, first_byte=1.0, operation="HeadObject")
    try:
        with pytest.raises(botocore.exceptions.ReadTimeoutError):
            client.head_object(Bucket=bucket, Key="k")
    finally:
        given_up.set()
    hasty.head_object(Bucket=bucket, Key="k")
    assert [seconds for seconds in slept if seconds] == [1.0]
    # Each piece comes in time, so that all of them do.
    slow = s3kit_faults.slow(chunk_delay=0.1, chunk=500, operation="GetObject")
    assert len(hasty.get_object(Bucket=bucket, Key="k")["Body"].read()) == 3000
    assert slow.hits == 1
    assert [seconds for seconds in slept if seconds] == [1.0, *[0.1] * 6]


def test_a_slow_answer_is_slow(s3kit_direct: Any, s3kit_app: Any, s3kit_faults: FaultPlan) -> None:
    s3kit_direct.create_bucket("photos")
    s3kit_direct.put("photos", "k", bytes(3000))
    s3kit_faults.slow(first_byte=0.1, chunk_delay=0.05, chunk=1000)
    client = Client(s3kit_faults.wrap(s3kit_app), Signer(sessions.ACCESS_KEY, sessions.SECRET_KEY))
    began = time.monotonic()
    assert client.get("/photos/k").body == bytes(3000)
    assert time.monotonic() - began >= 0.25


def test_requests_may_pass_before_a_fault_strikes(
    hasty: Any, bucket: str, s3kit_faults: FaultPlan
) -> None:
    fault = s3kit_faults.slow_down(operation="PutObject", skip=2)
    for number in range(2):
        hasty.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    assert fault.pending
    with pytest.raises(hasty.exceptions.ClientError, match="SlowDown"):
        hasty.put_object(Bucket=bucket, Key="k2", Body=b"x")
    assert not fault.pending


def test_a_misspelt_operation_is_refused(s3kit_faults: FaultPlan) -> None:
    with pytest.raises(ValueError, match="Did you mean 'PutObject'"):
        s3kit_faults.slow_down(operation="PutObjekt")
    assert s3kit_faults.planned == []


def test_faults_end_with_their_test(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makepyfile(
        """
        def test_plan(s3kit_faults, s3kit_client):
            s3kit_faults.slow_down(times=None)

        def test_unharmed(s3kit_client):
            s3kit_client.list_buckets()
        """
    )
    run().assert_outcomes(passed=2)


def test_a_plan_works_in_front_of_a_mounted_app_without_a_socket(
    s3kit_app: Any, s3kit_faults: FaultPlan
) -> None:
    from s3kit import mount

    faulty = mount(lambda environ, start: [], s3kit_faults.wrap(s3kit_app), at="/s3")
    client = Client(faulty, Signer(sessions.ACCESS_KEY, sessions.SECRET_KEY))
    assert client.put("/s3/photos").status == 200
    s3kit_faults.slow_down(operation="PutObject", bucket="photos", key="cat.jpg")
    s3kit_faults.lose_answer(operation="PutObject")
    answer = client.put("/s3/photos/cat.jpg", b"meow")
    assert (answer.status, answer.code) == (503, "SlowDown")
    with pytest.raises(ConnectionError):
        client.put("/s3/photos/cat.jpg", b"meow")
    assert client.get("/s3/photos/cat.jpg").body == b"meow"
    s3kit_faults.fail(operation="PutObject", inside_ok=True)
    answer = client.put("/s3/photos/cat.jpg", b"woof")
    assert (answer.status, answer.code) == (200, "InternalError")
    assert client.get("/s3/photos/cat.jpg").body == b"meow"
