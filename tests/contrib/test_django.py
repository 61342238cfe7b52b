"""s3kit_contrib.django: S3 in a Django project, under runserver, gunicorn and ASGI."""

from __future__ import annotations

import contextlib
import http.client
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contrib.hosts import GUNICORN
from tests.contrib.hosts import S3KIT
from tests.contrib.hosts import Host
from tests.contrib.hosts import copy_with_aws
from tests.contrib.hosts import pass_the_hosts_limits
from tests.contrib.hosts import run
from tests.contrib.hosts import running
from tests.contrib.hosts import tell_raw_targets_apart
from tests.contrib.hosts import upload_in_chunks
from tests.waiting import eventually

MANAGE = """
import os
import sys
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
execute_from_command_line(sys.argv)
"""

SETTINGS = f"""
DEBUG = True
SECRET_KEY = "of these tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
INSTALLED_APPS = ["s3kit_contrib.django", "django.contrib.staticfiles"]
MIDDLEWARE = ["project.urls.count", "django.middleware.csrf.CsrfViewMiddleware"]
STATIC_URL = "/static/"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
S3KIT = {S3KIT}
S3KIT["hosts"] = ["s3.test", "*.s3.test"]
"""

URLS = """
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from s3kit_contrib.django import get_client

seen = 0

def count(get_response):
    def middleware(request):
        global seen
        seen += 1
        return get_response(request)
    return middleware

def home(request):
    return HttpResponse(str(seen))

@csrf_exempt
def form(request):
    return HttpResponse(str(len(request.body)))

def read(request, bucket, key):
    return HttpResponse(get_client().get(bucket, key))

urlpatterns = [path("", home), path("form", form), path("read/<bucket>/<key>", read)]
"""

SGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from s3kit_contrib.django.{kind} import get_{kind}_application

application = get_{kind}_application()
"""

COMMANDS = {
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
    "gunicorn": (*GUNICORN, "project.wsgi"),
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", "project.asgi:application"),
}


def make_project(folder: Path) -> Path:
    """What ``django-admin startproject`` makes, with S3 put in as the documentation says."""
    (folder / "project").mkdir()
    (folder / "manage.py").write_text(MANAGE)
    for name, text in (
        ("__init__", ""),
        ("settings", SETTINGS),
        ("urls", URLS),
        ("wsgi", SGI.format(kind="wsgi")),
        ("asgi", SGI.format(kind="asgi")),
    ):
        (folder / "project" / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.fixture(scope="module", params=COMMANDS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = make_project(tmp_path_factory.mktemp(request.param))
    with running(folder, *COMMANDS[request.param]) as found:
        yield found


@pytest.fixture(scope="module")
def runserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = make_project(tmp_path_factory.mktemp("runserver"))
    with running(folder, *COMMANDS["runserver"]) as found:
        yield found


def test_aws_s3_cp_goes_up_and_down(host: Host, tmp_path: Path) -> None:
    copy_with_aws(host, tmp_path)


def test_every_spelling_of_a_path_that_was_signed_is_understood(host: Host) -> None:
    """IU-20."""
    tell_raw_targets_apart(host)


def test_djangos_own_limit_on_bodies_touches_no_s3_body(host: Host) -> None:
    pass_the_hosts_limits(host)


def test_djangos_middleware_sees_no_s3_request_and_a_view_reads_without_http(host: Host) -> None:
    client = host.client()
    client.create_bucket(Bucket="views")
    client.put_object(Bucket="views", Key="key", Body=b"from S3")
    before = int(host.request("GET", "/")[2])
    client.list_buckets()
    assert int(host.request("GET", "/")[2]) == before + 1
    assert host.request("GET", "/read/views/key")[2] == b"from S3"


# runserver


# A change before its first look at the files is none to the reloader.
TELLING_RELOADER = """
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.utils.autoreload": {"handlers": ["console"], "level": "DEBUG"}},
}
"""


def test_runserver_reloads_and_still_gives_the_raw_target(project: Path) -> None:
    (project / "project" / "settings.py").write_text(SETTINGS + TELLING_RELOADER)
    with running(
        project, "manage.py", "runserver", "127.0.0.1:{port}", PYTHONUNBUFFERED="1"
    ) as host:
        client = host.client()
        client.create_bucket(Bucket="kept")
        assert host.request("PUT", "/s3/kept/b%2Fa", b"before")[0] == 200
        urls = project / "project" / "urls.py"
        eventually(
            lambda: "project/urls.py first seen" in host.log.read_text(),
            "nobody looks at them",
        )
        urls.write_text(URLS.replace("str(seen)", "'reloaded'"))

        def reloaded() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return host.request("GET", "/")[2] == b"reloaded"
            return False

        eventually(reloaded, host.log.read_text())
        status, _, body = host.request("GET", "/s3/kept/b%2Fa")
        assert (status, body) == (200, b"before")
        # The parent that watches the files opens nothing and serves nothing.
        assert host.log.read_text().count("S3 at /s3, s3.test, *.s3.test") == 2


def test_a_bucket_may_be_named_like_the_static_files(runserver: Host) -> None:
    runserver.client().create_bucket(Bucket="static")
    with contextlib.closing(runserver.connect()) as connection:
        connection.request("GET", "/static/key", headers={"Host": "s3.test"})
        assert b"<Code>AccessDenied</Code>" in connection.getresponse().read()
    with contextlib.closing(runserver.connect()) as connection:
        connection.request("GET", "/static/key")
        assert connection.getresponse().status == 404


def test_runserver_takes_a_body_in_chunks_whole_and_not_a_broken_one(runserver: Host) -> None:
    upload_in_chunks(runserver)


def test_runserver_invents_no_content_type_and_tells_the_length_of_nothing(runserver: Host) -> None:
    client = runserver.client()
    client.create_bucket(Bucket="heads")
    assert runserver.request("PUT", "/s3/heads/empty")[0] == 200
    status, headers, _ = runserver.request("HEAD", "/s3/heads/empty")
    assert (status, headers["content-length"]) == (200, "0")
    assert headers["content-type"] == "binary/octet-stream"


def test_metadata_may_have_underscores_in_its_names(runserver: Host) -> None:
    client = runserver.client()
    client.create_bucket(Bucket="metadata")
    client.put_object(Bucket="metadata", Key="key", Metadata={"a_b": "c"})
    assert client.head_object(Bucket="metadata", Key="key")["Metadata"] in (
        {"a_b": "c"},
        {"a-b": "c"},
    )


def test_a_refused_upload_leaves_the_connection_usable(runserver: Host) -> None:
    runserver.client().create_bucket(Bucket="refused")
    with contextlib.closing(runserver.connect()) as connection:
        connection.request("PUT", "/s3/refused/key", b"x" * 5_000_000)
        answer = connection.getresponse()
        assert (answer.status, b"AccessDenied" in answer.read()) == (403, True)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200


def test_runservers_log_holds_no_signature(runserver: Host) -> None:
    url = runserver.client().generate_presigned_url(
        "get_object", Params={"Bucket": "x", "Key": "logged"}
    )
    with contextlib.closing(runserver.connect()) as connection:
        connection.request("GET", url.removeprefix(runserver.url))
        connection.getresponse().read()
    (signature,) = re.findall("X-Amz-Signature=([0-9a-f]{64})", url)
    eventually(lambda: "logged" in runserver.log.read_text(), "the request is in no log")
    assert signature not in runserver.log.read_text()
    assert "X-Amz-Signature=..." in runserver.log.read_text()


def test_runserver_warns_of_a_wsgi_module_that_mounts_nothing(project: Path) -> None:
    wsgi = project / "project" / "wsgi.py"
    wsgi.write_text(wsgi.read_text().replace("s3kit_contrib.django.wsgi", "django.core.wsgi"))
    with running(project, *COMMANDS["runserver"]) as host:
        # S3 is there all the same.
        host.client().create_bucket(Bucket="there")
        eventually(lambda: "does not mount S3" in host.log.read_text(), host.log.read_text())


# manage.py s3kit


def test_manage_s3kit_runs_on_the_projects_settings(project: Path) -> None:
    script = "from s3kit_contrib.django import get_client; get_client().create_bucket('first')"
    done = run(project, "manage.py", "shell", "-c", script)
    assert done.returncode == 0, done.stderr
    done = run(project, "manage.py", "s3kit", "gc", "--orphans", "--settings=project.settings")
    assert (done.returncode, done.stdout) == (0, "Removed 0 blobs.\nSwept 0 orphans.\n"), done
    assert "upgrade-index" in run(project, "manage.py", "s3kit", "--help").stdout
    assert run(project, "manage.py", "s3kit", "serve").returncode == 2
    script = (
        "from django.core.management import call_command; call_command('s3kit', 'gc', '--orphans')"
    )
    done = run(project, "manage.py", "shell", "-c", script)
    assert done.stdout.endswith("Removed 0 blobs.\nSwept 0 orphans.\n"), done


def test_what_a_command_refuses_has_its_exit_code(project: Path) -> None:
    done = run(project, "manage.py", "s3kit", "gc")
    assert (done.returncode, "No index" in done.stderr) == (2, True), done.stderr
    script = "from django.core.management import call_command; call_command('s3kit', 'gc')"
    done = run(project, "manage.py", "shell", "-c", script)
    assert "CommandError: No index" in done.stderr


def test_an_index_of_another_version_stops_the_server_but_not_the_command_that_mends_it(
    project: Path,
) -> None:
    run(project, "-c", "import project.wsgi")
    with contextlib.closing(sqlite3.connect(project / "s3kit.db")) as database:
        database.execute("UPDATE s3kit_schema_version SET version_num = '0001'")
        database.commit()
    done = run(project, "-c", "import project.wsgi")
    assert (done.returncode, "upgrade-index" in done.stderr) == (1, True), done.stderr
    assert run(project, "manage.py", "s3kit", "upgrade-index", "--help").returncode == 0


# Checks


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("", "no issues"),
        ("del S3KIT", "s3kit.E001) settings.S3KIT is missing"),
        ("S3KIT = 3", "s3kit.E001) settings.S3KIT: S3KIT must be a mapping"),
        ("S3KIT['region_name'] = 'x'", 'Did you mean "region"'),
        ("S3KIT['at'] = 'objects'", "s3kit.E001) settings.S3KIT: at='objects' must be a path"),
        ("DEBUG = False; del S3KIT['index']", "s3kit.W001"),
        ("STATIC_URL = '/s3/static/'", "s3kit.W002"),
        ("INSTALLED_APPS.reverse()", "s3kit.W003"),
    ],
)
def test_the_checks_of_a_project(project: Path, change: str, found: str) -> None:
    settings = project / "project" / "settings.py"
    settings.write_text(SETTINGS + change + "\n")
    done = run(project, "manage.py", "check")
    assert found in done.stdout + done.stderr
    # A check looks at the settings; it opens nothing.
    assert not (project / "s3kit.db").exists()


def test_a_test_may_override_the_settings(project: Path) -> None:
    (project / "tests.py").write_text(
        "from django.test import SimpleTestCase, override_settings\n"
        "from s3kit_contrib.django import get_client\n"
        "class Tests(SimpleTestCase):\n"
        "    def test_one(self):\n"
        "        for _ in range(2):\n"
        "            with override_settings(S3KIT={}):\n"
        "                assert list(get_client().buckets()) == []\n"
        "                get_client().create_bucket('here')\n"
    )
    done = run(project, "manage.py", "test")
    assert "OK" in done.stderr, done.stderr
    assert not (project / "s3kit.db").exists()


def test_without_django_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "django.py").write_text("raise ImportError('no django')")
    done = run(tmp_path, "-c", "import sys; sys.path.insert(0, '.'); import s3kit_contrib.django")
    assert "pip install 's3kit[django]'" in done.stderr
