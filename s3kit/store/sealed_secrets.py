"""Secrets of access keys as they rest in the index: sealed by a master key of the host.

Each has a key of its own, made of the master key and a salt, and is bound to its access key: in
another row it does not open.
"""

from __future__ import annotations

import base64
import os
from typing import Final

from ..blobs.sealed import EXTRA
from ..blobs.sealed import SEAL
from ..blobs.sealed import MissingCryptography
from ..blobs.sealed import SealBroken
from ..blobs.sealed import decrypt_once
from ..blobs.sealed import derive
from ..blobs.sealed import encrypt_once
from ..errors import InvalidRequest
from ..errors import NotImplemented as NotImplementedByS3
from ..index.access_keys import SealedSecret
from .master_keys import MasterKeys

NO_MASTER_KEY: Final = (
    "A secret is stored only sealed by a master key, and there is none: set master_key_file or "
    "master_keys to 32 random bytes in base64, such as `openssl rand -base64 32`."
)
NO_CRYPTOGRAPHY: Final = f"A secret is stored only sealed, which needs cryptography: {EXTRA}"

_INFO: Final = b"s3kit access key"


def seal(masters: MasterKeys | None, access_key: str, secret: str) -> SealedSecret:
    """A secret for its row, sealed by the first master key.

    :raises InvalidRequest: there is no master key.
    :raises NotImplemented: cryptography is not installed.
    """
    if masters is None:
        raise InvalidRequest(NO_MASTER_KEY)
    master, key = masters.first()
    salt = os.urandom(SEAL)
    try:
        sealed = encrypt_once(derive(key, salt, _INFO), secret.encode(), access_key.encode())
    except MissingCryptography:
        raise NotImplementedByS3(NO_CRYPTOGRAPHY) from None
    return SealedSecret(f"{_encode(salt)}:{_encode(sealed)}", master)


def unseal(masters: MasterKeys | None, access_key: str, sealed: SealedSecret) -> str:
    """The secret.

    :raises SealBroken: its master key is missing, or the row is damaged or another key's.
    :raises MissingCryptography:
    """
    key = None if masters is None else masters.find(sealed.master)
    if key is None:
        raise SealBroken(f"the master key {sealed.master} is missing")
    salt, _, data = sealed.text.partition(":")
    try:
        salt_bytes, data_bytes = base64.b64decode(salt), base64.b64decode(data)
    except ValueError:
        raise SealBroken("the row holds no sealed secret") from None
    return decrypt_once(derive(key, salt_bytes, _INFO), data_bytes, access_key.encode()).decode()


def rewrap(
    masters: MasterKeys | None, access_key: str, sealed: SealedSecret
) -> SealedSecret | None:
    """The same secret under the first master key; None where it is that already.

    :raises SealBroken: as :func:`unseal`.
    """
    if masters is None or masters.first()[0] == sealed.master:
        return None
    return seal(masters, access_key, unseal(masters, access_key, sealed))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
