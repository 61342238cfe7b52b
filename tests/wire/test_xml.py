from __future__ import annotations

import enum
import re
import time
import tracemalloc
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from dataclasses import field

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies

from s3kit.errors import MalformedXML
from s3kit.errors import MaxMessageLengthExceeded
from s3kit.wire.xml import NAMESPACE
from s3kit.wire.xml import document
from s3kit.wire.xml import element_name
from s3kit.wire.xml import escape
from s3kit.wire.xml import field_xml
from s3kit.wire.xml import from_xml
from s3kit.wire.xml import to_xml


class Status(enum.StrEnum):
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@dataclass
class Tag:
    key: str
    value: str


@document("Tagging")
@dataclass
class Tagging:
    tag_set: list[Tag] = field_xml("TagSet", item="Tag", default_factory=list)


@dataclass
class Grantee:
    type: str = field_xml("xsi:type", attribute=True)
    id: str | None = None
    uri: str | None = None


@document("Everything", also=("OldEverything",))
@dataclass(kw_only=True, slots=True)
class Everything:
    text: str
    number: int
    flag: bool
    key: bytes
    status: Status
    etag: str | None = None
    size: int | None = None
    grantee: Grantee | None = None
    rule: list[Tag] = field(default_factory=list)
    name: list[str] = field_xml("Name", default_factory=list)
    wrapped: list[int] | None = field_xml("Wrapped", item="N", default=None)


@document("Delete")
@dataclass
class Delete:
    object: list[Tag]
    quiet: bool = False


# Everything that XML 1.0 can carry. Surrogates cannot even be encoded.
XML_TEXT = strategies.text(
    strategies.characters(
        exclude_categories=["Cs"],
        exclude_characters=[
            *map(chr, set(range(0x20)) - {0x09, 0x0A, 0x0D}),
            "\ufffe",
            "\uffff",
        ],
    )
)
TAGS = strategies.builds(Tag, XML_TEXT, XML_TEXT)
NUMBERS = strategies.integers(-(2**63), 2**63 - 1)
EVERYTHING = strategies.builds(
    Everything,
    text=XML_TEXT,
    number=NUMBERS,
    flag=strategies.booleans(),
    key=XML_TEXT.map(str.encode),
    status=strategies.sampled_from(Status),
    etag=strategies.none() | XML_TEXT,
    size=strategies.none() | NUMBERS,
    grantee=strategies.none()
    | strategies.builds(
        Grantee,
        strategies.sampled_from(["CanonicalUser", "Group"]),
        strategies.none() | XML_TEXT,
        strategies.none() | XML_TEXT,
    ),
    rule=strategies.lists(TAGS, max_size=3),
    name=strategies.lists(XML_TEXT, max_size=3),
    wrapped=strategies.none() | strategies.lists(NUMBERS, max_size=3),
)
SMALL = Everything(text="t", number=1, flag=True, key=b"k", status=Status.ENABLED)


@given(EVERYTHING)
def test_what_is_written_is_read_back(everything: Everything) -> None:
    assert from_xml(Everything, to_xml(everything)) == everything


@given(EVERYTHING)
def test_another_parser_reads_the_same_text(everything: Everything) -> None:
    root = ElementTree.fromstring(to_xml(everything))
    assert root.tag == f"{{{NAMESPACE}}}Everything"
    assert (root.findtext(f"{{{NAMESPACE}}}Text") or "") == everything.text


@given(strategies.text())
@example("\x00\x0b\x1f\ufffe\uffff\ud800\udfff")
def test_any_text_at_all_becomes_well_formed(text: str) -> None:
    read = ElementTree.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>'.encode()).text or ""
    assert len(read) == len(text)
    for got, sent in zip(read, text, strict=True):
        assert got in (sent, "\ufffd")


@given(strategies.text("ab <&>\"'é\r\n"))
def test_escape_leaves_nothing_that_opens_a_tag_or_ends_an_attribute(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set('<>"\r')
    assert not re.search("&(?!(amp|lt|gt|quot|#13);)", escaped)


def test_a_document_is_written_as_s3_does() -> None:
    assert to_xml(Tagging([Tag("a", "<&>\r")])) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<TagSet><Tag><Key>a</Key><Value>&lt;&amp;&gt;&#13;</Value></Tag></TagSet></Tagging>"
    )


def test_absent_optionals_are_not_written_and_empty_wrappers_are() -> None:
    assert b"ETag" not in to_xml(SMALL)
    assert b"<TagSet></TagSet>" in to_xml(Tagging())


def test_a_grantee_carries_its_type_as_an_attribute_with_the_namespace_it_needs() -> None:
    everything = from_xml(Everything, to_xml(SMALL))
    everything.grantee = Grantee("Group", uri="http://x/AllUsers")
    written = to_xml(everything)
    assert (
        b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
        b"<URI>http://x/AllUsers</URI></Grantee>" in written
    )
    without_namespaces = re.sub(rb' xmlns(:\w+)?="[^"]*"', b"", written).replace(b"xsi:", b"")
    assert from_xml(Everything, without_namespaces) == everything


@pytest.mark.parametrize(
    ("field_name", "element"),
    [
        ("version_id", "VersionId"),
        ("id", "ID"),
        ("upload_id", "UploadId"),
        ("etag", "ETag"),
        ("checksum_crc32c", "ChecksumCRC32C"),
        ("checksum_crc64nvme", "ChecksumCRC64NVME"),
        ("checksum_sha256", "ChecksumSHA256"),
        ("uri", "URI"),
        ("is_truncated", "IsTruncated"),
    ],
)
def test_fields_are_named_in_s3s_spelling(field_name: str, element: str) -> None:
    assert element_name(field_name) == element


@pytest.mark.parametrize(
    "xmlns",
    ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="http://x/"'],
)
def test_any_namespace_and_none_is_read(xmlns: str) -> None:
    data = f"<Tagging{xmlns}><TagSet><Tag><Key>k</Key><Value/></Tag></TagSet></Tagging>"
    assert from_xml(Tagging, data.encode()) == Tagging([Tag("k", "")])


def test_unknown_elements_comments_and_white_space_between_elements_are_ignored() -> None:
    data = (
        b"<Tagging><New><Deep>1</Deep></New><!-- hello -->\n <TagSet>\n <Other/>"
        b"<Tag>\n<Value>v</Value>\n<Key>k</Key></Tag></TagSet></Tagging>"
    )
    assert from_xml(Tagging, data) == Tagging([Tag("k", "v")])


def test_blanks_around_a_key_belong_to_it_but_not_to_a_number_or_word() -> None:
    data = to_xml(SMALL).replace(b">t<", b"> t <").replace(b">true<", b"> TRUE\n<")
    data = data.replace(b">1<", b"> 1 <").replace(b">Enabled<", b"> Enabled <")
    assert from_xml(Everything, data) == Everything(
        text=" t ", number=1, flag=True, key=b"k", status=Status.ENABLED
    )


def test_another_accepted_root_is_read() -> None:
    assert from_xml(Everything, to_xml(SMALL).replace(b"Everything", b"OldEverything")) == SMALL


def test_utf_16_and_latin_1_documents_are_read() -> None:
    text = "<Tagging><TagSet><Tag><Key>é</Key><Value>ü</Value></Tag></TagSet></Tagging>"
    expected = Tagging([Tag("é", "ü")])
    assert from_xml(Tagging, text.encode("utf-16")) == expected
    declared = '<?xml version="1.0" encoding="ISO-8859-1"?>' + text
    assert from_xml(Tagging, declared.encode("latin-1")) == expected


BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + "".join(f'<!ENTITY b{n} "{"&b;" * 10}">' for n in range(5))
    + "]><Tagging><TagSet>&b4;</TagSet></Tagging>"
)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"{}", id="json"),
        pytest.param(b"\x00\xff", id="bytes"),
        pytest.param(b"<Tagging>", id="unclosed"),
        pytest.param(b"<Tagging><TagSet/></Tagging><x/>", id="two roots"),
        pytest.param(b"<Other><TagSet/></Other>", id="other root"),
        pytest.param(b"<tagging/>", id="root in lower case"),
        pytest.param(b"<Tagging>&nope;</Tagging>", id="unknown entity"),
        pytest.param(b"<Tagging>&#1;</Tagging>", id="character reference that is no character"),
        pytest.param(b"<Tagging>\xff\xfe</Tagging>", id="no UTF-8"),
        pytest.param(b'<?xml version="1.0" encoding="utf-7"?><Tagging/>', id="utf-7"),
        pytest.param(b'<?xml version="1.0" encoding="nope"?><Tagging/>', id="unknown encoding"),
        pytest.param(b"<!DOCTYPE Tagging><Tagging/>", id="DTD without entities"),
        pytest.param(b'<!DOCTYPE a SYSTEM "http://127.0.0.1/"><Tagging/>', id="A088 outer DTD"),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Tagging>&b;</Tagging>',
            id="A087 entity from a file",
        ),
        pytest.param(BOMB.encode(), id="A089 bomb"),
        pytest.param(
            b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", id="missing element"
        ),
        pytest.param(b"<Tagging><TagSet/><TagSet/></Tagging>", id="an element twice"),
        pytest.param(
            b"<Tagging><TagSet><Tag><Key>k<b/></Key><Value/></Tag></TagSet></Tagging>",
            id="element where text belongs",
        ),
    ],
)
def test_what_is_not_this_document_is_malformed_xml(data: bytes) -> None:
    """A087-A090: parser errors, DTDs and entities are a 400, never a 500 and never followed."""
    with pytest.raises(MalformedXML):
        from_xml(Tagging, data)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"<Number>1<", b"<Number>x<"),
        (b"<Number>1<", b"<Number><"),
        (b"<Number>1<", b"<Number>1.0<"),
        (b"<Number>1<", b"<Number>1_0<"),
        (b"<Number>1<", b"<Number>\xd9\xa1<"),
        (b"<Number>1<", b"<Number>" + b"9" * 5000 + b"<"),
        (b"<Flag>true<", b"<Flag>yes<"),
        (b"<Flag>true<", b"<Flag><"),
        (b"<Status>Enabled<", b"<Status>enabled<"),
        (b"<Status>Enabled<", b"<Status><"),
    ],
)
def test_a_wrong_number_truth_value_or_word_is_malformed_xml(good: bytes, bad: bytes) -> None:
    data = to_xml(SMALL)
    assert good in data
    with pytest.raises(MalformedXML):
        from_xml(Everything, data.replace(good, bad))


def test_a_list_without_default_wants_at_least_one() -> None:
    assert from_xml(
        Delete, b"<Delete><Object><Key>k</Key><Value/></Object><Quiet>1</Quiet></Delete>"
    ) == Delete([Tag("k", "")], True)
    with pytest.raises(MalformedXML):
        from_xml(Delete, b"<Delete><Quiet>true</Quiet></Delete>")


def test_an_oversized_document_is_refused_before_it_is_parsed() -> None:
    assert from_xml(Tagging, b"<Tagging/>", limit=10) == Tagging()
    with pytest.raises(MaxMessageLengthExceeded):
        from_xml(Tagging, b"<Tagging/> ", limit=10)


def test_more_elements_than_a_document_may_have_are_refused_before_they_are_parsed() -> None:
    for stuffing in (b"<a/>", b"<a></a>", b"<!---->", b"<?a?>"):
        assert from_xml(Tagging, b"<Tagging>%s</Tagging>" % (stuffing * 9), elements=10)
        with pytest.raises(MalformedXML):
            from_xml(Tagging, b"<Tagging>%s</Tagging>" % (stuffing * 21), elements=10)
        for encoding in ("utf-16", "utf-8-sig", "iso-8859-1", "cp1252"):
            declared = f"<?xml version='1.0' encoding='{encoding.removesuffix('-sig')}'?>"
            full = f"{declared}<Tagging>{stuffing.decode() * 21}</Tagging>"
            with pytest.raises(MalformedXML):
                from_xml(Tagging, full.encode(encoding), elements=10)


def test_a_document_that_is_as_large_as_it_may_be_costs_little_to_refuse() -> None:
    size = 8 << 20
    names = b"".join(b' a%x=""' % number for number in range(size // 10))
    spaced = b"".join(b"\na%x =\t'%x'" % (number, number) for number in range(size // 20))
    for inner in (
        b"<a/>" * (size // 4 - 10),
        b"<a>" * (size // 3 - 10),
        b"<a%s/>" % names[: size - 100],
        b"<a%s/>" % spaced,
        b"<a%s/>" % spaced.decode().encode("utf-16-le"),
        b"=" * (size - 100),
        b"= " * (size // 2 - 100),
        b"=" + b" " * (size - 100),
    ):
        data = b"<Tagging>%s</Tagging>" % inner[: size - 19]
        tracemalloc.start()
        started = time.thread_time()
        try:
            from_xml(Tagging, data, limit=size)
        except MalformedXML:
            pass
        assert time.thread_time() - started < 1
        assert tracemalloc.get_traced_memory()[1] < 4 * size
        tracemalloc.stop()


@given(strategies.binary(max_size=200))
def test_arbitrary_bytes_are_malformed_xml(data: bytes) -> None:
    with pytest.raises(MalformedXML):
        from_xml(Delete, data)


@given(strategies.text("<>/DeleteObjKyVau& ;#x!-[]", max_size=60))
def test_nearly_xml_never_ends_in_another_error(text: str) -> None:
    try:
        from_xml(Delete, f"<Delete>{text}</Delete>".encode())
    except MalformedXML:
        pass


def test_a_class_that_the_codec_cannot_carry_is_a_programming_error() -> None:
    @document("Bad")
    @dataclass
    class Bad:
        value: float

    @document("Twice")
    @dataclass
    class Twice:
        key: str
        other: str = field_xml("Key")

    for wrong in (Bad(1.0), Twice("a", "b"), Tag("not", "a document")):
        with pytest.raises(TypeError):
            to_xml(wrong)
