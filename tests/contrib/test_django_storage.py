"""S3KitStorage: what Django's own tests ask of a storage, and django-storages on the same process.

The names of Django's tests (tests/file_storage/tests.py) that a test here answers for are in its
docstring.
"""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
import urllib.request
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from io import BytesIO
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.base import File
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from s3kit import ConfigError
from s3kit.errors import AccessDenied
from s3kit.errors import NoSuchBucket
from s3kit.signals import Event
from s3kit.signals import Veto
from s3kit.signals import before_object_created
from s3kit.signals import object_created
from s3kit.testing import LiveServer
from tests.contrib.django_project import configure

if not settings.configured:
    configure()

from django.core.files.storage import storages
from django.db import connection
from django.db import models

from s3kit_contrib.django import get_client
from s3kit_contrib.django import get_mounting
from s3kit_contrib.django.storage import S3KitStorage

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024
S3KIT = {"keys": {"AKIADJANGO": "a/secret+word"}, "public_endpoint": "https://example.com/s3"}


@pytest.fixture(autouse=True)
def s3kit() -> Iterator[None]:
    """An endpoint in memory for each test."""
    with override_settings(S3KIT=S3KIT):
        get_client().create_bucket("media")
        yield


@pytest.fixture(params=["", "some/folder"])
def storage(request: pytest.FixtureRequest) -> S3KitStorage:
    return S3KitStorage("media", request.param)


def names(bucket: str = "media") -> list[str]:
    return [entry.key for entry in get_client().list(bucket)]


# -- what Django's own tests check


def test_a_file_is_written_and_read_in_text_and_binary(storage: S3KitStorage) -> None:
    """test_file_access_options"""
    assert not storage.exists("storage_test")
    file = storage.open("storage_test", "w")
    file.write("storage contents ü")
    assert not storage.exists("storage_test")
    assert file.size == 19
    file.close()
    file.close()
    assert storage.exists("storage_test")
    with storage.open("storage_test", "r") as read:
        assert read.read() == "storage contents ü"
    with storage.open("storage_test", "wb") as written:
        written.write(b"other")
    with storage.open("storage_test") as read:
        assert read.read() == b"other"
    storage.delete("storage_test")
    assert not storage.exists("storage_test")
    for mode in ("a", "r+", "xb"):
        with pytest.raises(ValueError, match="as a whole"):
            storage.open("storage_test", mode)


def test_what_fails_while_it_is_written_is_not_stored(storage: S3KitStorage) -> None:
    def fail() -> None:
        with storage.open("half", "wb") as file:
            file.write(b"half of it")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert not storage.exists("half")


def test_what_is_not_there_is_file_not_found(storage: S3KitStorage) -> None:
    for ask in (storage.open, storage.size, storage.get_modified_time):
        with pytest.raises(FileNotFoundError, match="not-there"):
            ask("not-there")
    with pytest.raises(FileNotFoundError):
        storage.listdir("not-there")
    assert storage.listdir("") == ([], [])
    storage.delete("not-there")
    with pytest.raises(ValueError, match="name must be given"):
        storage.delete("")
    assert not storage.exists("")
    with pytest.raises(SuspiciousFileOperation):
        storage.open(".")


@pytest.mark.parametrize("use_tz", [True, False])
def test_the_time_of_a_file_is_aware_or_naive_as_django_says(
    storage: S3KitStorage, use_tz: bool
) -> None:
    """test_file_get_modified_time, test_file_get_created_time and their timezone twins"""
    with override_settings(USE_TZ=use_tz):
        name = storage.save("test.file", ContentFile("custom contents"))
        for moment in (storage.get_modified_time(name), storage.get_created_time(name)):
            assert (moment.tzinfo is not None) == use_tz
            if not use_tz:
                now = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
                assert abs(moment - now) < timedelta(seconds=60)
            else:
                assert abs(moment - datetime.now(UTC)) < timedelta(seconds=60)


def test_a_name_may_come_from_the_file(storage: S3KitStorage) -> None:
    """test_file_save_without_name, test_file_save_with_path, test_file_size"""
    file = ContentFile("custom contents")
    file.name = "test.file"
    assert storage.save(None, file) == "test.file"
    assert storage.save("path/to/test.file", ContentFile("more")) == "path/to/test.file"
    assert storage.size("path/to/test.file") == 4
    assert storage.exists("path/to/test.file")
    assert not storage.exists("path/to")
    assert storage.save("win\\dows.txt", ContentFile("")) == "win/dows.txt"


def test_a_name_that_is_taken_is_another_one(storage: S3KitStorage) -> None:
    """test_save_doesnt_close, FileSaveRaceConditionTest, test_duplicate_filename"""
    first = storage.save("tests/name.tar.gz", BytesIO(b"1"))
    file = ContentFile(b"2")
    second = storage.save("tests/name.tar.gz", file)
    assert first == "tests/name.tar.gz"
    assert second != first
    assert second.startswith("tests/name")
    assert not file.closed
    assert storage.open(first).read() == b"1"
    assert storage.open(second).read() == b"2"
    # Django's own: a long name is cut to fit.
    assert len(storage.save("n" * 50 + ".txt", ContentFile("x"), max_length=30)) == 30


def test_a_name_that_is_taken_meanwhile_still_fits(
    storage: S3KitStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other name must fit into the model's field as well."""
    real = storage._put

    def late(name: str, *arguments: Any, **named: Any) -> None:
        if not storage.exists("n" * 26 + ".txt"):
            get_client().put("media", storage._key("n" * 26 + ".txt"), b"somebody was faster")
        real(name, *arguments, **named)

    monkeypatch.setattr(storage, "_put", late)
    name = storage.save("n" * 26 + ".txt", ContentFile("x"), max_length=30)
    assert (len(name), storage.open(name).read()) == (30, b"x")
    # Without a limit there is none, also after one that had one.
    assert len(storage.save("n" * 26 + ".txt", ContentFile("x"))) > 30


def test_two_that_save_the_same_name_at_once_get_two_files(storage: S3KitStorage) -> None:
    """FileSaveRaceConditionTest.test_race_condition"""
    both = threading.Barrier(2, timeout=60)
    saved: list[str] = []

    class Slow(ContentFile):
        waited = False

        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            if not self.waited:
                self.waited = True
                both.wait()
            yield from super().chunks(chunk_size)

    def save() -> None:
        saved.append(storage.save("conflict", Slow(os.urandom(100_000))))

    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(saved)) == 2
    assert "conflict" in saved
    assert len(storage.listdir("")[1]) == 2


def test_a_storage_may_overwrite(storage: S3KitStorage) -> None:
    """OverwritingStorageTests"""
    over = S3KitStorage("media", storage.prefix, allow_overwrite=True)
    assert over.save("file", ContentFile(b"a longer content")) == "file"
    assert over.save("file", ContentFile(b"short")) == "file"
    assert over.open("file").read() == b"short"
    assert len(over.save("n" * 50 + ".txt", ContentFile("x"), max_length=30)) == 30


def test_a_folder_is_listed_without_what_lies_deeper(storage: S3KitStorage) -> None:
    """test_listdir"""
    for name in ("file1", "file 2 ü", "dir1/a", "dir1/sub/b", "dir2/c"):
        storage.save(name, ContentFile(name))
    folders, files = storage.listdir("")
    assert (set(folders), set(files)) == ({"dir1", "dir2"}, {"file1", "file 2 ü"})
    assert storage.listdir("dir1") == (["sub"], ["a"])
    assert storage.listdir("dir1/") == (["sub"], ["a"])
    assert storage.listdir("./dir1/../dir2") == ([], ["c"])


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc/passwd", "..\\x", "/"])
def test_no_name_leads_out_of_the_storage(storage: S3KitStorage, name: str) -> None:
    """test_file_storage_prevents_directory_traversal"""
    get_client().put("media", "x", b"outside")
    for ask in (
        lambda: storage.open(name),
        lambda: storage.open(name, "wb"),
        lambda: storage.exists(name),
        lambda: storage.delete(name),
        lambda: storage.listdir(name),
        lambda: storage.url(name),
        lambda: storage.size(name),
        lambda: storage.save(name, ContentFile("x")),
    ):
        with pytest.raises(SuspiciousFileOperation):
            ask()
    assert names() == ["x"]


def test_case_and_content_are_kept(storage: S3KitStorage) -> None:
    """test_file_storage_preserves_filename_case, test_stringio, ContentFileStorageTestCase"""
    assert storage.save("MiXeD.CaSe", ContentFile("x")) == "MiXeD.CaSe"
    assert storage.open(storage.save("text", StringIO("grün"))).read() == "grün".encode()
    assert storage.open(storage.save("bytes", ContentFile(b"\xff\x00"))).read() == b"\xff\x00"
    assert storage.open(storage.save("empty", ContentFile(b""))).read() == b""


def test_an_open_file_is_a_file_of_django_s(storage: S3KitStorage) -> None:
    """test_files_refuse_to_write_after_read ..., test_read_chunks"""
    data = b"".join(b"line %d\n" % number for number in range(300_000))
    storage.save("lines", ContentFile(data))
    file = storage.open("lines")
    assert isinstance(file, File)
    assert (file.name, file.size, file.closed) == ("lines", len(data), False)
    assert b"".join(file.chunks()) == data
    assert sum(1 for _ in file) == 300_000
    file.seek(-7, os.SEEK_END)
    assert file.read() == data[-7:]
    file.open()
    assert file.read(6) == b"line 0"
    file.close()
    assert file.closed
    with file.open() as again:
        assert again.readline() == b"line 0\n"
    with storage.open("lines.gz", "wb") as raw, gzip.open(raw, "wb") as packed:
        packed.write(data)
    with storage.open("lines.gz") as raw, gzip.open(raw) as unpacked:
        assert unpacked.read() == data


def test_a_changed_name_has_no_file_path(storage: S3KitStorage) -> None:
    with pytest.raises(NotImplementedError):
        storage.path("file")


def test_a_storage_can_be_written_into_a_migration_and_compared() -> None:
    """test_deconstruction"""
    made = S3KitStorage("media", "p", querystring_expire=60)
    path, arguments, options = made.deconstruct()  # type: ignore[attr-defined]
    assert path == "s3kit_contrib.django.storage.S3KitStorage"
    assert (arguments, options) == (("media", "p"), {"querystring_expire": 60})
    assert pickle.loads(pickle.dumps(made)).bucket == "media"


# -- what is ours


def test_type_and_parameters_are_stored_with_the_file() -> None:
    storage = S3KitStorage("media", object_parameters={"cache_control": "max-age=60"})
    for name, content, expected in (
        ("cat.jpg", ContentFile(b"x"), "image/jpeg"),
        ("page", SimpleUploadedFile("page", b"x", "text/html"), "text/html"),
        ("cats.tar.gz", ContentFile(b"x"), "application/gzip"),
        ("unknown", ContentFile(b"x"), "binary/octet-stream"),
    ):
        info = get_client().head("media", storage.save(name, content))
        assert (info.content_type, info.headers["cache-control"]) == (expected, "max-age=60")
    fixed = S3KitStorage("media", object_parameters={"content_type": "a/b"})
    assert get_client().head("media", fixed.save("dog.jpg", ContentFile(b""))).content_type == "a/b"


def test_a_saved_file_is_heard_and_may_be_forbidden(storage: S3KitStorage) -> None:
    heard: list[tuple[str, int]] = []

    def hear(bucket: str, *, event: Event) -> None:
        heard.append((event.key, event.size))

    def forbid(bucket: str, *, event: Event) -> None:
        raise Veto("No.")

    with object_created.connected_to(hear, sender="media"):
        storage.save("cat", ContentFile(b"meow"))
    assert heard == [(f"{storage.prefix}/cat".lstrip("/"), 4)]
    with before_object_created.connected_to(forbid, sender="media"):
        with pytest.raises(AccessDenied):
            storage.save("dog", ContentFile(b"woof"))
    assert not storage.exists("dog")


def test_a_bucket_that_is_not_there_is_an_error_or_made() -> None:
    strict = S3KitStorage("missing")
    for ask in (lambda: strict.exists("a"), lambda: strict.save("a", ContentFile("x"))):
        with pytest.raises(NoSuchBucket):
            ask()
    made = S3KitStorage("missing", create_bucket=True)
    assert not made.exists("a")
    made.delete("a")
    assert made.save("a", ContentFile("x")) == "a"
    assert get_client().exists("missing", "a")


def test_a_big_upload_is_stored_in_constant_memory(tmp_path: Path) -> None:
    class Endless(File):
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            for _ in range(48):
                yield bytes(MIB)

    folder = {"index": f"sqlite:///{tmp_path / 'i.db'}", "storages": {"default": str(tmp_path)}}
    with override_settings(S3KIT={**folder, "durability": "relaxed"}):
        storage = S3KitStorage("media", create_bucket=True)
        get_client()
        tracemalloc.start()
        try:
            storage.save("big", Endless(None, "big"))
            assert sum(len(block) for block in storage.open("big").chunks()) == 48 * MIB
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 16 * MIB


# -- URLs


def test_urls_are_presigned_published_or_plain(storage: S3KitStorage) -> None:
    """test_file_url, test_base_url"""
    prefix = f"/{storage.prefix}" if storage.prefix else ""
    url = storage.url("a b/ü+%.txt")
    assert url.startswith(f"https://example.com/s3/media{prefix}/a%20b/%C3%BC%2B%25.txt?")
    assert "X-Amz-Expires=3600" in url
    assert "X-Amz-Expires=60&" in storage.url("a", expire=60)
    brief = S3KitStorage("media", querystring_expire=timedelta(minutes=5), endpoint="http://e:1")
    assert brief.url("a").startswith("http://e:1/media/a?")
    assert "X-Amz-Expires=300" in brief.url("a")
    published = S3KitStorage("media", storage.prefix, base_url="https://cdn.example.com/m")
    assert published.url("a b/ü.txt") == "https://cdn.example.com/m/a%20b/%C3%BC.txt"
    public = S3KitStorage("media", storage.prefix, querystring_auth=False)
    assert public.url("a b") == f"https://example.com/s3/media{prefix}/a%20b"
    with override_settings(S3KIT={"at": "/files", "keys": {"AK": "secret"}}):
        assert public.url("a b?") == f"/files/media{prefix}/a%20b%3F"
        with pytest.raises(ConfigError, match="public_endpoint"):
            S3KitStorage("media", endpoint=None).url("a")
    with override_settings(S3KIT={"public_endpoint": "https://example.com"}):
        with pytest.raises(ConfigError, match="has no access key"):
            storage.url("a")
    with pytest.raises(ValueError, match="without a name"):
        storage.url("")


def live() -> LiveServer:
    """The project's S3, served where the settings say."""

    def not_found(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []

    return LiveServer(lambda *wsgi: get_mounting().mount(not_found)(*wsgi))


def test_a_presigned_url_works_from_outside_and_stores_too(storage: S3KitStorage) -> None:
    storage.save("a b/ü+%.txt", ContentFile(b"meow"))
    with live() as server:
        here = S3KitStorage("media", storage.prefix, endpoint=server.url + "/s3")
        parameters = {"response-content-disposition": 'attachment; filename="x.txt"'}
        url = here.url("a b/ü+%.txt", parameters)
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.read() == b"meow"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="x.txt"'
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(url.partition("?")[0], timeout=60)
        put = urllib.request.Request(here.url("new", http_method="PUT"), data=b"woof", method="PUT")
        with urllib.request.urlopen(put, timeout=60):
            pass
    assert storage.open("new").read() == b"woof"


# -- in a model


class Document(models.Model):
    """A model with a file in the default storage."""

    file = models.FileField(upload_to="docs")

    class Meta:
        app_label = "s3kit"


@pytest.fixture
def table() -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Document)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Document)
    connection.close()


@pytest.mark.usefixtures("table")
def test_a_file_field_saves_reads_and_deletes_through_it() -> None:
    """FileFieldStorageTests"""
    assert isinstance(storages["default"], S3KitStorage)
    document = Document()
    document.file.save("django_test.txt", ContentFile(b"content"))
    assert names() == ["of-models/docs/django_test.txt"]
    found = Document.objects.get()
    assert (found.file.name, found.file.size) == ("docs/django_test.txt", 7)
    assert found.file.read(3) == b"con"
    assert found.file.read() == b"tent"
    found.file.close()
    with found.file.open() as file:
        assert list(file.chunks(chunk_size=4)) == [b"cont", b"ent"]
    twin = Document(file=SimpleUploadedFile("django_test.txt", b"twin"))
    twin.save()
    assert twin.file.name != found.file.name
    assert found.file.url.startswith("https://example.com/s3/media/of-models/docs/django_test.txt")
    found.file.delete()
    assert names() == [f"of-models/{twin.file.name}"]


def test_static_files_with_hashed_names_are_collected_into_it(tmp_path: Path) -> None:
    from django.contrib.staticfiles.storage import ManifestFilesMixin

    class Manifest(ManifestFilesMixin, S3KitStorage):  # type: ignore[misc]
        pass

    (tmp_path / "cat.png").write_bytes(b"cat")
    (tmp_path / "page.css").write_text("a { background: url(cat.png) }")
    with override_settings(STATIC_URL="/static/", DEBUG=False):
        storage = Manifest("media", "static", base_url="/static/", allow_overwrite=True)
        source = storages.create_storage(
            {
                "BACKEND": "django.core.files.storage.FileSystemStorage",
                "OPTIONS": {"location": str(tmp_path)},
            }
        )
        paths = {}
        for name in ("cat.png", "page.css"):
            with source.open(name) as file:
                storage.save(name, file)
            paths[name] = (source, name)
        assert all(done for _, _, done in storage.post_process(paths))
        hashed = storage.stored_name("cat.png")
        assert storage.exists(hashed)
        css = storage.open(storage.stored_name("page.css")).read().decode()
        assert hashed in css
        assert (
            Manifest("media", "static", base_url="/static/").url("cat.png") == f"/static/{hashed}"
        )


# -- plain settings, and django-storages


def test_plain_settings_are_enough() -> None:
    code = """
from django.conf import settings
settings.configure(S3KIT={})
from django.core.files.base import ContentFile
from s3kit_contrib.django.storage import S3KitStorage
storage = S3KitStorage("media", create_bucket=True)
print(storage.save("a/b.txt", ContentFile("hello")), storage.open("a/b.txt", "r").read())
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "contrib")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.stdout, done.stderr) == ("a/b.txt hello\n", "")


def use_django_storages(storage: Any) -> None:
    data = os.urandom(9 * MIB)
    name = storage.save("dir/a b+ü%.bin", ContentFile(data))
    assert name == "dir/a b+ü%.bin"
    assert get_client().get("media", "in/dir/a b+ü%.bin") == data
    assert storage.exists(name)
    assert storage.size(name) == len(data)
    assert storage.listdir("dir") == ([], ["a b+ü%.bin"])
    assert storage.get_modified_time(name).tzinfo is not None
    with storage.open(name) as file:
        assert file.read() == data
    with storage.open("written.txt", "wb") as file:
        file.write(b"written")
    assert get_client().get("media", "in/written.txt") == b"written"
    assert not storage.exists("not-there")
    with pytest.raises(FileNotFoundError):
        storage.open("not-there")
    storage.delete(name)
    assert names() == ["in/written.txt"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")
def test_django_storages_works_in_this_process_without_a_socket() -> None:
    from s3kit_contrib.django.django_storages import S3Storage

    storage = S3Storage(bucket_name="media", location="in")
    use_django_storages(storage)
    assert storage.url("written.txt").startswith("https://example.com/s3/media/in/written.txt?")
    assert storage.endpoint_url == "https://example.com/s3"


def test_django_storages_is_told_where_s3_is_mounted_or_has_no_key() -> None:
    from s3kit_contrib.django.django_storages import S3Storage

    storage = S3Storage(bucket_name="media", endpoint_url="http://localhost/elsewhere")
    with pytest.raises(ConfigError, match="S3 is not mounted at localhost/elsewhere/media/a"):
        storage.exists("a")
    with override_settings(S3KIT={}):
        with pytest.raises(ConfigError, match="has no key to sign with"):
            S3Storage(bucket_name="media")


def test_django_storages_takes_the_keys_that_it_is_given() -> None:
    from s3kit_contrib.django.django_storages import S3Storage

    own = {"access_key": "AKIAOWN", "secret_key": "own"}
    keys = {"AKIADJANGO": "a/secret+word", "AKIAOWN": "own"}
    with override_settings(S3KIT={"keys": keys}):
        get_client().create_bucket("media")
        storage = S3Storage(bucket_name="media", **own)
        storage.save("a", ContentFile(b"own"))
        assert "AKIAOWN" in storage.url("a")
        assert "AKIADJANGO" in S3Storage(bucket_name="media").url("a")
    # Keys from elsewhere, such as a key_ring of the project's, are none of S3KIT's.
    with override_settings(S3KIT={}):
        assert "AKIAOWN" in S3Storage(bucket_name="media", **own).url("a")
    assert S3Storage(bucket_name="media", session_profile="p").access_key is None


def test_django_storages_own_class_works_against_a_live_server() -> None:
    """The recipe that the module's docstring gives."""
    from storages.backends.s3 import S3Storage

    with live() as server:
        storage = S3Storage(
            bucket_name="media",
            location="in",
            endpoint_url=server.url + "/s3",
            region_name="us-east-1",
            addressing_style="path",
            signature_version="s3v4",
            access_key="AKIADJANGO",
            secret_key="a/secret+word",
        )
        use_django_storages(storage)
        with urllib.request.urlopen(storage.url("written.txt"), timeout=60) as answer:
            assert answer.read() == b"written"
        storage.connection.meta.client.close()


def test_without_django_storages_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["storages"] = None
from django.conf import settings
settings.configure(S3KIT={})
try:
    import s3kit_contrib.django.django_storages
except ImportError as error:
    print(error)
"""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "contrib")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert "pip install 's3kit[django-storages]'" in done.stdout
