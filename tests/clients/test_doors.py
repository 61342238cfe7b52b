"""What holds at every door, and what a host app keeps for itself."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.clients.doors import DOORS
from tests.clients.doors import Door
from tests.clients.doors import Listener
from tests.clients.doors import MountedDoor
from tests.clients.doors import OpenDoor
from tests.clients.raw import Connection
from tests.clients.raw import presigned


@pytest.fixture(params=["flask", "django"])
def mounted(request: pytest.FixtureRequest, door_of: OpenDoor) -> MountedDoor:
    found = door_of(request.param)
    assert isinstance(found, MountedDoor)
    return found


def test_metadata_names_may_have_underscores(door: Door, name: str) -> None:
    """Servers leave such headers out unless they are told."""
    client = door.client()
    client.create_bucket(Bucket=name)
    metadata = {"a_b": "c", "d.e": "f", "g-h": "i"}
    client.put_object(Bucket=name, Key="k", Body=b"x", Metadata=metadata)
    assert client.head_object(Bucket=name, Key="k")["Metadata"] == metadata


def test_the_root_of_a_host_is_the_same_s3(door: Door, name: str) -> None:
    door.client().create_bucket(Bucket=name)
    door.client().put_object(Bucket=name, Key="k", Body=b"hello")
    got = door.client(url=door.root_url).get_object(Bucket=name, Key="k")
    assert got["Body"].read() == b"hello"


def test_a_host_keeps_its_pages_and_its_limits(mounted: MountedDoor) -> None:
    """The limit that S3 uploads never meet is a limit all the same."""
    with urllib.request.urlopen(f"{mounted.host_url}/", timeout=60) as page:
        assert page.read() == b"the host's own page"
    with urllib.request.urlopen(f"{mounted.host_url}/form", bytes(900), timeout=60) as page:
        assert page.read() == b"900"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{mounted.host_url}/form", bytes(2000), timeout=60)
    error.value.close()
    assert error.value.code in (400, 413)


@pytest.mark.parametrize("door", sorted({*DOORS} - {"granian", "nginx"}), indirect=True)
def test_a_refused_upload_is_not_asked_for(door: Door, name: str) -> None:
    """``Expect: 100-continue``: curl and the SDKs then send nothing of the 5 GB."""
    host, _, port = door.url.removeprefix("http://").partition("/")[0].partition(":")
    place = Listener(host, int(port))
    target = f"{door.url.partition(place.netloc)[2]}/{name}/k"
    with Connection(place) as connection:
        headers = {"Content_Length": str(5 << 30), "Expect": "100-continue"}
        connection.send(presigned(place, "PUT", target, **headers))
        answer = connection.answer()
    assert (answer.status, answer.interim, answer.code) == (404, [], "NoSuchBucket")
