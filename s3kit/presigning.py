"""Presigned URLs and forms for the endpoint that clients see, made without a request.

.. code-block:: python

    s3 = S3App(Config(keys={...}, public_endpoint="https://files.example.com/s3"))
    url = s3kit.presign(s3, "GET", "photos", "2026/cat.jpg", expires_in=600)

Nothing is asked or looked up: a URL may name what is not there yet, and Access decides when it is
used, as the account whose key has signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from typing import Final
from urllib.parse import urlsplit

from .auth import presigned
from .auth.post_policy import sign_form
from .config import DEFAULT_ACCOUNT
from .config import ConfigError
from .config import check_endpoint
from .model import Key
from .wire.address import aws_quote
from .wire.names import check_bucket_name
from .wire.names import check_key

if TYPE_CHECKING:
    from .app import S3App

METHODS: Final = ("GET", "HEAD", "PUT", "DELETE", "POST")
FILENAME: Final = "${filename}"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form that a browser may send: POST ``fields``, then ``file``, to ``url``."""

    url: str
    fields: Mapping[str, str]


def presign(
    s3: S3App,
    method: str,
    bucket: str,
    key: str | bytes = "",
    *,
    expires_in: int | timedelta = 3600,
    account: str | None = None,
    access_key: str | None = None,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    virtual_host: bool = False,
) -> str:
    """A URL that lets whoever has it make one kind of request until it expires.

    :param method: GET, HEAD, PUT, DELETE or POST.
    :param key: the object; "" for a URL of the bucket itself.
    :param expires_in: seconds, 1 to 604,800 (a week).
    :param account: whose key signs: its first one in the app's key ring; ``default`` by default.
    :param access_key: sign with this key, which must be the account's where one is named.
    :param endpoint: where clients reach the app; ``Config.public_endpoint`` by default.
    :param headers: headers that must be sent with the request, each just so: a PUT's
        ``Content-Type``, ``x-amz-acl``, ``x-amz-meta-*``, ``If-None-Match`` ...
    :param query: more of the query: ``response-content-disposition``, ``versionId`` ...
    :param virtual_host: put the bucket in the host name; it must be one of ``base_hosts``.
    :raises ConfigError: no endpoint is known, or the account has no key.
    :raises ValueError: another method, or a time out of range.
    :raises InvalidBucketName: KeyTooLongError, InvalidURI: S3 can have no such object.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    signer = signing_key_of(s3, account, access_key)
    url = public_url(s3, bucket, key, endpoint=endpoint, virtual_host=virtual_host)
    if query:
        pairs = (f"{aws_quote(name, False)}={aws_quote(query[name], False)}" for name in query)
        url += "?" + "&".join(pairs)
    return presigned.presign(
        method,
        url,
        signer,
        headers=headers,
        expires=_seconds(expires_in),
        region=s3.config.region,
    )


def presign_post(
    s3: S3App,
    bucket: str,
    key: str,
    *,
    expires_in: int | timedelta = 3600,
    fields: Mapping[str, str] | None = None,
    conditions: Sequence[object] = (),
    length_range: tuple[int, int] | None = None,
    account: str | None = None,
    access_key: str | None = None,
    endpoint: str | None = None,
) -> PresignedPost:
    """A form by which a browser may store one object, and the policy that binds it.

    :param key: what the form stores; a final ``${filename}`` lets the sender name the end of it.
    :param fields: more fields of the form (``Content-Type``, ``acl``, ``success_action_status``,
        ``x-amz-meta-*`` ...). Each may be sent only as it stands here, unless ``conditions`` say
        otherwise of it.
    :param conditions: more of the policy, as S3 writes it, e.g.
        ``["starts-with", "$Content-Type", "image/"]``. A field that they name must be sent.
    :param length_range: the fewest and most bytes that the file may have.

    The rest, and what is raised, as for :func:`presign`.
    """
    signer = signing_key_of(s3, account, access_key)
    _check_object(bucket, key)
    seconds = _seconds(expires_in)
    if not 1 <= seconds <= presigned.LONGEST_LIFE:
        raise ValueError(
            f"a presigned form lives from 1 to {presigned.LONGEST_LIFE} seconds, not {seconds}"
        )
    sent = {"key": key, **(fields or {})}
    policy: list[object] = [{"bucket": bucket}]
    if key.endswith(FILENAME):
        policy.append(["starts-with", "$key", key.removesuffix(FILENAME)])
    else:
        policy.append(["eq", "$key", key])
    spoken_of = _named(conditions)
    policy += [
        {name: value}
        for name, value in (fields or {}).items()
        if name.lower() not in spoken_of and not name.lower().startswith("x-ignore-")
    ]
    policy += conditions
    if length_range is not None:
        policy.append(["content-length-range", *length_range])
    signed = sign_form(sent, policy, signer, expires=seconds, region=s3.config.region)
    return PresignedPost(public_url(s3, bucket, endpoint=endpoint), signed)


def public_url(
    s3: S3App,
    bucket: str,
    key: str | bytes = "",
    *,
    endpoint: str | None = None,
    virtual_host: bool = False,
) -> str:
    """The plain URL of a bucket or object at the endpoint that clients see.

    Parameters and errors as for :func:`presign`; without a signature only what is public opens.
    """
    _check_object(bucket, key)
    base = endpoint_of(s3, endpoint)
    path = aws_quote(_bytes(key))
    if virtual_host:
        scheme, _, rest = base.partition("://")
        return f"{scheme}://{bucket}.{rest}/{path}"
    return f"{base}/{bucket}" + (f"/{path}" if path else "")


def endpoint_of(s3: S3App, endpoint: str | None = None) -> str:
    """The endpoint that clients see, without a final slash or a port that goes without saying.

    :raises ConfigError: none is given or configured, or it is no URL.
    """
    if endpoint is None:
        endpoint = s3.config.public_endpoint
        if not endpoint:
            raise ConfigError(
                "Under which URL do clients reach this endpoint? Set public_endpoint, e.g. "
                "https://files.example.com/s3, or give endpoint=."
            )
    else:
        check_endpoint("endpoint", endpoint)
    parts = urlsplit(endpoint)
    # Clients leave it out of the Host header, which is signed.
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def signing_key_of(s3: S3App, account: str | None, access_key: str | None = None) -> Key:
    """The key that signs: the one named, else the account's first in the key ring.

    :raises ConfigError: there is none, or it is another account's.
    """
    ring = s3.site.key_ring
    if access_key is not None:
        key = ring.lookup(access_key)
        if key is None:
            raise ConfigError(f'There is no access key "{access_key}".')
        if account is not None and key.account.id != account:
            raise ConfigError(f'The access key "{access_key}" is not of the account "{account}".')
        return key
    if account is None:
        account = DEFAULT_ACCOUNT
    key_of = getattr(ring, "key_of", None)
    if key_of is None:
        raise ConfigError(
            f"{type(ring).__name__} cannot tell the keys of an account (it has no key_of()): name "
            "the one that shall sign with access_key=."
        )
    found: Key | None = key_of(account)
    if found is None:
        raise ConfigError(
            f'The account "{account}" has no access key, so nothing can be signed for it. Add one '
            "to keys or accounts in the configuration."
        )
    return found


def _check_object(bucket: str, key: str | bytes) -> None:
    check_bucket_name(bucket)
    check_key(_bytes(key))


def _bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")


def _seconds(expires_in: int | timedelta) -> int:
    return int(expires_in.total_seconds()) if isinstance(expires_in, timedelta) else expires_in


def _named(conditions: Sequence[object]) -> set[str]:
    """The fields, in lower case, that a policy's conditions are about."""
    found: set[str] = set()
    for condition in conditions:
        if isinstance(condition, Mapping):
            found.update(str(name).lower() for name in condition)
        elif isinstance(condition, Sequence) and len(condition) == 3:
            found.add(str(condition[1]).removeprefix("$").lower())
    return found
