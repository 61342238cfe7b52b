"""S3 documents: one codec between dataclasses and XML.

A document is a dataclass with :func:`document` above it; the names of its elements follow from
the names of its fields (``version_id`` is ``VersionId``), or are given by :func:`field_xml`.
Nothing here knows any particular document.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Callable
from itertools import islice
from typing import Any
from typing import TypeVar
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from s3kit.errors import MalformedXML
from s3kit.errors import MaxMessageLengthExceeded

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
DEFAULT_LIMIT = 1 << 20
DEFAULT_ELEMENTS = 10_000
"""A Delete document, the largest but one, has some 6,000."""
ATTRIBUTES = 20_000

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_METADATA = "s3kit.xml"

T = TypeVar("T")
Append = Callable[[str], None]
Writer = Callable[[Any, Append], None]
Reader = Callable[[Element], Any]

# What XML 1.0 cannot carry, even as a character reference, besides what has to be escaped.
_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
# Whatever holds more of these has more attributes than any document of S3; the zeros are UTF-16's.
_ATTRIBUTE = re.compile(rb"=[\s\0]*+[\"']")
_REPLACEMENTS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}


def _replacement(match: re.Match[str]) -> str:
    return _REPLACEMENTS.get(match[0], "\ufffd")


def escape(text: str) -> str:
    """Return ``text`` ready to stand in an element or in a quoted attribute.

    A carriage return becomes a reference (a parser would read it as a line feed); characters
    that XML 1.0 cannot carry become U+FFFD.
    """
    if text.isascii() and text.isprintable():
        if "&" in text:
            text = text.replace("&", "&amp;")
        if '"' in text:
            text = text.replace('"', "&quot;")
        if "<" in text:
            text = text.replace("<", "&lt;")
        if ">" in text:
            text = text.replace(">", "&gt;")
        return text
    return _SPECIAL.sub(_replacement, text)


# --- declaring -----------------------------------------------------------------------------

_WORDS = {
    "etag": "ETag",
    "uri": "URI",
    "crc32": "CRC32",
    "crc32c": "CRC32C",
    "crc64nvme": "CRC64NVME",
    "sha1": "SHA1",
    "sha256": "SHA256",
    "sha512": "SHA512",
    "md5": "MD5",
    "xxhash64": "XXHASH64",
    "xxhash3": "XXHASH3",
    "xxhash128": "XXHASH128",
    "kms": "KMS",
    "arn": "ARN",
}


def element_name(field_name: str) -> str:
    """Return the element that a field of this name is written as.

    PascalCase, with S3's own capitals: ``etag`` is ``ETag``, ``checksum_crc32c`` is
    ``ChecksumCRC32C``, and ``id`` alone is ``ID`` (but ``upload_id`` is ``UploadId``).
    """
    if field_name == "id":
        return "ID"
    return "".join(_WORDS.get(word) or word.capitalize() for word in field_name.split("_"))


@dataclasses.dataclass(frozen=True, slots=True)
class _FieldXml:
    name: str | None
    item: str | None
    attribute: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Document:
    root: str
    namespace: str
    accepted: frozenset[str]


def field_xml(
    name: str | None = None,
    *,
    item: str | None = None,
    attribute: bool = False,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
) -> Any:
    """Declare a dataclass field whose element is not simply its own name in PascalCase.

    :param name: the element's (or attribute's) name.
    :param item: for a list: ``name`` is a wrapper around elements of this name. Without it the
        elements themselves are called ``name``.
    :param attribute: the value is an attribute, e.g. ``xsi:type``.
    """
    arguments: dict[str, Any] = {}
    if default is not dataclasses.MISSING:
        arguments["default"] = default
    if default_factory is not dataclasses.MISSING:
        arguments["default_factory"] = default_factory
    return dataclasses.field(metadata={_METADATA: _FieldXml(name, item, attribute)}, **arguments)


def document(
    root: str, *, namespace: str = NAMESPACE, also: tuple[str, ...] = ()
) -> Callable[[type[T]], type[T]]:
    """Make a dataclass a document with the root element ``root``.

    :param namespace: written on the root; ``""`` writes none. Reading accepts any and none.
    :param also: other root names that are accepted when reading.
    """

    def decorate(cls: type[T]) -> type[T]:
        declared = _Document(root, namespace, frozenset((root, *also)))
        setattr(cls, "__xml_document__", declared)  # noqa: B010 - mypy knows no such attribute
        return cls

    return decorate


# --- plans: what a class's fields mean, worked out at its first use --------------------------


class _Kind(enum.Enum):
    ATTRIBUTE = enum.auto()
    SINGLE = enum.auto()
    REPEATED = enum.auto()
    WRAPPED = enum.auto()


_SINGLE = _Kind.SINGLE
_REPEATED = _Kind.REPEATED


class _FieldPlan:
    __slots__ = (
        "absent_is_none",
        "attribute",
        "element",
        "from_text",
        "item",
        "kind",
        "optional",
        "read",
        "required",
        "write",
    )

    def __init__(self, owner: str, field: dataclasses.Field[Any], hint: Any) -> None:
        declared: _FieldXml = field.metadata.get(_METADATA) or _FieldXml(None, None, False)
        self.from_text: Callable[[str], Any] = _refuse
        self.attribute = field.name
        self.element = declared.name or element_name(field.name)
        self.item = declared.item
        self.required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        hint, self.optional = _without_none(hint)
        self.absent_is_none = False
        if declared.attribute:
            self.kind = _Kind.ATTRIBUTE
        elif typing.get_origin(hint) is list:
            (hint,) = typing.get_args(hint)
            self.kind = _Kind.REPEATED if declared.item is None else _Kind.WRAPPED
        else:
            self.kind = _Kind.SINGLE
        if declared.item is not None and self.kind is not _Kind.WRAPPED:
            raise TypeError(f"{owner}.{field.name}: item= is for lists")
        if self.required and self.optional:
            # "X | None" without a default says the same as "X | None = None".
            self.required = False
            self.absent_is_none = True
        name = declared.item or self.element
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if declared.attribute:
                raise TypeError(f"{owner}.{field.name}: an attribute is text")
            self.write = _nested_writer(name, hint)
            self.read = _nested_reader(hint)
        elif hint in _TO_TEXT or _is_enum(hint):
            writer = _attribute_writer if declared.attribute else _text_writer
            self.write = writer(name, _TO_TEXT.get(hint, escape))
            self.from_text = _FROM_TEXT.get(hint) or _enum_from(hint)
            self.read = _text_reader(self.from_text)
        else:
            raise TypeError(f"{owner}.{field.name}: the XML codec does not know {hint!r}")


class _Plan:
    __slots__ = ("attributes", "by_element", "children", "cls", "fields", "writers")

    def __init__(self, cls: type) -> None:
        # The class itself is named too, so that a document may be local to a test.
        hints = typing.get_type_hints(cls, localns={cls.__name__: cls})
        plans = [_FieldPlan(cls.__name__, field, hints[field.name]) for field in _fields(cls)]
        self.cls = cls
        self.fields = plans
        self.attributes = [plan for plan in plans if plan.kind is _Kind.ATTRIBUTE]
        self.children = [plan for plan in plans if plan.kind is not _Kind.ATTRIBUTE]
        self.writers = [
            (plan.attribute, plan.kind, plan.write, plan.element) for plan in self.children
        ]
        self.by_element = {plan.element: plan for plan in self.children}
        if len(self.by_element) != len(self.children):
            raise TypeError(f"{cls.__name__}: two fields have the same element")


_PLANS: dict[type, _Plan] = {}


def _plan(cls: type) -> _Plan:
    plan = _PLANS.get(cls)
    if plan is None:
        plan = _PLANS[cls] = _Plan(cls)
    return plan


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.StrEnum)


# --- writing -------------------------------------------------------------------------------


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


def _bytes_text(value: bytes) -> str:
    return escape(value.decode("utf-8", "replace"))


_TO_TEXT: dict[Any, Callable[[Any], str]] = {
    str: escape,
    int: str,
    bool: _bool_text,
    bytes: _bytes_text,
}


def _text_writer(name: str, to_text: Callable[[Any], str]) -> Writer:
    start = f"<{name}>"
    end = f"</{name}>"

    def write(value: Any, append: Append) -> None:
        append(start + to_text(value) + end)

    return write


def _attribute_writer(name: str, to_text: Callable[[Any], str]) -> Writer:
    prefix = f' xmlns:xsi="{_XSI}" {name}="' if name.startswith("xsi:") else f' {name}="'

    def write(value: Any, append: Append) -> None:
        append(f'{prefix}{to_text(value)}"')

    return write


def _nested_writer(name: str, cls: type) -> Writer:
    start = f"<{name}"
    end = f"</{name}>"

    def write(value: Any, append: Append) -> None:
        plan = _plan(cls)
        if plan.attributes:
            append(start)
            _write_attributes(plan, value, append)
            append(">")
        else:
            append(start + ">")
        _write_children(plan, value, append)
        append(end)

    return write


def _write_attributes(plan: _Plan, value: Any, append: Append) -> None:
    for field in plan.attributes:
        content = getattr(value, field.attribute)
        if content is not None:
            field.write(content, append)


def _write_children(plan: _Plan, value: Any, append: Append) -> None:
    for name, kind, write, element in plan.writers:
        content = getattr(value, name)
        if content is None:
            continue
        if kind is _SINGLE:
            write(content, append)
        elif kind is _REPEATED:
            for one in content:
                write(one, append)
        else:
            append(f"<{element}>")
            for one in content:
                write(one, append)
            append(f"</{element}>")


def to_xml(doc: object) -> bytes:
    """Return a document as UTF-8 XML with a declaration.

    :raises TypeError: when its class has no :func:`document` above it.
    """
    cls = type(doc)
    declared = _declared(cls)
    plan = _plan(cls)
    pieces = [DECLARATION, f"<{declared.root}"]
    append = pieces.append
    if declared.namespace:
        append(f' xmlns="{declared.namespace}"')
    _write_attributes(plan, doc, append)
    append(">")
    _write_children(plan, doc, append)
    append(f"</{declared.root}>")
    return "".join(pieces).encode()


def _declared(cls: type) -> _Document:
    declared = cls.__dict__.get("__xml_document__")
    if not isinstance(declared, _Document):
        raise TypeError(f"{cls.__name__} is no document: it needs @document(...)")
    return declared


# --- reading -------------------------------------------------------------------------------


def _int_from(text: str) -> int:
    text = text.strip()
    # int() alone would take "1_0", other scripts' digits and megabytes of them; 19 digits hold
    # every 64-bit number.
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        raise MalformedXML
    return int(text)


def _bool_from(text: str) -> bool:
    text = text.strip().lower()
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise MalformedXML


def _refuse(text: str) -> Any:
    raise MalformedXML


_FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _int_from,
    bool: _bool_from,
    bytes: str.encode,
}


def _enum_from(kind: type[enum.StrEnum]) -> Callable[[str], Any]:
    members = {member.value: member for member in kind}

    def from_text(text: str) -> Any:
        member = members.get(text.strip())
        if member is None:
            raise MalformedXML
        return member

    return from_text


def _text_reader(from_text: Callable[[str], Any]) -> Reader:
    def read(element: Element) -> Any:
        if len(element):
            raise MalformedXML
        return from_text(element.text or "")

    return read


def _nested_reader(cls: type) -> Reader:
    def read(element: Element) -> Any:
        return _read_into(_plan(cls), element)

    return read


def _local(tag: str) -> str:
    return tag.rpartition("}")[2] if tag[:1] == "{" else tag


def _read_into(plan: _Plan, element: Element) -> Any:
    values: dict[str, Any] = {}
    for child in element:
        field = plan.by_element.get(_local(child.tag))
        if field is None:
            continue
        name = field.attribute
        if field.kind is _Kind.REPEATED:
            values.setdefault(name, []).append(field.read(child))
        elif name in values:
            # Two readers of one document must not disagree about which of the two counts.
            raise MalformedXML
        elif field.kind is _Kind.WRAPPED:
            read = field.read
            values[name] = [read(one) for one in child if _local(one.tag) == field.item]
        else:
            values[name] = field.read(child)
    for name, text in element.attrib.items():
        for field in plan.attributes:
            if field.element.rpartition(":")[2] == _local(name):
                values[field.attribute] = field.from_text(text)
    for field in plan.fields:
        if field.attribute not in values:
            if field.required:
                raise MalformedXML
            if field.absent_is_none:
                values[field.attribute] = None
    return plan.cls(**values)


def from_xml(
    cls: type[T], data: bytes, limit: int = DEFAULT_LIMIT, elements: int = DEFAULT_ELEMENTS
) -> T:
    """Return the document that ``data`` holds; elements it does not know are ignored.

    :param limit: the most bytes to look at; parsing costs some 50 ns each.
    :param elements: what has more is refused before it is parsed, and twice as many always are;
        an element takes 20 times the memory of its bytes.
    :raises MalformedXML: not XML, a DTD, another root, a required element missing, one twice, or
        a number, truth value or word that it cannot be.
    :raises MaxMessageLengthExceeded: more than ``limit`` bytes.
    """
    if len(data) > limit:
        raise MaxMessageLengthExceeded(max_message_length_bytes=limit)
    # In every encoding that expat reads "<" has this byte. Most elements have two.
    if data.count(b"<") > 2 * elements or _has_many_attributes(data):
        raise MalformedXML
    declared = _declared(cls)
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        # ValueError and LookupError: encodings that expat or Python does not know.
        raise MalformedXML from error
    if _local(root.tag) not in declared.accepted:
        raise MalformedXML
    document: T = _read_into(_plan(cls), root)
    return document


def _has_many_attributes(data: bytes) -> bool:
    return next(islice(_ATTRIBUTE.finditer(data), ATTRIBUTES, None), None) is not None
