"""s3kit_contrib.flask: S3 in a Flask app, as ``flask run`` and gunicorn serve it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from s3kit import Config
from s3kit import ConfigError
from s3kit.errors import NoSuchKey
from s3kit.signals import object_created
from s3kit_contrib.flask import S3Kit
from tests.contrib.hosts import GUNICORN
from tests.contrib.hosts import S3KIT
from tests.contrib.hosts import Host
from tests.contrib.hosts import copy_with_aws
from tests.contrib.hosts import pass_the_hosts_limits
from tests.contrib.hosts import run
from tests.contrib.hosts import running
from tests.contrib.hosts import tell_raw_targets_apart

APP = f"""
from flask import Flask, request
from s3kit_contrib.flask import S3Kit

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1000
app.config["S3KIT"] = {S3KIT}
S3Kit(app)

@app.before_request
def count():
    app.config["SEEN"] = app.config.get("SEEN", 0) + 1

@app.get("/")
def home():
    return str(app.config["SEEN"])

@app.post("/form")
def form():
    return str(len(request.form["a"]))

@app.get("/read/<bucket>/<key>")
def read(bucket, key):
    return app.s3.get(bucket, key)
"""

COMMANDS = {
    "flask-run": ("-m", "flask", "run", "--port", "{port}"),
    "gunicorn": (*GUNICORN, "app:app"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "app.py").write_text(APP)
    with running(folder, *COMMANDS[request.param]) as found:
        yield found


def test_aws_s3_cp_goes_up_and_down(host: Host, tmp_path: Path) -> None:
    copy_with_aws(host, tmp_path)


def test_every_spelling_of_a_path_that_was_signed_is_understood(host: Host) -> None:
    """IU-20."""
    tell_raw_targets_apart(host)


def test_flasks_own_limit_on_bodies_touches_no_s3_body(host: Host) -> None:
    pass_the_hosts_limits(host)


def test_flask_sees_no_s3_request_and_a_view_reads_without_http(host: Host) -> None:
    client = host.client()
    client.create_bucket(Bucket="views")
    client.put_object(Bucket="views", Key="key", Body=b"from S3")
    before = int(host.request("GET", "/")[2])
    client.list_buckets()
    assert int(host.request("GET", "/")[2]) == before + 1
    assert host.request("GET", "/read/views/key")[2] == b"from S3"


# In this process


def make_app(**settings: Any) -> Flask:
    app = Flask(__name__)
    app.config["S3KIT"] = settings
    return app


def test_an_extension_is_made_first_and_the_app_later() -> None:
    s3kit = S3Kit()
    app = make_app(at="/objects")
    s3kit.init_app(app)
    client: Any = app.s3  # type: ignore[attr-defined]
    heard: list[str] = []
    with object_created.connected_to(
        lambda bucket, event: heard.append(event.key), sender="photos"
    ):
        client.create_bucket("photos")
        client.put("photos", "cat.txt", b"cat")
    assert heard == ["cat.txt"]
    assert client.get("photos", "cat.txt") == b"cat"
    with pytest.raises(NoSuchKey):
        client.get("photos", "dog.txt")
    with app.app_context():
        assert s3kit.client().exists("photos", "cat.txt")
        assert s3kit.s3 is app.extensions["s3kit"].s3
    # Anonymous, so S3 refuses; but it is S3 that does.
    answer = app.test_client().get("/objects/photos/cat.txt")
    assert (answer.status_code, b"<Code>AccessDenied</Code>" in answer.data) == (403, True)
    assert app.test_client().get("/s3/photos/cat.txt").status_code == 404
    app.extensions["s3kit"].close()


def test_hosts_name_buckets_without_a_word_more() -> None:
    app = make_app(at="", hosts=["s3.test", "*.s3.test"], keys={"AKIA": "secret"})
    S3Kit(app)
    app.s3.create_bucket("photos")  # type: ignore[attr-defined]
    answer = app.test_client().get("/", headers={"Host": "photos.s3.test"})
    assert (answer.status_code, b"<Code>AccessDenied</Code>" in answer.data) == (403, True)
    answer = app.test_client().get("/", headers={"Host": "nothing.s3.test"})
    assert b"<Code>NoSuchBucket</Code>" in answer.data
    assert app.test_client().get("/s3").status_code == 404
    app.extensions["s3kit"].close()


def test_arguments_count_before_the_apps_settings() -> None:
    app = make_app(at="/one", region="eu-west-1")
    S3Kit(app, config=Config(region="eu-west-2"), at="/two", hosts=["s3.test"])
    mounting = app.extensions["s3kit"]
    assert (mounting.at, mounting.hosts) == ("/two", ("s3.test",))
    assert mounting.config.region == "eu-west-2"
    mounting.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"storage": {}}, 'Did you mean "storages"'),
        ({"at": "s3"}, "must be a path"),
        ({"at": ""}, "Give at="),
        ({"hosts": "s3.test"}, "must be a list"),
        ({"hosts": ["http://s3.test"]}, "without a port"),
    ],
)
def test_wrong_settings_are_met_when_the_app_is_made(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        S3Kit(make_app(**settings))


def test_an_app_has_one_s3kit() -> None:
    app = make_app()
    S3Kit(app)
    with pytest.raises(RuntimeError, match="already"):
        S3Kit(app)
    app.extensions["s3kit"].close()


def test_two_apps_of_one_extension_have_a_store_each() -> None:
    s3kit = S3Kit()
    one, two = make_app(), make_app()
    s3kit.init_app(one)
    s3kit.init_app(two)
    one.s3.create_bucket("only-here")  # type: ignore[attr-defined]
    assert list(two.s3.buckets()) == []  # type: ignore[attr-defined]
    for app in (one, two):
        app.extensions["s3kit"].close()


# The commands


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_flask_s3kit_runs_on_the_apps_settings(project: Path) -> None:
    done = run(project, "-c", "import app; app.app.s3.create_bucket('first')")
    assert done.returncode == 0, done.stderr
    done = run(project, "-m", "flask", "s3kit", "gc", "--orphans")
    assert (done.returncode, done.stdout) == (0, "Removed 0 blobs.\nSwept 0 orphans.\n"), done
    shown = run(project, "-m", "flask", "s3kit", "--help").stdout
    assert "upgrade-index" in shown
    assert "serve" not in shown
    assert "--data" not in run(project, "-m", "flask", "s3kit", "gc", "--help").stdout


def test_a_command_that_needs_no_store_opens_none(project: Path) -> None:
    done = run(project, "-m", "flask", "routes")
    assert "/form" in done.stdout
    assert not (project / "s3kit.db").exists()


def test_an_index_of_another_version_stops_the_server_but_not_the_command_that_mends_it(
    project: Path,
) -> None:
    run(project, "-c", "import app")
    with sqlite3.connect(project / "s3kit.db") as database:
        database.execute("UPDATE s3kit_schema_version SET version_num = '0001'")
    database.close()
    done = run(project, "-c", "import app")
    assert (done.returncode, "upgrade-index" in done.stderr) == (1, True), done.stderr
    done = run(project, "-m", "flask", "s3kit", "gc")
    assert (done.returncode, "upgrade-index" in done.stderr) == (2, True), done.stderr
    # Reaching the migration is enough here: tests/index/test_schema.py shows what it does.
    done = run(project, "-m", "flask", "s3kit", "upgrade-index", "--help")
    assert done.returncode == 0


def test_without_flask_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "flask.py").write_text("raise ImportError('no flask')")
    done = run(tmp_path, "-c", "import sys; sys.path.insert(0, '.'); import s3kit_contrib.flask")
    assert "pip install 's3kit[flask]'" in done.stderr


def test_a_website_has_its_own_host() -> None:
    host = Flask("host")
    settings = {"keys": {"AK": "secret"}, "website_hosts": ["*.web.test"], "hosts": ["*.s3.test"]}
    S3Kit(host, config=settings)
    host.extensions["s3kit"].client().create_bucket("pages")
    answer = host.test_client().get("/", headers={"Host": "pages.web.test"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert b"NoSuchWebsiteConfiguration" in answer.data
    answer = host.test_client().get("/", headers={"Host": "pages.s3.test"})
    assert (answer.status_code, answer.mimetype) == (403, "application/xml")
    host.extensions["s3kit"].close()
