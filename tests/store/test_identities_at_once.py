"""Accounts, keys and roles that several change at once, on each kind of database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from s3kit import Config
from s3kit import S3App
from s3kit.errors import LimitExceeded
from tests.databases import KINDS
from tests.databases import fresh_database
from tests.endpoint import MASTER_KEY

NOBODY = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}})
READS = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}})
THREADS = 4


def at_once(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own, all from the same moment on."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        gate.wait(60)
        work()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS)
def test_no_limit_is_passed_and_no_change_is_lost(kind: str, tmp_path: Path) -> None:
    """CS-03: of many who make the last key at once one does; no policy of a role goes missing."""
    with fresh_database(kind, tmp_path) as url:
        app = S3App(Config(storages={"default": "memory://"}, index=url, master_keys=(MASTER_KEY,)))
        try:
            accounts, roles = app.store.accounts, app.store.roles
            account = accounts.create(limits={"keys": 3}).id
            roles.create(account, "reader", trust=NOBODY)
            refused: list[LimitExceeded] = []

            def make() -> None:
                try:
                    accounts.create_key(account)
                except LimitExceeded as error:
                    refused.append(error)

            def put(number: int) -> None:
                for each in range(2):
                    roles.put_policy(account, "reader", f"p{number}{each}", READS)

            puts = (lambda n=number: put(n) for number in range(THREADS))
            at_once(*(make for _ in range(6)), *puts)
            assert len(accounts.list_keys(account)) == 3
            assert len(refused) == 3
            assert len(roles.get(account, "reader").policies) == THREADS * 2
        finally:
            app.close()
