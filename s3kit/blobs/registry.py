"""From a line of configuration to a storage: a folder, a URL, or somebody's own class."""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Literal
from urllib.parse import quote
from urllib.parse import unquote
from urllib.parse import urlsplit

from .base import BlobStore
from .local import LocalBlobStore
from .memory import MemoryBlobStore

FIELDS = ("url", "use", "mirror", "options", "prefix", "quorum", "read_only", "throttle")
"""What the description of a storage may hold."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp", "webdav": "webdav"}
"""The extras of s3kit that bring the package behind a scheme."""

Durability = Literal["full", "relaxed"]
Spec = str | Mapping[str, Any] | BlobStore


class StorageError(ValueError):
    """A storage's configuration that cannot be used; the text says what would mend it."""


def open_store(name: str, spec: Spec, *, durability: Durability = "full") -> BlobStore:
    """Make the storage that a configuration describes.

    :param name: its name in the configuration.
    :param spec: a folder (``/srv/objects``, ``file:///srv/objects``), ``memory://``, any fsspec
        URL (``s3://bucket/folder``), a ready store, or a mapping of one of

        * ``url``, with ``options`` for the fsspec file system;
        * ``use``: ``"module:Class"``, called with the name and the ``options``;
        * ``mirror``: a list of descriptions, all of which are written, or ``quorum`` of them;

        and, for each of them, ``prefix`` (a folder below the URL; for storages without folders a
        part that is kept apart), ``throttle`` (``read`` and ``write``, in bytes per second) and
        ``read_only``.
    :param durability: ``full`` or ``relaxed``, for storages in a local folder.
    :raises StorageError: the description is wrong, or a package that it needs is missing.
    :raises OSError: a local folder cannot be made.
    """
    if isinstance(spec, str):
        return _from_url(name, spec, {}, False, durability)
    if not isinstance(spec, Mapping):
        if isinstance(spec, BlobStore):
            return spec
        raise StorageError(
            f"Storage {name!r} is a folder, a URL or a mapping, not {type(spec).__name__}."
        )
    _check_fields(f"Storage {name!r}", spec, FIELDS)
    options = spec.get("options") or {}
    read_only = spec.get("read_only", False)
    if not isinstance(options, Mapping):
        raise StorageError(f"The options of storage {name!r} are no mapping.")
    if not isinstance(read_only, bool):
        raise StorageError(f"read_only of storage {name!r} is {read_only!r}, not true or false.")
    if sum(spec.get(kind) is not None for kind in ("url", "use", "mirror")) != 1:
        raise StorageError(
            f"Storage {name!r} needs either a url or a use (or a mirror), and one of them only."
        )
    prefix = _prefix(name, spec.get("prefix"))
    if spec.get("url") is not None:
        url = str(spec["url"])
        if prefix and not url.startswith("memory:"):
            url, prefix = below(url, prefix), ""
        store = _from_url(name, url, options, read_only, durability)
    elif spec.get("use") is not None:
        store = _from_class(name, str(spec["use"]), options)
    else:
        store = _mirror(name, spec, durability)
    if spec.get("mirror") is None and spec.get("quorum") is not None:
        raise StorageError(f"Storage {name!r} has a quorum, but no mirror.")
    return _wrapped(name, store, prefix, spec.get("throttle"), read_only)


def below(url: str, prefix: str) -> str:
    """The folder ``prefix`` below a folder or URL."""
    scheme = url.partition("://")[0]
    inner = prefix.strip("/")
    return f"{url.rstrip('/')}/{quote(inner) if scheme == 'file' else inner}"


def urls(spec: Any) -> Iterator[str]:
    """Every URL in a description, those of a mirror's members included."""
    if isinstance(spec, str):
        yield spec
    elif isinstance(spec, Mapping):
        if isinstance(spec.get("url"), str):
            yield spec["url"]
        members = spec.get("mirror")
        for member in members if isinstance(members, list | tuple) else ():
            yield from urls(member)


def _check_fields(where: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    names = list(known)
    for field in given:
        if field not in names:
            near = difflib.get_close_matches(str(field), names, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(names)}."
            raise StorageError(f"{where} has an unknown field {field!r}. {hint}")


def _prefix(name: str, prefix: Any) -> str:
    if prefix is None:
        return ""
    parts = prefix.strip("/").split("/") if isinstance(prefix, str) else [""]
    if any(each in ("", ".", "..") or "::" in each or not each.isprintable() for each in parts):
        raise StorageError(
            f"The prefix of storage {name!r} is {prefix!r}; it is written like 'tenant-7/objects'."
        )
    return "/".join(parts)


def _mirror(name: str, spec: Mapping[str, Any], durability: Durability) -> BlobStore:
    from .wrappers import Mirrored

    members = spec["mirror"]
    if not isinstance(members, list | tuple):
        raise StorageError(f"The mirror of storage {name!r} is no list of storages.")
    if spec.get("options"):
        raise StorageError(f"Storage {name!r}: options belong to the members of the mirror.")
    places = [place for each in members if (place := location(each)) is not None]
    if len(places) != len(set(places)):
        raise StorageError(f"Two members of the mirror of storage {name!r} are the same place.")
    quorum = spec.get("quorum")
    if quorum is not None and (not isinstance(quorum, int) or isinstance(quorum, bool)):
        raise StorageError(f"The quorum of storage {name!r} is {quorum!r}, not a whole number.")
    stores: list[BlobStore] = []
    try:
        for number, member in enumerate(members, 1):
            stores.append(open_store(f"{name}, member {number}", member, durability=durability))
        return Mirrored(name, stores, quorum=quorum)
    except BaseException as error:
        for store in stores:
            store.close()
        if type(error) is ValueError:
            raise StorageError(f"Storage {name!r}: {error}") from None
        raise


def _wrapped(name: str, store: BlobStore, prefix: str, throttle: Any, read_only: bool) -> BlobStore:
    if not (prefix or throttle is not None or read_only):
        return store
    from .wrappers import Prefixed
    from .wrappers import ReadOnly
    from .wrappers import Throttled

    if prefix:
        store = Prefixed(store, prefix)
    if throttle is not None:
        if not isinstance(throttle, Mapping):
            raise StorageError(
                f"The throttle of storage {name!r} is {throttle!r}; it is written "
                '{"read": 1000000, "write": 1000000}, in bytes per second.'
            )
        _check_fields(f"The throttle of storage {name!r}", throttle, ("read", "write"))
        for direction, rate in throttle.items():
            if not isinstance(rate, int | float) or isinstance(rate, bool) or not rate > 0:
                raise StorageError(
                    f"The throttle of storage {name!r}: {direction} is {rate!r}, not a number of "
                    "bytes per second above 0."
                )
        store = Throttled(store, **throttle)
    return ReadOnly(store) if read_only else store


def _from_url(
    name: str,
    url: str,
    options: Mapping[str, Any],
    read_only: bool,
    durability: Durability,
) -> BlobStore:
    if not url:
        raise StorageError(f"The URL of storage {name!r} is empty.")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme in ("file", "memory"):
        if options:
            raise StorageError(
                f"Storage {name!r} takes no options, but has {', '.join(map(repr, options))}."
            )
        if scheme == "memory" and separator:
            return MemoryBlobStore(name)
        if separator and not rest.startswith("/"):
            raise StorageError(
                f"Storage {name!r}: {url!r} names a host. A local folder is written file:///{rest}"
            )
        return LocalBlobStore(_folder(url), name, durability=durability, read_only=read_only)
    try:
        # Here and not above: fsspec is heavy, and a server on a local folder needs none of it.
        from .filesystem import FilesystemBlobStore

        return FilesystemBlobStore(url, name, options=options)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        mend = f" Install it with: pip install 's3kit[{extra}]'" if extra else ""
        raise StorageError(f"Storage {name!r} ({scheme}://): {error}.{mend}") from error
    except ValueError as error:
        raise StorageError(f"Storage {name!r} ({scheme}://): {error}") from error


def _folder(url: str) -> str:
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    return os.path.expanduser(path)


def location(spec: Spec) -> tuple[str, str] | None:
    """What two descriptions of the same place have in common; None where nobody can tell.

    Links are followed. Options belong to a URL's location: they may hold its server's address.
    """
    options: Mapping[str, Any] = {}
    if isinstance(spec, Mapping):
        options = spec.get("options") or {}
        url, prefix = str(spec.get("url", "")), spec.get("prefix")
        spec = below(url, prefix) if url and isinstance(prefix, str) else url
    if not isinstance(spec, str):
        return None
    scheme, separator, _ = spec.partition("://")
    if not spec or (separator and scheme == "memory"):
        return None
    if not separator or scheme == "file":
        return os.path.realpath(_folder(spec)), ""
    return spec.rstrip("/"), json.dumps(options, sort_keys=True, default=repr)


def _from_class(name: str, use: str, options: Mapping[str, Any]) -> BlobStore:
    module_name, separator, class_name = use.partition(":")
    if not (module_name and separator and class_name):
        raise StorageError(f'Storage {name!r}: use is written "module:Class", not {use!r}.')
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise StorageError(
            f"Storage {name!r}: {module_name!r} cannot be imported ({error}). "
            "Is its package installed?"
        ) from error
    make = getattr(module, class_name, None)
    if make is None:
        raise StorageError(f"Storage {name!r}: {module_name!r} has no {class_name!r}.")
    try:
        store = make(name, **options)
    except TypeError as error:
        raise StorageError(
            f"Storage {name!r}: {use} does not take these options: {error}"
        ) from error
    if not isinstance(store, BlobStore):
        raise StorageError(
            f"Storage {name!r}: {use} is no BlobStore; see s3kit.blobs.base for what it needs."
        )
    return store
