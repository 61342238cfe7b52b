"""The committed list of operations against botocore's service model of S3.

botocore is a test oracle only. Where a newer botocore has an operation that the list has not, these
tests name it; so the list is kept by hand and read by people.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from s3kit.wire.service_model import EXTRA_OPERATIONS
from s3kit.wire.service_model import OPERATIONS
from s3kit.wire.service_model import ModelRow

botocore_loaders = pytest.importorskip("botocore.loaders")

ROWS = {row.name: row for row in OPERATIONS}


@cache
def service_model() -> Any:
    return botocore_loaders.Loader().load_service_model("s3", "service-2", "2006-03-01")


def http_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = service_model()["operations"][name]["http"]
    return found


def members_of(name: str) -> tuple[dict[str, Any], set[str]]:
    model = service_model()
    shape = model["operations"][name].get("input")
    if shape is None:
        return {}, set()
    found = model["shapes"][shape["shape"]]
    return found["members"], set(found.get("required", ()))


def test_there_are_116_operations_and_the_browser_form() -> None:
    assert len(OPERATIONS) == len(ROWS) == 116
    assert [row.name for row in EXTRA_OPERATIONS] == ["PostObject"]
    assert sorted(ROWS) == [row.name for row in OPERATIONS]


def test_the_list_and_the_model_name_the_same_operations() -> None:
    # Spelt as two differences, so that a failure says what a newer model brought.
    modelled = set(service_model()["operations"])
    assert sorted(set(ROWS) - modelled) == []
    assert sorted(modelled - set(ROWS)) == []


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_method_level_and_status_are_the_models(row: ModelRow) -> None:
    http = http_of(row.name)
    assert row.method == http["method"]
    assert row.status == http.get("responseCode", 200)
    path = http["requestUri"].partition("?")[0]
    # Object Lambda's answer goes to a host of its own, where this is no bucket; here it would be.
    levels = {"/": "service", "/{Bucket}": "bucket", "/WriteGetObjectResponse": "bucket"}
    assert row.level == levels.get(path, "object")


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_query_keys_are_the_models(row: ModelRow) -> None:
    members, required = members_of(row.name)
    in_uri = {
        part.partition("=")[0]
        for part in http_of(row.name)["requestUri"].partition("?")[2].split("&")
        if part
    }
    must = {
        member["locationName"]
        for name, member in members.items()
        if member.get("location") == "querystring" and name in required
    }
    may = {
        member["locationName"]
        for name, member in members.items()
        if member.get("location") == "querystring" and name not in required
    }
    # ?select&select-type=2 is one operation; the type is no second sub-resource.
    assert row.subresources == (in_uri | must) - {"select-type"}
    assert row.parameters == may | (in_uri & {"select-type"})


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.header], ids=lambda row: row.name)
def test_a_header_that_selects_an_operation_is_required_there(row: ModelRow) -> None:
    members, required = members_of(row.name)
    headers = {
        member["locationName"]
        for name, member in members.items()
        if member.get("location") == "header" and name in required
    }
    assert row.header in headers


def place(row: ModelRow) -> tuple[object, ...]:
    return row.method, row.level, row.subresources, row.header


def test_operations_that_share_a_place_are_aliases_and_no_others_are() -> None:
    taken: dict[tuple[object, ...], str] = {}
    for row in (*OPERATIONS, *EXTRA_OPERATIONS):
        if row.alias_of is None:
            assert taken.setdefault(place(row), row.name) == row.name
    for row in OPERATIONS:
        if row.alias_of is not None:
            assert taken[place(row)] == row.alias_of
