"""Secrets as they rest in Django's database: sealed under the project's own keys, never plain.

``S3KIT["master_keys"]`` seal, else one that is made of ``SECRET_KEY``; all of these, and of
``SECRET_KEY_FALLBACKS``, open. Not those of ``master_key_file``: ``s3kit rotate-master-key`` knows
nothing of Django's tables.
"""

from __future__ import annotations

import base64
import hmac
import os
from functools import lru_cache
from typing import Any

from django.conf import settings

from s3kit import ConfigError
from s3kit.store.master_keys import MasterKeys
from s3kit.store.master_keys import read_key

from .. import get_mounting

_SALT_BYTES = 16


class UnknownMasterKey(Exception):
    """A secret's master key is gone, or the row was tampered with; the access key is lost."""


def seal(access_key: str, secret: str) -> tuple[str, str]:
    """The secret for its row, bound to the access key, and the id of the key that seals it.

    :raises ConfigError: cryptography is not installed.
    """
    master, key = _masters().first()
    salt = os.urandom(_SALT_BYTES)
    # Each is sealed by a key of its own, which therefore needs no nonce.
    data = _aead(key, salt).encrypt(bytes(12), secret.encode(), access_key.encode())
    return base64.b64encode(salt + data).decode(), master


def unseal(access_key: str, sealed: str, master: str) -> str:
    """The secret.

    :raises UnknownMasterKey: nothing opens it.
    """
    from cryptography.exceptions import InvalidTag

    key = _masters().find(master)
    if key is None:
        raise UnknownMasterKey(f"the key {master} that sealed it is gone")
    try:
        raw = base64.b64decode(sealed, validate=True)
        data: bytes = _aead(key, raw[:_SALT_BYTES]).decrypt(
            bytes(12), raw[_SALT_BYTES:], access_key.encode()
        )
    except (InvalidTag, ValueError):
        raise UnknownMasterKey("the row is damaged, or another key's") from None
    return data.decode()


def first_master() -> str:
    """The id of the key that seals now."""
    return _masters().first()[0]


def _aead(key: bytes, salt: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise ConfigError(
            "Secrets are stored only sealed, which needs cryptography: "
            "pip install 's3kit[encryption]'"
        ) from None
    return AESGCM(HKDF(SHA256(), 32, salt, b"s3kit django access key").derive(key))


def _masters() -> MasterKeys:
    # Rows from before they were configured open too.
    fallbacks = tuple(settings.SECRET_KEY_FALLBACKS)
    return _made(get_mounting().config.master_keys, (settings.SECRET_KEY, *fallbacks))


@lru_cache(maxsize=8)
def _made(configured: tuple[str, ...], project: tuple[str | bytes, ...]) -> MasterKeys:
    keys = [read_key(text) for text in configured]
    for each in project:
        raw = each.encode() if isinstance(each, str) else each
        keys.append(hmac.digest(b"s3kit access keys of django", raw, "sha256"))
    return MasterKeys(keys)
