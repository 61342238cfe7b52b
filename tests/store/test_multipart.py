"""What the checksums of a CompleteMultipartUpload are compared with; nothing passes unchecked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.profile import PROFILES
from s3kit.profile import Profile
from s3kit.wire import checksums
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.client import path_of

PATH = path_of("bucket", "key")
PIECES = [b"first,", b"second,", b"third"]
WHOLE = b"".join(PIECES)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setitem(PROFILES, "tiny", Profile(name="tiny", min_part=0))
    app = S3App(Config(keys={"AKIAPARTS": "secret"}, profile="tiny"))
    client = Client(app, Signer("AKIAPARTS", "secret"))
    client.put(path_of("bucket"))
    yield client
    app.close()


def digest(algorithm: str, data: bytes) -> str:
    return checksums.encode(checksums.digest_of(algorithm, data))


def composite(algorithm: str) -> str:
    return checksums.composite(
        algorithm, [checksums.digest_of(algorithm, piece) for piece in PIECES]
    )


class Sent:
    """An upload whose parts are sent, each with a checksum of its own if an algorithm is given."""

    def __init__(
        self, client: Client, algorithms: tuple[str | None, ...], declared: str | None = None
    ) -> None:
        self.client = client
        headers = {} if declared is None else {"x-amz-checksum-algorithm": declared}
        self.id = client.request("POST", PATH, "uploads", headers).text("UploadId")
        self.etags = []
        for number, (piece, algorithm) in enumerate(zip(PIECES, algorithms, strict=True), 1):
            headers = {}
            if algorithm is not None:
                headers = {checksums.HEADERS[algorithm]: digest(algorithm, piece)}
            query = f"partNumber={number}&uploadId={self.id}"
            answer = client.request("PUT", PATH, query, headers, piece)
            assert answer.status == 200
            self.etags.append(answer.headers["etag"])

    def complete(
        self, claims: tuple[str, str] | None = None, parts: tuple[str, ...] = ("", "", "")
    ) -> Answer:
        """Finish with a checksum of the whole, and with these elements in the parts."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>"
            for number, (etag, more) in enumerate(zip(self.etags, parts, strict=True), 1)
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        headers = {} if claims is None else {checksums.HEADERS[claims[0]]: claims[1]}
        return self.client.request("POST", PATH, f"uploadId={self.id}", headers, document)

    def refused(self, answer: Answer, code: str) -> None:
        assert (answer.status, answer.code) == (400, code), answer.body
        assert self.client.get(PATH).status == 404


NOTHING = (None, None, None)


def element(algorithm: str, value: str) -> str:
    return f"<Checksum{algorithm}>{value}</Checksum{algorithm}>"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
@pytest.mark.parametrize("data", [WHOLE, b"other"])
def test_a_checksum_that_nothing_can_verify_is_refused(
    client: Client, algorithm: str, data: bytes
) -> None:
    sent = Sent(client, NOTHING)
    answer = sent.complete((algorithm, digest(algorithm, data)))
    sent.refused(answer, "InvalidRequest")
    assert answer.text("Message") == (
        "Checksum Type mismatch occurred, expected checksum Type: crc64nvme, actual checksum "
        f"Type: {algorithm.lower()}"
    )
    assert sent.complete().status == 200


def test_nor_where_parts_have_checksums_of_several_kinds_or_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent(client, ("CRC32", None, "SHA256"))
    for algorithm in ("CRC32", "SHA256", "CRC64NVME"):
        sent.refused(sent.complete((algorithm, digest(algorithm, WHOLE))), "InvalidRequest")
    monkeypatch.setattr(checksums, "fast_crc64nvme", lambda: False)
    bare = Sent(client, NOTHING)
    bare.refused(bare.complete(("CRC64NVME", digest("CRC64NVME", WHOLE))), "InvalidRequest")
    value = digest("CRC64NVME", PIECES[0])
    answer = bare.complete(parts=(element("CRC64NVME", value), "", ""))
    bare.refused(answer, "InvalidRequest")
    assert bare.complete().status == 200


def test_a_crc64nvme_that_was_computed_unasked_verifies_the_whole(client: Client) -> None:
    sent = Sent(client, NOTHING)
    sent.refused(sent.complete(("CRC64NVME", digest("CRC64NVME", b"other"))), "BadDigest")
    assert sent.complete(("CRC64NVME", digest("CRC64NVME", WHOLE))).status == 200


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C"])
def test_crcs_of_parts_verify_the_wholes_too_where_no_type_was_declared(
    client: Client, algorithm: str
) -> None:
    """As SDKs send parts by default; they may know the object's own checksum as well."""
    for right in (digest(algorithm, WHOLE), composite(algorithm), composite(algorithm)[:-2]):
        sent = Sent(client, (algorithm,) * 3)
        client.delete(PATH)
        sent.refused(sent.complete((algorithm, digest(algorithm, b"other"))), "BadDigest")
        assert sent.complete((algorithm, right)).status == 200
        assert client.get(PATH).body == WHOLE


def test_a_declared_composite_checksum_is_no_checksum_of_the_whole(client: Client) -> None:
    sent = Sent(client, ("CRC32",) * 3, "CRC32")
    elements = tuple(element("CRC32", digest("CRC32", piece)) for piece in PIECES)
    sent.refused(sent.complete(("CRC32", digest("CRC32", WHOLE)), elements), "BadDigest")
    assert sent.complete(("CRC32", composite("CRC32")), elements).status == 200


@pytest.mark.parametrize("declared", [None, "CRC32"])
def test_a_parts_checksum_of_another_algorithm_than_it_was_sent_with_is_refused(
    client: Client, declared: str | None
) -> None:
    sent = Sent(client, ("CRC32",) * 3, declared)
    right = [element("CRC32", digest("CRC32", piece)) for piece in PIECES]
    for data in (PIECES[1], b"other"):
        for parts in (
            (right[0], element("SHA256", digest("SHA256", data)), right[2]),
            (right[0], right[1] + element("SHA256", digest("SHA256", data)), right[2]),
        ):
            sent.refused(sent.complete(parts=parts), "InvalidRequest")
    wrong = (right[0], element("CRC32", digest("CRC32", b"other")), right[2])
    sent.refused(sent.complete(parts=wrong), "InvalidPart")
    assert sent.complete(parts=tuple(right)).status == 200
