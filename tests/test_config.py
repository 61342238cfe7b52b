"""Config: from a mapping, a TOML file and the environment."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from s3kit.config import Config
from s3kit.config import ConfigError
from s3kit.config import environment_values
from s3kit.config import read_accounts


def test_defaults_are_an_endpoint_in_memory() -> None:
    config = Config()
    assert config.in_memory
    assert config.region == "us-east-1"
    assert config.signing_keys() == ()


def test_files_and_databases_are_not_in_memory() -> None:
    assert not Config(storages={"default": "/srv/s3"}, index="sqlite:////srv/i.db").in_memory
    assert Config(storages={"default": "/srv/s3"}).in_memory
    assert Config(
        storages={"default": {"url": "memory://x"}}, index="sqlite:////srv/i.db"
    ).in_memory


def scoped(scope: Any) -> dict[str, Any]:
    """An account with a key of this scope."""
    return {"id": "x", "keys": [{"access_key": "A", "secret_key": "t", "scope": scope}]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"storage": {}}, 'Unknown setting "storage". Did you mean "storages"?'),
        ({"base_host": ["a.b"]}, 'Did you mean "base_hosts"?'),
        ({"zzz": 1}, 'Unknown setting "zzz". Known: account_hosts, accounts, authorize, base'),
        ({"region": 5}, "region must be text, not int."),
        ({"pin_region": "yes"}, "pin_region must be true or false, not str."),
        ({"pool_size": True}, "pool_size must be a whole number, not bool."),
        ({"pool_size": 0}, "pool_size must be at least 1."),
        ({"plans": {"free": {"kyes": 5}}}, 'plans["free"]: unknown setting "kyes". Did you mean'),
        ({"plans": {"free": {"keys": -1}}}, 'plans["free"]: keys must be a number, or "any".'),
        ({"plans": {"free": {"bytes": True}}}, 'plans["free"]: bytes must be a number'),
        ({"plans": {"free": {"s3": 1}}}, 'plans["free"]: s3 must be true or false.'),
        ({"plans": {"": {}}}, "a plan's name has up to 64"),
        ({"plans": {"free": {}}, "accounts": [{"id": "a", "plan": "fre"}]}, 'Did you mean "free"?'),
        ({"accounts": [{"id": "a", "plan": ["x"]}]}, "There are no plans."),
        ({"key_prefix": "cs"}, 'key_prefix "cs" must be up to 8 capital letters'),
        ({"key_prefix": "ASIA"}, "key_prefix must not be ASIA"),
        ({"inline_threshold": -1}, "inline_threshold must not be negative."),
        ({"grace_seconds": 0}, "grace_seconds must be at least 60"),
        ({"grace_seconds": -1}, "grace_seconds must be at least 60"),
        ({"orphan_seconds": 3599}, "orphan_seconds must be at least 3600"),
        ({"inline_threshold": 2**20 + 1}, "inline_threshold must not be above 1048576"),
        ({"base_hosts": "s3.example.com"}, "base_hosts must be a list of texts, not str."),
        ({"base_hosts": ["http://s3/"]}, "is no host name"),
        ({"website_hosts": ["*"]}, "is neither"),
        ({"website_hosts": ["a/*.b"]}, "is neither"),
        ({"base_hosts": ["S3.test"], "website_hosts": ["*.s3.test"]}, "is in base_hosts too"),
        ({"bucket_names": "acount"}, 'bucket_names is "acount". Did you mean "account"?'),
        ({"account_hosts": {"*.acme.test": "acme"}}, "is no host name such as acme.example.com"),
        ({"account_hosts": {"acme.test": ""}}, "must be the id of an account"),
        ({"account_hosts": {"acme.test": 5}}, "must be the id of an account"),
        ({"keys": [1]}, "keys must be a table, not list."),
        ({"keys": {"AK": ""}}, "keys must map each access key to its secret key"),
        ({"durability": "fulll"}, 'durability is "fulll". Did you mean "full"?'),
        ({"profile": "asw"}, 'No profile "asw". Did you mean "aws"?'),
        ({"storages": {"cold": "/x"}}, 'storages must name one "default"'),
        (
            {"storages": {"default": {"uri": "/x"}}},
            'storages["default"]: unknown setting "uri". Did you mean "url"?',
        ),
        ({"storages": {"default": {"options": {}}}}, 'needs either "url" or "use"'),
        ({"storages": {"default": {"url": "/x", "use": "a:B"}}}, 'needs either "url" or "use"'),
        ({"storages": {"default": 3}}, 'storages["default"] must be a table, not int.'),
        (
            {"storages": {"default": "/x", "cold": "/y"}, "place": {"b-*": "clod"}},
            'place["b-*"] names the storage "clod", which is not in storages. Did you mean "cold"?',
        ),
        (
            {"storages": {"default": {"url": "/x", "read_only": True}}},
            'storages["default"] must not be read_only',
        ),
        (
            {
                "storages": {"default": "/x", "cold": {"url": "/y", "read_only": True}},
                "place": {"b-*": "cold"},
            },
            'place["b-*"] names the storage "cold", which is read_only',
        ),
        (
            {"storages": {"default": "/x", "cold": {"url": "/y", "read_only": "yes"}}},
            'storages["cold"]: read_only must be true or false, not str.',
        ),
        (
            {"storages": {"default": "/x", "cold": "/y"}, "storage_classes": {"GLACIAL": "cold"}},
            'storage_classes: S3 has no class "GLACIAL". Known: DEEP_ARCHIVE, ',
        ),
        (
            {"storages": {"default": "/x", "cold": "/y"}, "storage_classes": {"GLACIER": "clod"}},
            'storage_classes["GLACIER"] names the storage "clod", which is not in storages. Did',
        ),
        (
            {
                "storages": {"default": "/x", "cold": {"url": "/y", "read_only": True}},
                "storage_classes": {"GLACIER": "cold"},
            },
            'storage_classes["GLACIER"] names the storage "cold", which is read_only',
        ),
        ({"lifecycle_day_seconds": 0}, "lifecycle_day_seconds must be at least 1"),
        ({"smallest_transition": -1}, "smallest_transition must not be negative"),
        ({"trusted_proxies": ["10.0.0.0/99"]}, '"10.0.0.0/99" is no address or network'),
        ({"public_prefix": "s3"}, 'public_prefix "s3" must start with "/".'),
        ({"accounts": [{"name": "x"}]}, 'accounts, entry 1 needs an "id".'),
        ({"accounts": [{"id": "x"}, {"id": "x"}]}, 'the id "x" is there twice'),
        ({"accounts": [{"id": "x", "mail": "y"}]}, 'Did you mean "email"?'),
        (
            {"accounts": [{"id": "x", "keys": [{"access_key": "A"}]}]},
            "each key needs an access_key and a secret_key",
        ),
        (
            {
                "keys": {"A": "s"},
                "accounts": [{"id": "x", "keys": [{"access_key": "A", "secret_key": "t"}]}],
            },
            'the access key "A" is there twice',
        ),
        (
            {"accounts": [scoped({"path": ["photos/a/"]})]},
            'accounts, entry 1, A, scope: a scope has no "path". Did you mean "paths"?',
        ),
        (
            {"accounts": [scoped({"paths": ["Photos"]})]},
            'the path "Photos" must begin with the name of a bucket',
        ),
        (
            {"accounts": [scoped({"byte_budget": 1000})]},
            "byte_budget is counted for keys in the database only",
        ),
    ],
)
def test_a_mistake_names_the_setting_and_the_remedy(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "cold",
    [
        "{}/o",
        "{}/x/../o/",
        "file://{}/o",
        "file://{}/%6f",
        {"url": "{}/o", "read_only": True},
        "{}/link",
        "~/o",
        "o",
    ],
)
def test_one_folder_under_two_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "o")
    if isinstance(cold, str):
        cold = cold.format(tmp_path)
    else:
        cold = {**cold, "url": cold["url"].format(tmp_path)}
    with pytest.raises(ConfigError, match='"default" and "cold" are the same place'):
        Config(storages={"default": f"{tmp_path}/o", "cold": cold})


def test_one_url_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match='"a" and "b" are the same place'):
        Config(storages={"default": "/x", "a": "s3://b/p", "b": {"url": "s3://b/p/"}})


def test_storages_that_only_look_alike_are_two() -> None:
    there, here = ({"endpoint_url": f"http://{name}"} for name in ("there", "here"))
    Config(
        storages={
            "default": "memory://",
            "more": "memory://",
            "folder": "/x",
            "below": "/x/y",
            "there": {"url": "s3://b", "options": there},
            "here": {"url": "s3://b", "options": here},
            "own": {"use": "acme:Tape"},
            "own2": {"use": "acme:Tape"},
        }
    )


def test_lists_become_tuples() -> None:
    config = Config.from_mapping({"base_hosts": ["s3.example.com"], "plugins": ["a", "b"]})
    assert config.base_hosts == ("s3.example.com",)
    assert config.plugins == ("a", "b")


def test_secrets_do_not_show_in_repr() -> None:
    config = Config(
        keys={"AK": "hush-1"},
        accounts=[{"id": "b", "keys": [{"access_key": "B", "secret_key": "hush-2"}]}],
        index="postgresql+psycopg://user:hush-3@db/s3kit",
        storages={"default": {"url": "s3://x", "options": {"secret": "hush-4"}}},
    )
    assert "hush" not in repr(config)
    assert "hush" not in repr(config.signing_keys())


def test_keys_belong_to_the_default_account_and_accounts_have_their_own() -> None:
    config = Config(
        keys={"AK": "s1"},
        accounts=[
            {
                "id": "b",
                "name": "Beth",
                "email": "b@example.com",
                "keys": [{"access_key": "B", "secret_key": "s2", "session_token": "tok"}],
            }
        ],
    )
    first, second = config.signing_keys()
    assert (first.access_key, first.secret_key, first.account.id) == ("AK", "s1", "default")
    assert (second.access_key, second.account.display_name) == ("B", "Beth")
    assert second.session_token == "tok"


def test_the_default_account_may_be_named_in_the_accounts() -> None:
    config = Config(keys={"AK": "s"}, accounts=[{"id": "default", "name": "Us", "email": "u@x"}])
    assert config.signing_keys()[0].account.display_name == "Us"


def test_a_config_can_be_sent_to_another_process() -> None:
    config = Config(keys={"AK": "s"}, storages={"default": {"url": "/x"}}, place={"*": "default"})
    assert pickle.loads(pickle.dumps(config)) == config


def test_from_file_reads_toml_and_leaves_the_serve_table(tmp_path: Path) -> None:
    path = tmp_path / "s3kit.toml"
    path.write_text(
        'index = "sqlite:////srv/s3kit.db"\nbase_hosts = ["s3.example.com"]\n'
        '[storages]\ndefault = "/srv/objects"\ncold = {url = "s3://cold"}\n'
        'old = {url = "/srv/old", read_only = true}\n'
        '[place]\n"backups-*" = "cold"\n[serve]\nport = 9000\n'
    )
    config = Config.from_file(path)
    assert config.place == {"backups-*": "cold"}
    assert config.storages["cold"] == {"url": "s3://cold"}
    assert config.storages["old"] == {"url": "/srv/old", "read_only": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [("idnex = 'x'", 'Did you mean "index"?'), ("a b", "not valid TOML"), (None, "No file ")],
)
def test_from_file_names_the_file(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "s3kit.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Config.from_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_from_env_reads_every_kind() -> None:
    config = Config.from_env(
        {
            "S3KIT_INDEX": "sqlite:////srv/i.db",
            "S3KIT_BASE_HOSTS": "s3.example.com, s3.local",
            "S3KIT_PIN_REGION": "true",
            "S3KIT_POOL_SIZE": "5",
            "S3KIT_MAX_OBJECT_SIZE": "1000",
            "S3KIT_STORAGES": '{"default": "/srv/s3"}',
            "S3KIT_DURABILITY": "relaxed",
            "S3KIT_ACCESS_KEY": "AK",
            "S3KIT_SECRET_KEY": "s",
            "S3KIT_PORT": "9000",
            "S3KIT_TEST_POSTGRESQL": "postgresql://x",
            "HOME": "/root",
        }
    )
    assert config.base_hosts == ("s3.example.com", "s3.local")
    assert config.pin_region is True
    assert config.pool_size == 5
    assert config.max_object_size == 1000
    assert config.storages == {"default": "/srv/s3"}
    assert config.durability == "relaxed"
    assert config.keys == {"AK": "s"}


@pytest.mark.parametrize("service", ["S3KIT", "S3KIT_FILES"])
def test_what_kubernetes_tells_of_a_service_named_s3kit_is_passed_over(service: str) -> None:
    assert environment_values(
        {
            f"{service}_SERVICE_HOST": "10.0.0.7",
            f"{service}_SERVICE_PORT": "9000",
            f"{service}_SERVICE_PORT_S3": "9000",
            f"{service}_PORT": "tcp://10.0.0.7:9000",
            f"{service}_PORT_9000_TCP": "tcp://10.0.0.7:9000",
            f"{service}_PORT_9000_TCP_PROTO": "tcp",
            f"{service}_PORT_9000_TCP_PORT": "9000",
            f"{service}_PORT_9000_TCP_ADDR": "10.0.0.7",
            "S3KIT_REGION": "eu-central-1",
        }
    ) == {"region": "eu-central-1"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"S3KIT_REPORT": "9000"}, 'Did you mean "port"?'),
        ({"S3KIT_REGIO": "x"}, 'Unknown variable S3KIT_REGIO. Did you mean "region"?'),
        ({"S3KIT_PRT": "1"}, 'Did you mean "port"?'),
        ({"S3KIT_POOL_SIZE": "many"}, "S3KIT_POOL_SIZE must be a whole number"),
        ({"S3KIT_PIN_REGION": "perhaps"}, "S3KIT_PIN_REGION must be true or false"),
        ({"S3KIT_STORAGES": "/srv"}, "S3KIT_STORAGES must be JSON"),
        ({"S3KIT_ACCESS_KEY": "AK"}, "Give both"),
    ],
)
def test_from_env_names_the_variable(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_env(environ)
    assert message in str(caught.value)


ACCOUNTS = """
[[account]]
id = "alice"
name = "Alice"
email = "a@example.com"
keys = [{access_key = "AKA", secret_key = "s1"}, {access_key = "AKB", secret_key = "s2"}]

[[account]]
id = "bob"
"""


def test_an_accounts_file_holds_account_tables(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(ACCOUNTS)
    config = Config(accounts=read_accounts(path))
    assert [key.access_key for key in config.signing_keys()] == ["AKA", "AKB"]
    assert environment_values({"S3KIT_ACCOUNTS": str(path)})["accounts"] == config.accounts
    assert environment_values({"S3KIT_ACCOUNTS": '[{"id": "x"}]'})["accounts"] == [{"id": "x"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[acount]]\nid="x"', 'Did you mean "account"?'),
        ('[account]\nid="x"', "[[account]], with two brackets"),
        ("[[account]]\nname='x'", 'needs an "id"'),
    ],
)
def test_a_wrong_accounts_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_accounts(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_largest_object_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_object_size must be at least 1"):
        Config(max_object_size=0)
