"""Roles in the index."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from s3kit.index import roles
from s3kit.index.roles import RoleExists
from s3kit.index.roles import RoleRow
from s3kit.index.schema import accounts
from s3kit.index.session import Index


def test_a_role_is_what_was_made_of_it_and_knows_its_account(index: Index) -> None:
    made = RoleRow("ålice", "reader", "AROA1", 5, "{}", {"ü": '{"a": 1}'}, 900)
    index.write(lambda c: roles.insert(c, made))
    assert index.read(lambda c: roles.get(c, "ålice", "reader")) == made
    for account, name in (
        ("ålice", "Reader"), ("ålice", "reader "), ("ålice", "rëader"), ("bob", "reader"),
        ("ålice\0", "reader"), ("ålice", "reader\0"), ("ålice", ""),
    ):  # fmt: skip
        assert index.read(lambda c, a=account, n=name: roles.get(c, a, n)) is None  # type: ignore[misc]
    with pytest.raises(RoleExists):
        index.write(lambda c: roles.insert(c, made))
    changed = RoleRow("ålice", "reader", "AROA1", 5, "{ }", {}, 901)
    assert index.write(lambda c: roles.change(c, changed))
    assert index.read(lambda c: roles.get(c, "ålice", "reader")) == changed
    with index.engine.begin() as connection:
        values = {
            "id": "ålice", "number": "111122223333", "display_name": "", "email": "",
            "status": "suspended", "plan": "", "limits": "{}", "created": 0, "delete_at": 0,
        }  # fmt: skip
        present = {name: values[name] for name in values if name in accounts.c}
        connection.execute(insert(accounts).values(present))
    found = index.read(lambda c: roles.get(c, "ålice", "reader"))
    assert found is not None
    assert found.account_status == "suspended"
    assert index.read(lambda c: roles.account_numbered(c, "111122223333")) == "ålice"
    assert index.read(lambda c: roles.account_numbered(c, "111122223334")) is None
    for name in ("b", "a"):
        row = RoleRow("bob", name, name, 0, "{}", {}, 900)
        index.write(lambda c, row=row: roles.insert(c, row))  # type: ignore[misc]
    page = index.read(lambda c: roles.page(c, "bob"))
    assert [row.name for row in page] == ["a", "b"]
    assert [row.name for row in index.read(lambda c: roles.page(c, "bob", "a"))] == ["b"]
    assert index.write(lambda c: roles.delete(c, "bob", "a"))
    assert not index.write(lambda c: roles.delete(c, "bob", "a"))
    assert index.write(lambda c: roles.delete_all(c, "bob")) == 1
    assert index.read(lambda c: roles.page(c, "bob")) == []
