"""Each row of the case ``access`` is decided by what it is named for."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import access
from benchmarks import steps

pytest.importorskip("cryptography", reason="seals the secrets of keys in SQL")

DECIDED_BY = {
    access.PLAIN: "owner",
    "key in SQL": "owner",
    "SQL key, scope": "owner",
    "SQL key, 20 statements": "bucket policy",
    "SQL key, user policy": "user policy",
    "SQL key, ACL": "object acl",
    "session, its policy": "user policy",
    "all of it": "object acl",
}


def test_each_row_is_decided_by_what_it_is_named_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "OBJECTS", 1)
    monkeypatch.setattr(access, "NEW_OBJECTS", 1)
    endpoint = steps.Endpoint(tmp_path)
    try:
        decided = {}
        for row in access.GETS:
            call = endpoint.call(row)
            question = call.question("s3:GetObject", call.bucket, call.object_key, settle=True)
            decided[row] = endpoint.app.site.access.decide(question).by
            caller = question.caller
            assert (caller.session is not None) == (row in ("session, its policy", "all of it"))
            assert (caller.scope is not None) == (row in ("SQL key, scope", "all of it"))
        assert decided == DECIDED_BY
        for row in access.PUTS:
            endpoint.send(endpoint.environ(row))
        quota = endpoint.app.store.quota
        assert quota.used(access.LIMITED_ACCOUNT) == len(access.BODY)
        assert quota.limit(access.LIMITED_ACCOUNT) == access.LIMIT
        assert quota.limit(access.FREE_ACCOUNT) is None
    finally:
        endpoint.app.close()
