"""Postman through every door: its own runtime sends the requests of a collection.

The program ``tests/clients/sdk/javascript/postman.mjs`` reads a request per line, written as in an
exported collection, and answers with what was sent and received.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from urllib.parse import quote
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.clients.conftest import KEY
from tests.clients.doors import Door
from tests.clients.sdks import installed

NAMES = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Postman:
    """Postman's runtime, with an AWS signature on every request as its form makes it."""

    def __init__(self, door: Door, home: Path) -> None:
        self.door = door
        node, program = installed("node", "javascript/postman.mjs")
        self.errors = home / "postman.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [node, "--no-deprecation", "--preserve-symlinks-main", str(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath)},
            )

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def send(
        self,
        method: str,
        path: str,
        *,
        in_query: bool = True,
        body: str | None = None,
        secret_key: str = KEY.secret_key,
    ) -> Any:
        """Send one request.

        :param in_query: whether "Add authorization data to" is "Request URL".
        """
        words: dict[str, Any] = {
            "accessKey": KEY.access_key,
            "secretKey": secret_key,
            "region": "us-east-1",
            "service": "s3",
            "sessionToken": "",
            "addAuthDataToQuery": in_query,
        }
        request: dict[str, Any] = {
            "method": method,
            "url": self.door.url + path,
            "auth": {
                "type": "awsv4",
                "awsv4": [{"key": name, "value": value} for name, value in words.items()],
            },
        }
        if body is not None:
            request["body"] = {"mode": "raw", "raw": body}
        certfile = str(self.door.certfile) if self.door.certfile else None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"request": request, "certfile": certfile}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer["result"]


@pytest.fixture
def postman(door: Door, tmp_path: Path) -> Iterator[Postman]:
    opened = Postman(door, tmp_path)
    yield opened
    opened.close()


def texts(answer: Any, path: str) -> list[str | None]:
    root = ElementTree.fromstring(answer["body"])
    return [each.text for each in root.findall("/".join(NAMES + tag for tag in path.split("/")))]


def test_a_signature_in_the_request_url_lists_a_bucket(postman: Postman, name: str) -> None:
    """FB-20: a GET of the bucket, service s3, region us-east-1, no session token."""
    client = postman.door.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="a folder/ü+.txt", Body=b"hello")
    answer = postman.send("GET", f"/{name}")
    assert answer["status"] == 200, answer["body"]
    assert answer["headers"]["content-type"] == "application/xml"
    assert texts(answer, "Contents/Key") == ["a folder/ü+.txt"]
    assert "authorization" not in answer["sent"]
    # What Postman signs: a day, its own host and nothing that it sends besides.
    query = dict(parse_qsl(urlsplit(answer["url"]).query))
    assert query["X-Amz-Expires"] == "86400"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert not {"X-Amz-Security-Token", "X-Amz-Content-Sha256"} & set(query)

    refused = postman.send("GET", f"/{name}", secret_key="wrong")
    assert refused["status"] == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in refused["body"]


def test_requests_with_a_body_a_query_or_a_key_of_any_letters(postman: Postman, name: str) -> None:
    """FB-20, and with the signature in the headers."""
    key = "folder/a key ü+%&=.txt"
    path = f"/{name}/{quote(key)}"
    for in_query in (True, False):
        assert postman.send("PUT", f"/{name}", in_query=in_query)["status"] == 200
        assert name in texts(postman.send("GET", "/", in_query=in_query), "Buckets/Bucket/Name")
        assert postman.send("PUT", path, in_query=in_query, body="hello ü")["status"] == 200
        listing = f"/{name}?list-type=2&delimiter=/&prefix=folder/a%20key"
        answer = postman.send("GET", listing, in_query=in_query)
        assert texts(answer, "Contents/Key") == [key]
        answer = postman.send("GET", f"{path}?response-content-type=text/x", in_query=in_query)
        assert (answer["status"], answer["body"]) == (200, "hello ü")
        assert answer["headers"]["content-type"] == "text/x"
        assert postman.send("DELETE", path, in_query=in_query)["status"] == 204
        assert postman.send("DELETE", f"/{name}", in_query=in_query)["status"] == 204
        assert postman.send("GET", f"/{name}", in_query=in_query)["status"] == 404
