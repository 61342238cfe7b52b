"""From a line of configuration to a storage: a folder, a URL, or somebody's own class."""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Literal
from urllib.parse import unquote
from urllib.parse import urlsplit

from .base import BlobReader
from .base import BlobStore
from .base import BlobWriter
from .base import Capabilities
from .local import LocalBlobStore
from .memory import MemoryBlobStore

_FIELDS = ("url", "use", "options", "read_only")


class StorageError(ValueError):
    """A storage's configuration that cannot be used; the text says what would mend it."""


def open_store(
    name: str,
    spec: str | Mapping[str, Any] | BlobStore,
    *,
    durability: Literal["full", "relaxed"] = "full",
) -> BlobStore:
    """Make the storage that a configuration describes.

    :param name: its name in the configuration.
    :param spec: a folder (``/srv/objects``, ``file:///srv/objects``), ``memory://``, any fsspec
        URL (``s3://bucket/folder``), a mapping of ``url`` or ``use`` (``"module:Class"``, called
        with the name and the options) with ``options`` and ``read_only``, or a ready store.
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
    for field in spec:
        if field not in _FIELDS:
            near = difflib.get_close_matches(str(field), _FIELDS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(_FIELDS)}."
            raise StorageError(f"Storage {name!r} has an unknown field {field!r}. {hint}")
    options = spec.get("options") or {}
    read_only = spec.get("read_only", False)
    if not isinstance(options, Mapping):
        raise StorageError(f"The options of storage {name!r} are no mapping.")
    if not isinstance(read_only, bool):
        raise StorageError(f"read_only of storage {name!r} is {read_only!r}, not true or false.")
    url, use = spec.get("url"), spec.get("use")
    if (url is None) == (use is None):
        raise StorageError(f"Storage {name!r} needs either a url or a use, and one of them only.")
    store = (
        _from_url(name, str(url), options, read_only, durability)
        if use is None
        else _from_class(name, str(use), options)
    )
    return ReadOnlyBlobStore(store) if read_only else store


def _from_url(
    name: str,
    url: str,
    options: Mapping[str, Any],
    read_only: bool,
    durability: Literal["full", "relaxed"],
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
    except (ImportError, ValueError) as error:
        raise StorageError(f"Storage {name!r} ({scheme}://): {error}") from error


def _folder(url: str) -> str:
    path = unquote(urlsplit(url).path) if url.startswith("file://") else url
    return os.path.expanduser(path)


def location(spec: str | Mapping[str, Any]) -> tuple[str, str] | None:
    """What two descriptions of the same place have in common; None where nobody can tell.

    Links are followed. Options belong to a URL's location: they may hold its server's address.
    """
    options: Mapping[str, Any] = {}
    if not isinstance(spec, str):
        options = spec.get("options") or {}
        spec = str(spec.get("url", ""))
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


class ReadOnlyBlobStore:
    """A storage that is read from and never written to, e.g. one that is being left.

    :raises PermissionError: at any attempt to write or delete.
    """

    __slots__ = ("_store", "capabilities", "name")

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self.name: str = store.name
        self.capabilities: Capabilities = store.capabilities

    def create(self, blob_id: str, size_hint: int | None = None) -> BlobWriter:
        raise PermissionError(f"Storage {self.name!r} is read-only.")

    def open(self, blob_id: str, start: int, end: int) -> BlobReader:
        return self._store.open(blob_id, start, end)

    def delete(self, blob_id: str) -> None:
        raise PermissionError(f"Storage {self.name!r} is read-only.")

    def size(self, blob_id: str) -> int:
        return self._store.size(blob_id)

    def sweep(self) -> Iterator[tuple[str, float]]:
        # There is nothing to sweep where nothing may be deleted.
        return iter(())

    def close(self) -> None:
        self._store.close()
