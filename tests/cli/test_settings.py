"""Options before variables before the file; what DATA provides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s3kit.cli.serve import announce
from s3kit.cli.settings import Settings
from s3kit.cli.settings import gather
from s3kit.config import Config
from s3kit.config import ConfigError


def test_without_anything_the_index_and_blobs_lie_in_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = gather({"data": None, "base_hosts": ()}, {})
    assert settings.data == tmp_path / "data"
    assert settings.config.index == f"sqlite:///{tmp_path}/data/s3kit.db"
    assert settings.config.storages == {"default": f"{tmp_path}/data/blobs"}
    assert not settings.has_keys


def test_memory_needs_no_folder() -> None:
    settings = gather({"data": "memory"}, {})
    assert settings.data is None
    assert settings.config.in_memory


def test_an_option_counts_before_a_variable_and_a_variable_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text(
        'region = "file"\nbase_hosts = ["file"]\n[serve]\nport = 1\nworkers = 1\nthreads = 1\n'
    )
    settings = gather(
        {"config": str(path), "region": "option", "threads": 3, "base_hosts": ()},
        {"S3KIT_REGION": "variable", "S3KIT_PORT": "2", "S3KIT_THREADS": "2"},
    )
    assert settings.config.region == "option"
    assert settings.config.base_hosts == ("file",)
    assert settings.serve == {"port": "2", "workers": 1, "threads": 3}


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text('region = "file"\n')
    assert gather({}, {"S3KIT_CONFIG": str(path)}).config.region == "file"


def test_an_option_and_a_variable_may_make_a_pair() -> None:
    settings = gather({"access_key": "AK"}, {"S3KIT_SECRET_KEY": "s"})
    assert settings.config.keys == {"AK": "s"}
    assert settings.has_keys


def test_the_key_of_the_options_stands_beside_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text('[keys]\nONE = "1"\n')
    settings = gather({"config": str(path), "access_key": "TWO", "secret_key": "2"}, {})
    assert settings.config.keys == {"ONE": "1", "TWO": "2"}


def test_an_accounts_file_stands_beside_the_default_accounts_key(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text('[[account]]\nid = "b"\nkeys = [{access_key = "B", secret_key = "s"}]\n')
    settings = gather({"accounts": str(path), "access_key": "A", "secret_key": "t"}, {})
    owners = {key.access_key: key.account.id for key in settings.config.signing_keys()}
    assert owners == {"A": "default", "B": "b"}
    config = tmp_path / "s3kit.toml"
    config.write_text(f'[serve]\naccounts = "{path}"\n')
    assert len(gather({"config": str(config)}, {}).config.accounts) == 1


def test_a_placed_storage_keeps_the_default_in_data(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text('[storages]\ncold = "/cold"\n[place]\n"b-*" = "cold"\n')
    settings = gather({"config": str(path), "data": str(tmp_path)}, {})
    assert settings.config.storages == {"default": f"{tmp_path}/blobs", "cold": "/cold"}


def test_no_folder_is_made_where_nothing_would_lie_in_it() -> None:
    variables = {
        "S3KIT_INDEX": "postgresql+psycopg://db/s3kit",
        "S3KIT_STORAGES": '{"default": "s3://bucket"}',
        "S3KIT_KEYS": '{"AK": "s"}',
    }
    assert gather({}, variables).data is None
    assert gather({"data": "/srv"}, variables).data == Path("/srv")


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        ({"access_key": "AK"}, "", "The secret key is missing"),
        ({"secret_key": "s"}, "", "The access key is missing"),
        ({}, "port = 5\n", '"port" belongs in the table [serve]'),
        ({}, "serve = 5\n", "serve must be a table"),
        ({}, "[serve]\nprot = 5\n", 'unknown [serve] setting "prot". Did you mean "port"?'),
        ({}, "[serve]\ndata = 5\n", "data must be text"),
        ({}, "regoin = 'x'\n", 'Did you mean "region"?'),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, options: dict[str, Any], text: str, message: str
) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        gather({"config": str(path), **options}, {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "https", "told"),
    [
        ("filebase", "", "is sent on to https"),
        ("backblaze", "", "is refused"),
        ("backblaze", "off", ""),
        ("aws", "", ""),
    ],
)
def test_serve_says_what_becomes_of_plain_http(
    capsys: pytest.CaptureFixture[str], profile: str, https: Any, told: str
) -> None:
    """FB-04, BB-01: whoever tries such a profile without TLS is not left to wonder."""
    settings = Settings(Config(profile=profile, https=https), None, {}, has_keys=True)
    announce(settings, None, "http://127.0.0.1:9000", "gunicorn", 1)
    printed = capsys.readouterr().out
    assert ("plain HTTP" in printed) is bool(told)
    assert told in printed
    announce(settings, None, "https://127.0.0.1:9000", "gunicorn", 1)
    assert "plain HTTP" not in capsys.readouterr().out
