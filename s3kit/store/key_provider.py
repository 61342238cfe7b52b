"""Where the keys of aws:kms come from: a seam of two methods, and keys named in the configuration.

A host gives its own KeyProvider to S3App, say over AWS KMS or Vault. It gets no object and no key
of an object but those that it has made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Final
from typing import Protocol

from ..blobs.sealed import KEY
from ..blobs.sealed import SEAL
from ..blobs.sealed import decrypt_once
from ..blobs.sealed import derive
from ..blobs.sealed import encrypt_once
from ..blobs.sealed import new_seal
from ..errors import KMSNotFoundException

DEFAULT_KEY: Final = "aws/s3"
"""The key of those who name none, if there is one of that name."""

_INFO: Final = b"s3kit named key"


@dataclass(frozen=True, slots=True)
class DataKey:
    """A new key of 32 bytes, and the same as only its provider can read it."""

    key_id: str
    plain: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)


class KeyProvider(Protocol):
    """Makes data keys under named keys, and unwraps them again. Used from many threads."""

    def new_data_key(self, key_id: str, context: Mapping[str, str]) -> DataKey:
        """A data key under the named key, "" for the default one.

        :param context: what the client wants its use bound to.
        :raises KMSNotFoundException: there is no such key.
        """

    def open_data_key(self, key_id: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key that ``wrapped`` holds.

        :param key_id: as :meth:`new_data_key` answered it.
        :raises KMSNotFoundException: the key is gone.
        """


class LocalKeys:
    """Named keys from the configuration."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"LocalKeys({', '.join(sorted(self._keys))})"

    def _find(self, key_id: str) -> bytes:
        found = self._keys.get(key_id or DEFAULT_KEY)
        if found is None:
            raise KMSNotFoundException(f"Invalid keyId '{key_id or DEFAULT_KEY}'")
        return found

    def new_data_key(self, key_id: str, context: Mapping[str, str]) -> DataKey:
        """See :meth:`KeyProvider.new_data_key`."""
        key = self._find(key_id)
        salt, plain = new_seal(), os.urandom(KEY)
        wrapped = salt + encrypt_once(derive(key, salt, _INFO), plain, associated(context))
        return DataKey(key_id or DEFAULT_KEY, plain, wrapped)

    def open_data_key(self, key_id: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """See :meth:`KeyProvider.open_data_key`."""
        key = self._find(key_id)
        salt = wrapped[:SEAL]
        return decrypt_once(derive(key, salt, _INFO), wrapped[SEAL:], associated(context))


def associated(context: Mapping[str, str]) -> bytes:
    """An encryption context as bytes that do not hang on its order."""
    return json.dumps(dict(context), sort_keys=True).encode()


__all__ = ["DataKey", "KeyProvider", "LocalKeys"]
