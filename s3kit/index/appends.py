"""An object that grows: its content becomes a chain of parts, each written once."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BindParameter
from sqlalchemy import bindparam
from sqlalchemy import delete
from sqlalchemy import select
from sqlalchemy import update

from s3kit.index.connections import Connection
from s3kit.index.objects import show
from s3kit.index.schema import contents
from s3kit.index.schema import parts
from s3kit.index.schema import versions
from s3kit.index.schema import write_checksum
from s3kit.index.statements import Statement
from s3kit.model import Content
from s3kit.model import ObjectVersion

_CONTENT: BindParameter[str] = bindparam("this_content")
_LOCK_CONTENT = Statement(
    select(contents.c.refs).where(contents.c.id == _CONTENT).with_for_update()
)
_GROW = Statement(
    update(contents)
    .where(contents.c.id == _CONTENT)
    .values(size=bindparam("new_size"), parts=bindparam("new_parts"))
)
_DELETE_CONTENT = Statement(delete(contents).where(contents.c.id == _CONTENT))
_ETAGS = Statement(
    select(parts.c.number, parts.c.etag)
    .where(parts.c.upload_id == _CONTENT)
    .order_by(parts.c.number)
)
_GROW_VERSION = Statement(
    update(versions)
    .where(versions.c.seq == bindparam("this_seq"))
    .values(
        size=bindparam("new_size"),
        etag=bindparam("new_etag"),
        modified=bindparam("new_modified"),
        checksum=bindparam("new_checksum"),
        parts=bindparam("new_parts"),
        content_id=bindparam("new_content"),
        inline=bindparam("new_inline"),
    )
)


class Chain(NamedTuple):
    """The parts of a content: the last one's number, and all ETags in order."""

    last: int
    etags: list[str]


def is_alone(connection: Connection, content: Content) -> bool:
    """Whether only one version has this content; nobody can share it until the transaction ends.

    The key of a version that has it must be locked.
    """
    row = connection.one(_LOCK_CONTENT, {"this_content": content.id})
    return row is not None and row[0] == 1


def chain_of(connection: Connection, content: Content) -> Chain:
    """What a chain has so far."""
    rows = connection.all(_ETAGS, {"this_content": content.id})
    return Chain(rows[-1][0], [row[1] for row in rows])


def grow(connection: Connection, content: Content) -> None:
    """A chain has these many parts and bytes by now."""
    connection.run(
        _GROW,
        {
            "this_content": content.id,
            "new_size": content.size,
            "new_parts": content.parts,
        },
    )


def forget_content(connection: Connection, content: Content) -> None:
    """A blob is no content of its own any more, but a part of one. It stays where it is."""
    connection.run(_DELETE_CONTENT, {"this_content": content.id})


def grow_version(connection: Connection, version: ObjectVersion) -> None:
    """Store a version's new size, bytes and checksums; the rest of it stays. Its key is locked."""
    content = version.content
    connection.run(
        _GROW_VERSION,
        {
            "this_seq": version.seq,
            "new_size": version.size,
            "new_etag": version.etag,
            "new_modified": version.modified,
            "new_checksum": write_checksum(version.checksum),
            "new_parts": version.parts,
            "new_content": None if content is None else content.id,
            "new_inline": version.inline,
        },
    )
    show(connection, version.bucket_id, version.key, version)
