"""An endpoint whose tests make keys as they go: each as narrow as it is to be."""

from __future__ import annotations

import itertools
from typing import Any

from s3kit.app import S3App
from s3kit.auth.keyring import DictKeyRing
from s3kit.auth.scope import read_scope
from s3kit.config import Config
from s3kit.model import Account
from s3kit.model import Key
from tests.client import Client
from tests.client import Signer
from tests.endpoint import ACCOUNTS
from tests.endpoint import ACLS_COUNT
from tests.endpoint import OWNER
from tests.endpoint import OWNER_ID


class NarrowKeys:
    """The keys of the other tests' accounts, and those that are added."""

    def __init__(self) -> None:
        self._fixed = DictKeyRing(Config(accounts=ACCOUNTS).signing_keys())
        self._added: dict[str, Key] = {}
        self._numbers = itertools.count(1)

    def lookup(self, access_key: str) -> Key | None:
        return self._added.get(access_key) or self._fixed.lookup(access_key)

    def account(self, account_id: str) -> Account | None:
        return self._fixed.account(account_id)

    def add(self, document: dict[str, Any], account: str = OWNER_ID) -> Signer:
        """A new key of an account with this scope."""
        owner = self.account(account)
        assert owner is not None
        number = next(self._numbers)
        signer = Signer(f"NARROW{number}", f"narrow-secret-{number}")
        self._added[signer.access_key] = Key(
            signer.access_key, signer.secret_key, owner, scope=read_scope(document)
        )
        return signer


class Narrow:
    """The endpoint, its owner, and clients with keys of the owner's account."""

    def __init__(self, **settings: Any) -> None:
        self.keys = NarrowKeys()
        settings = {**ACLS_COUNT, **settings}
        config = Config(storages={"default": "memory://"}, index="memory://", **settings)
        self.app = S3App(config, key_ring=self.keys)
        self.owner = Client(self.app, OWNER)

    def client(self, account: str = OWNER_ID, **document: Any) -> Client:
        """A client with a new key of this scope."""
        return Client(self.app, self.keys.add(document, account))
