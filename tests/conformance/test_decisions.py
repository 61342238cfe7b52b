"""What was decided for each operation of S3, and that it is so.

``decisions.tsv``: **M** must, **S** should, **C** keeps and shows the document, each answered as
Amazon S3 answers it; **N** is a proper 501 by its own name.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3kit.app import S3App
from s3kit.config import Config
from s3kit.wire.routing import find_operation
from s3kit.wire.service_model import EXTRA_OPERATIONS
from s3kit.wire.service_model import OPERATIONS
from tests.client import Client
from tests.client import Signer

DECISIONS = {
    row["operation"]: row["decision"]
    for row in csv.DictReader(
        Path(__file__).with_name("decisions.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
    )
}
ROWS = {row.name: row for row in (*OPERATIONS, *EXTRA_OPERATIONS)}
ME = Signer("AKDECIDED", "decided-secret")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    app = S3App(Config(keys={ME.access_key: ME.secret_key}))
    made = Client(app, ME)
    assert made.put("/decided").status == 200
    assert made.put("/decided/k", b"the object").status == 200
    yield made
    app.close()


def test_every_operation_has_one_decision() -> None:
    assert DECISIONS.keys() == ROWS.keys()
    assert Counter(DECISIONS.values()) == {"M": 67, "S": 14, "C": 23, "N": 13}


@pytest.mark.parametrize("name", [name for name, word in DECISIONS.items() if word != "N"])
def test_what_must_or_should_be_there_has_a_handler(name: str) -> None:
    assert find_operation(name).handler is not None


@pytest.mark.parametrize("name", [name for name, word in DECISIONS.items() if word == "N"])
def test_what_will_not_be_there_answers_501_by_its_name(client: Client, name: str) -> None:
    row = ROWS[name]
    query = "&".join(sorted(row.subresources))
    path = {"service": "/", "bucket": "/decided", "object": "/decided/k"}[row.level]
    headers = {} if row.header is None else {row.header: "x"}
    answer = client.request(row.method, path, query, headers)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert answer.text("Message") == f"The operation {name} is not implemented."
    assert client.get("/decided/k").body == b"the object"
