"""The compose files: what they name exists, and means what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3kit.cli.main import cli
from s3kit.cli.servers import GRACE_SECONDS
from s3kit.cli.settings import gather
from s3kit.config import environment_values
from tests.deploy.conftest import DEPLOY
from tests.deploy.conftest import ROOT
from tests.deploy.container import parse

FILES = sorted(DEPLOY.glob("compose*.yaml"))

# https://github.com/compose-spec/compose-spec/blob/main/05-services.md, what is used here.
OF_A_FILE = {"name", "services", "volumes"}
OF_A_SERVICE = {
    *("build", "image", "ports", "environment", "volumes", "restart", "stop_grace_period"),
    *("read_only", "tmpfs", "cap_drop", "security_opt", "depends_on", "healthcheck", "command"),
}

SECRETS = {
    "S3KIT_DATABASE_PASSWORD": "letters1",
    "S3KIT_ROOT_ACCESS_KEY": "AKIAROOT",
    "S3KIT_ROOT_SECRET_KEY": "root-secret",
}


def substitute(text: str, variables: dict[str, str]) -> str:
    """As compose does: ``${NAME}`` and ``${NAME:?message}``, which must be there."""

    def value(found: re.Match[str]) -> str:
        name, message = found.group(1), found.group(2)
        assert name in variables or not message, f"{name} {message}"
        return variables[name]

    return re.sub(r"\$\{(\w+)(?::\?([^}]*))?\}", value, text)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(substitute(path.read_text(), SECRETS))
    return document


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_both_ways_are_there() -> None:
    assert [path.name for path in FILES] == ["compose.postgresql.yaml", "compose.yaml"]


def test_only_known_words_are_used_and_what_they_name_is_there(document: dict[str, Any]) -> None:
    assert document.keys() <= OF_A_FILE
    for service in document["services"].values():
        assert service.keys() <= OF_A_SERVICE
        for volume in service["volumes"]:
            assert volume.split(":")[0] in document["volumes"]
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in document["services"][needed]


def test_the_endpoint_is_that_of_the_dockerfile(document: dict[str, Any]) -> None:
    service = document["services"]["s3kit"]
    steps = {step.name: step for step in parse((ROOT / "Dockerfile").read_text())}
    assert (DEPLOY / service["build"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    (port,) = service["ports"]
    # Nobody from elsewhere, before somebody has said so.
    assert port == f"127.0.0.1:9000:{steps['EXPOSE'].text}"
    assert f"data:{steps['VOLUME'].text}" in service["volumes"]
    assert seconds(service["stop_grace_period"]) > GRACE_SECONDS


def test_every_variable_is_a_setting_that_works(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = document["services"]["s3kit"]
    environment = {name: str(value) for name, value in service["environment"].items()}
    assert all(name.startswith("S3KIT_") for name in environment)
    assert environment_values(environment)
    settings = gather({"data": "/data", "host": "0.0.0.0"}, environment)
    config = settings.config
    assert config.storages["default"] == "/data/blobs"
    if "postgresql" in document["services"]:
        database = document["services"]["postgresql"]["environment"]
        assert config.index == (
            f"postgresql+psycopg://{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
            f"@postgresql/{database['POSTGRES_DB']}"
        )
        # Not each container its own.
        assert dict(config.keys) == {"AKIAROOT": "root-secret"}
    else:
        assert config.index == "sqlite:////data/s3kit.db"
        assert not settings.has_keys


def test_a_secret_that_is_not_set_is_asked_for() -> None:
    text = (DEPLOY / "compose.postgresql.yaml").read_text()
    for name in SECRETS:
        assert f"${{{name}:?" in text
        with pytest.raises(AssertionError, match="must be set"):
            substitute(text, {other: "x" for other in SECRETS if other != name})


def test_commands_in_the_comments_are_commands() -> None:
    found = set()
    for path in (*FILES, DEPLOY / "s3kit.service", ROOT / "Dockerfile"):
        found |= set(
            re.findall(
                r"bin/s3kit (\w+) |exec s3kit s3kit (\w+) |-t s3kit (\w+) ", path.read_text()
            )
        )
        found |= set(re.findall(r"s3kit ([a-z-]+) --(?:data|help)", path.read_text()))
    names = {name for each in found for name in (each if isinstance(each, tuple) else (each,))}
    assert names - {""} == {"serve", "scrub"} <= set(cli.commands)
