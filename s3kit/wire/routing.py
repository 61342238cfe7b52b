"""The one table of operations: what a method, a level and a query mean, and who answers.

Every operation that S3 has is a row from the start (:mod:`s3kit.wire.service_model`);
``@operation`` gives a row its handler. A row without one answers 501 by its name, so that a
sub-resource can never fall through to the plain object or bucket operation (A107).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Final
from typing import Literal
from typing import TypeAlias
from typing import TypeVar

from ..errors import InvalidArgument
from ..errors import InvalidRequest
from ..errors import MethodNotAllowed
from ..errors import NotImplemented as NotImplementedByS3
from .query import Query
from .service_model import EXTRA_OPERATIONS
from .service_model import OPERATIONS
from .service_model import Level
from .service_model import ModelRow

if TYPE_CHECKING:
    from ..call import Call
    from .response import Response

Body = Literal["none", "document", "stream"]
Handler: TypeAlias = "Callable[[Call], Response]"
Actions: TypeAlias = "str | Callable[[Call], Iterable[tuple[str, str]]]"
"""One IAM action, or a function from the call to pairs of action and ``bucket`` or ``object``."""

_Handler = TypeVar("_Handler", bound="Callable[[Any], Any]")


@dataclass(frozen=True, slots=True)
class Operation:
    """One S3 operation: what selects it, what it needs, who answers it.

    ``subresources`` are query keys that must be present, ``header`` a request header that must be.
    ``handler`` is None while s3kit does not have the operation. ``status`` is the plain success.
    """

    name: str
    method: str
    level: Level
    subresources: frozenset[str] = frozenset()
    header: str | None = None
    handler: Handler | None = None
    actions: Actions = ""
    body: Body = "none"
    status: int = 200
    parameters: frozenset[str] = frozenset()


class _Slot:
    """One place in the table: a plain operation and perhaps one that a header selects instead."""

    __slots__ = ("header_key", "plain", "with_header")

    def __init__(self) -> None:
        self.plain: Operation | None = None
        self.header_key = ""
        self.with_header: Operation | None = None


_MODEL: Final[dict[str, ModelRow]] = {row.name: row for row in (*OPERATIONS, *EXTRA_OPERATIONS)}
_TABLE: Final[dict[tuple[str, str, frozenset[str]], _Slot]] = {}
_PLAIN: Final[dict[tuple[str, str], _Slot]] = {}

# Keys that only tell rows apart once another key has named the sub-resource; anywhere else they are
# ordinary parameters.
_COMPANIONS: Final = frozenset({"annotationName", "id", "partNumber"})
_LIST_TYPE: Final = frozenset({"list-type"})

_SELECTORS: Final[dict[str, frozenset[str]]] = {
    level: frozenset(
        key
        for row in _MODEL.values()
        if row.level == level
        for key in row.subresources - _COMPANIONS - _LIST_TYPE
    )
    for level in ("service", "bucket", "object")
}
_ALL_SELECTORS: Final = _SELECTORS["bucket"] | _SELECTORS["object"]
_PARAMETERS: Final = frozenset(key for row in _MODEL.values() for key in row.parameters)
# What a presigned URL of the old signature version carries; refusing it is s3kit.auth's part.
_SIGNATURE_KEYS: Final = frozenset({"AWSAccessKeyId", "Signature", "Expires"})


def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _place(made: Operation) -> None:
    key = (made.method, made.level, made.subresources)
    slot = _TABLE.get(key)
    if slot is None:
        slot = _TABLE[key] = _Slot()
        if not made.subresources:
            _PLAIN[made.method, made.level] = slot
    if made.header is None:
        slot.plain = made
    else:
        slot.header_key = _environ_key(made.header)
        slot.with_header = made


def _fill() -> None:
    for row in _MODEL.values():
        if row.alias_of is None:
            _place(
                Operation(
                    row.name,
                    row.method,
                    row.level,
                    row.subresources,
                    row.header,
                    status=row.status,
                    parameters=row.parameters,
                )
            )


_fill()


def operation(
    name: str,
    method: str,
    level: Level,
    *subresources: str,
    action: Actions,
    header: str | None = None,
    body: Body = "none",
) -> Callable[[_Handler], _Handler]:
    """Make the decorated function the answer to one S3 operation.

    :param subresources: the query keys that select it, as in the service model.
    :param action: the IAM action asked for, or a function of the call that gives several.
    :param header: a request header whose presence selects it, e.g. ``x-amz-copy-source``.
    :param body: what the request carries: nothing, an XML document, or a stream.
    :raises TypeError: S3 has no such operation, it is selected otherwise, or it has a handler.
    """
    row = _MODEL.get(name)
    if row is None:
        raise TypeError(f"S3 has no operation named {name!r}")
    if row.alias_of is not None:
        raise TypeError(f"{name} shares its URL with {row.alias_of}, which answers for both")
    claimed = (method, level, frozenset(subresources), header)
    expected = (row.method, row.level, row.subresources, row.header)
    if claimed != expected:
        raise TypeError(f"{name} is {_spell(*expected)} in S3, not {_spell(*claimed)}")

    def register(handler: _Handler) -> _Handler:
        if find_operation(name).handler is not None:
            raise TypeError(f"{name} has two handlers")
        _place(
            Operation(
                row.name,
                row.method,
                row.level,
                row.subresources,
                row.header,
                handler,
                action,
                body,
                row.status,
                row.parameters,
            )
        )
        return handler

    return register


def _spell(method: str, level: str, subresources: Iterable[str], header: str | None) -> str:
    query = "&".join(sorted(subresources))
    return f"{method} {level}" + (f" ?{query}" if query else "") + (f" {header}" if header else "")


def operations() -> Iterator[Operation]:
    """Every operation that S3 has, built or not, once each; aliases are left out."""
    for slot in _TABLE.values():
        if slot.plain is not None:
            yield slot.plain
        if slot.with_header is not None:
            yield slot.with_header


def find_operation(name: str) -> Operation:
    """The operation of that name, an alias's newer twin included.

    :raises KeyError: S3 has no operation of that name.
    """
    row = _MODEL[name]
    if row.alias_of is not None:
        row = _MODEL[row.alias_of]
    slot = _TABLE[row.method, row.level, row.subresources]
    found = slot.plain if row.header is None else slot.with_header
    if found is None:
        raise KeyError(name)
    return found


def resolve(method: str, level: Level, query: Query, environ: Mapping[str, Any]) -> Operation:
    """The operation that a request asks for.

    :raises NotImplemented: s3kit does not have it (the message names it), or a query key that S3
        does not know must not be ignored here: any on DELETE, one without a value on PUT and POST.
    :raises MethodNotAllowed: nothing takes this method here, or the sub-resource does not.
    :raises InvalidArgument: two sub-resources at once, or a version id where none belongs.
    :raises InvalidRequest: a key that needs a companion, or an object, stands alone.
    """
    slot = _select(method, level, query) if query.items else _PLAIN.get((method, level))
    if slot is None:
        raise _not_allowed(method, level, "SERVICE" if level == "service" else level.upper())
    if slot.with_header is not None and slot.header_key in environ:
        found = slot.with_header
    elif slot.plain is not None:
        found = slot.plain
    else:
        raise _not_allowed(method, level, level.upper())
    if found.handler is None:
        raise NotImplementedByS3(f"The operation {found.name} is not implemented.")
    return found


def _select(method: str, level: Level, query: Query) -> _Slot | None:
    names = query.names
    selected = names & _SELECTORS[level]
    if len(selected) > 1:
        ordered = sorted(selected)
        raise InvalidArgument(
            f"Conflicting query string parameters: {', '.join(ordered)}",
            argument_name="ResourceType",
            argument_value=ordered[0],
        )
    slot: _Slot | None
    if selected:
        slot = _subresource(method, level, selected, names)
    elif level == "bucket" and method == "GET" and query.get("list-type") == "2":
        # S3 answers every other list-type as the first version.
        slot = _TABLE["GET", "bucket", _LIST_TYPE]
    else:
        slot = _PLAIN.get((method, level))
    if slot is None:
        return None
    if method in ("GET", "HEAD") and level == "object":
        # S3 ignores what it does not know on a read: photo.jpg?ver=6.1 is real traffic. A bare
        # word of the other level is no version stamp but a misdirected call.
        if not names.isdisjoint(_ALL_SELECTORS):
            _refuse_other_level(method, level, query, selected)
        return slot
    _check_rest(method, level, query, selected, slot)
    return slot


def _subresource(
    method: str, level: Level, selected: frozenset[str], names: frozenset[str]
) -> _Slot:
    for companion in names & _COMPANIONS:
        completed = _TABLE.get((method, level, selected | {companion}))
        if completed is not None:
            return completed
    alone = _TABLE.get((method, level, selected))
    if alone is not None:
        return alone
    (key,) = selected
    for companion in _COMPANIONS:
        incomplete = _TABLE.get((method, level, selected | {companion}))
        if incomplete is not None:
            if incomplete.plain is not None and incomplete.plain.handler is None:
                return incomplete
            raise InvalidRequest(f"Missing required parameter for this operation: {companion}")
    raise _not_allowed(method, level, key.upper(), selected)


def _check_rest(
    method: str, level: Level, query: Query, selected: frozenset[str], slot: _Slot
) -> None:
    """Refuse the query keys that must not be ignored in front of this operation."""
    known = slot.plain or slot.with_header
    accepted = known.parameters | known.subresources if known else frozenset()
    reading = method in ("GET", "HEAD")
    for name, value in query.items:
        if (
            name in accepted
            or name in selected
            or name[:2] in ("x-", "X-")
            or name in _SIGNATURE_KEYS
        ):
            continue
        if name == "versionId" and level != "service":
            raise InvalidArgument(
                "This operation does not accept a version-id.",
                argument_name="versionId",
                argument_value=value or "",
            )
        if level == "bucket" and name in ("uploadId", "partNumber"):
            raise InvalidRequest("A key must be specified")
        if reading:
            if not value and name in _ALL_SELECTORS:
                raise _not_allowed(method, level, name.upper())
            continue
        if name in _ALL_SELECTORS:
            raise _not_allowed(method, level, name.upper())
        if name == "partNumber" and method == "PUT":
            # Ignored, it would make an upload of one part overwrite the whole object.
            raise InvalidRequest("Missing required parameter for this operation: uploadId")
        if method == "DELETE" or (not value and name not in _PARAMETERS):
            raise NotImplementedByS3(
                f"The query parameter {name!r} implies functionality that is not implemented."
            )


def _refuse_other_level(method: str, level: Level, query: Query, selected: frozenset[str]) -> None:
    for name, value in query.items:
        if not value and name in _ALL_SELECTORS and name not in selected:
            raise _not_allowed(method, level, name.upper())


def _not_allowed(
    method: str, level: Level, resource_type: str, selected: frozenset[str] = frozenset()
) -> MethodNotAllowed:
    allowed = sorted(
        {
            row.method
            for row in _MODEL.values()
            if row.level == level and row.subresources - _COMPANIONS == selected
        }
    )
    return MethodNotAllowed(
        headers={"Allow": ", ".join(allowed)} if allowed else None,
        method=method,
        resource_type=resource_type,
    )
