"""What is measured: each case builds the requests for one server; the requests are the same."""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from benchmarks import access
from benchmarks import filling
from benchmarks.load import Load
from benchmarks.load import Request
from benchmarks.servers import FEW
from benchmarks.servers import FEW_ALIKE
from benchmarks.servers import LISTED
from benchmarks.servers import MANY
from benchmarks.servers import SMALL
from benchmarks.servers import Server
from benchmarks.servers import Sizes
from s3kit.config import DEFAULT_ACCOUNT

KEYS = 2000
NEW_KEYS = 6000
FRESH_KEYS = 500
GUARDED = "guarded"
"""The bucket that has a policy."""
PAGES = 40
PAGE = 1000
FOLDERS_SHOWN = 90
BODY = bytes(range(256)) * 4
BIG = memoryview(random.Random(64).randbytes(1 << 20) * 64)
BIG_SHA256 = hashlib.sha256(BIG).hexdigest()
BIG_GIB = len(BIG) / (1 << 30)
BIG_KEY = "big"

Build = Callable[[Server, Sizes, str, int], list[Request]]


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    :param on: the kinds of server that it makes sense on: s3kit, relaxed, hooked, audited, bare,
        nginx, moto, rclone.
    :param build: the requests for (server, sizes, variant, round).
    :param variants: measured each on its own and compared with one another.
    :param limit: requests in one burst at most.
    :param warm: requests before a burst at most, not counted.
    :param big: figures are for a GiB and not for a request.
    :param before: what is done first and not counted.
    :param size: bytes that each response body must have.
    :param elements: how many of which element each response must hold.
    :param others: the variants on kinds of server that have others.
    :param against: which variant of the same round each is compared with in the table, in place
        of the peers.
    """

    name: str
    title: str
    on: frozenset[str]
    build: Build
    connections: int = 4
    variants: tuple[str, ...] = ("",)
    limit: int | None = None
    warm: int | None = None
    big: bool = False
    before: Callable[[Server, int], None] | None = None
    size: int | None = None
    elements: tuple[str, int] | None = None
    seconds: float = 1.0
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    against: Mapping[str, str] = field(default_factory=dict)

    def variants_on(self, kind: str) -> tuple[str, ...]:
        """What is measured on this kind of server."""
        return self.others.get(kind, self.variants)

    def lines(self, variant: str) -> int:
        """How many connections a variant loads the server with."""
        return int(variant) if self.name == "writers" else self.connections


def small_key(number: int) -> str:
    return f"object-{number:05d}"


def _get(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    numbers = random.Random(turn).sample(range(KEYS), KEYS)
    return [
        Request(server.signer.request("GET", f"/{SMALL}/{small_key(number)}")) for number in numbers
    ]


def fresh_key(turn: int, number: int) -> str:
    return f"fresh-{turn}-{number:05d}"


def _put_fresh(server: Server, turn: int) -> None:
    requests = [
        Request(server.signer.request("PUT", f"/{SMALL}/{fresh_key(turn, number)}", body=BODY))
        for number in range(FRESH_KEYS)
    ]
    with Load(server.process.port, 1) as load:
        load.burst(requests, seconds=60.0, limit=len(requests))


def _get_fresh(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [
        Request(server.signer.request("GET", f"/{SMALL}/{fresh_key(turn, number)}"))
        for number in range(FRESH_KEYS)
    ]


def _get_hot(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [Request(server.signer.request("GET", f"/{SMALL}/{small_key(0)}"))]


def _put_guarded(server: Server, turn: int) -> None:
    if turn:
        return
    policy = access.statements(GUARDED, [DEFAULT_ACCOUNT])
    requests = [
        Request(server.signer.request("PUT", f"/{GUARDED}", body=b"")),
        Request(server.signer.request("PUT", f"/{GUARDED}", {"policy": ""}, body=policy)),
    ]
    requests += [
        Request(server.signer.request("PUT", f"/{GUARDED}/{small_key(number)}", body=BODY))
        for number in range(FRESH_KEYS)
    ]
    with Load(server.process.port, 1) as load:
        done = load.burst(requests, seconds=60.0, limit=len(requests))
        if done.errors:
            raise RuntimeError(f"{server.name} refused the policy's bucket: {done.first_error}")


def _get_guarded(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [
        Request(server.signer.request("GET", f"/{variant}/{small_key(number)}"))
        for number in random.Random(turn).sample(range(FRESH_KEYS), FRESH_KEYS)
    ]


def _make_access(server: Server, turn: int) -> None:
    if not server.prepared:
        access.prepare(server.callers, server.host, server.process.port)
        server.prepared = True


def _get_access(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return access.requests_of(variant, server.callers, server.host, turn)


def _head(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [
        Request(server.signer.request("HEAD", f"/{SMALL}/{small_key(number)}"), without_body=True)
        for number in random.Random(turn).sample(range(KEYS), KEYS)
    ]


def _put(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    digest = hashlib.sha256(BODY).hexdigest()
    return [
        Request(
            server.signer.request(
                "PUT",
                f"/{SMALL}/new-{variant}-{turn}-{number:05d}",
                body=BODY,
                payload_sha256=digest,
            )
        )
        for number in range(NEW_KEYS)
    ]


def _get_big(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [Request(server.signer.request("GET", f"/{SMALL}/{BIG_KEY}"))]


def big_put(server: Server) -> Request:
    """A PUT of 64 MiB over the one big key."""
    head = server.signer.request(
        "PUT", f"/{SMALL}/{BIG_KEY}", length=len(BIG), payload_sha256=BIG_SHA256
    )
    return Request(head, BIG)


def _put_big(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [big_put(server)]


def _list(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    choice = random.Random(turn)
    return [
        _page(
            server,
            LISTED,
            **{"start-after": filling.key_of(choice.randrange(max(1, sizes.listed - PAGE - 1)))},
        )
        for _ in range(PAGES)
    ]


def _page(server: Server, bucket: str, **query: str) -> Request:
    asked = {"list-type": "2", "max-keys": str(PAGE), **query}
    return Request(server.signer.request("GET", f"/{bucket}", asked))


def _count(sizes: Sizes, bucket: str) -> int:
    return sizes.few if bucket == FEW else sizes.many


def _flat_page(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    choice = random.Random(turn)
    count = _count(sizes, variant)
    starts = (choice.randrange(max(1, count - PAGE - 1)) for _ in range(PAGES))
    return [
        _page(server, variant, **{"start-after": filling.foldered_key_of(start, count)})
        for start in starts
    ]


def _prefix_page(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [
        _page(server, variant, delimiter="/", prefix=f"{top:02d}/")
        for top in range(filling.FOLDERS)
    ]


def _folder_page(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    choice = random.Random(turn)
    each = max(1, sizes.many // (filling.FOLDERS * filling.SUBFOLDERS))
    folders = filling.SUBFOLDERS if variant == MANY else sizes.few // each
    return [
        _page(
            server,
            variant,
            delimiter="/",
            prefix="00/",
            **{
                "max-keys": str(FOLDERS_SHOWN),
                "start-after": f"00/{choice.randrange(folders - FOLDERS_SHOWN):03d}/",
            },
        )
        for _ in range(PAGES)
    ]


def _root_page(server: Server, sizes: Sizes, variant: str, turn: int) -> list[Request]:
    return [_page(server, variant, delimiter="/")]


_SERVES = frozenset({"s3kit", "moto", "rclone"})

CASES = (
    Case("get", "GET 1 KiB, distinct keys", _SERVES | {"bare", "nginx"}, _get, size=len(BODY)),
    Case(
        "get-hot", "GET 1 KiB, one hot key", _SERVES | {"bare", "nginx"}, _get_hot, size=len(BODY)
    ),
    Case(
        "get-fresh",
        "GET 1 KiB, distinct keys written a moment ago",
        _SERVES,
        _get_fresh,
        before=_put_fresh,
        size=len(BODY),
    ),
    Case(
        "policy",
        "GET 1 KiB, without a bucket policy against one of 20 statements",
        frozenset({"s3kit"}),
        _get_guarded,
        variants=(SMALL, GUARDED),
        before=_put_guarded,
        size=len(BODY),
    ),
    Case(
        "access",
        "1 KiB by who asks, and by what decides whether they may",
        frozenset({"s3kit", "hooked", "audited"}),
        _get_access,
        variants=(*access.GETS, *access.PUTS),
        warm=50,
        before=_make_access,
        others={"hooked": (access.HOOKED,), "audited": (access.AUDITED,)},
        against=access.AGAINST,
    ),
    Case("head", "HEAD, distinct keys", _SERVES | {"nginx"}, _head),
    Case("put", "PUT 1 KiB, durable (s3kit's default)", _SERVES, _put),
    Case("put-relaxed", "PUT 1 KiB, relaxed", frozenset({"relaxed"}), _put),
    Case(
        "get-64m",
        "GET 64 MiB",
        _SERVES | {"nginx"},
        _get_big,
        connections=1,
        limit=40,
        warm=2,
        big=True,
        size=len(BIG),
        seconds=2.0,
    ),
    Case(
        "put-64m",
        "PUT 64 MiB over one key",
        _SERVES | {"bare"},
        _put_big,
        connections=1,
        limit=6,
        warm=1,
        big=True,
        seconds=10.0,
    ),
    Case(
        "list",
        "page of 1,000 keys in a large bucket",
        _SERVES,
        _list,
        connections=1,
        warm=1,
        elements=("Key", PAGE),
    ),
    Case(
        "page",
        "page of 1,000 keys, few against many keys",
        frozenset({"s3kit"}),
        _flat_page,
        connections=1,
        variants=(FEW, MANY),
        elements=("Key", PAGE),
    ),
    Case(
        "page-prefixes",
        "page of 1,000 common prefixes of 1 key each against 100 keys each",
        frozenset({"s3kit"}),
        _prefix_page,
        connections=1,
        variants=(FEW, MANY),
        elements=("CommonPrefixes", filling.SUBFOLDERS),
    ),
    Case(
        "page-folders",
        "page of 90 common prefixes of 100 keys each, few against many keys",
        frozenset({"s3kit"}),
        _folder_page,
        connections=1,
        variants=(FEW_ALIKE, MANY),
        elements=("CommonPrefixes", FOLDERS_SHOWN),
    ),
    Case(
        "page-root",
        "page of 10 common prefixes, few against many keys",
        frozenset({"s3kit"}),
        _root_page,
        connections=1,
        variants=(FEW, MANY),
        elements=("CommonPrefixes", filling.FOLDERS),
    ),
    Case(
        "writers",
        "durable PUT 1 KiB, 1 against 32 writers",
        frozenset({"s3kit"}),
        _put,
        variants=("1", "32"),
    ),
)


def prepare(server: Server, *, big: bool) -> None:
    """Put the small objects, and the big one, where the cases find them.

    :raises RuntimeError: the server refused one.
    """
    if server.name == "nginx":
        for number in range(KEYS):
            (server.folder / SMALL / small_key(number)).write_bytes(BODY)
        if big:
            (server.folder / SMALL / BIG_KEY).write_bytes(BIG)
    if not server.writes:
        return
    requests = [
        Request(server.signer.request("PUT", f"/{SMALL}/{small_key(number)}", body=BODY))
        for number in range(KEYS)
    ]
    bucket = Request(server.signer.request("PUT", f"/{SMALL}", body=b""))
    with Load(server.process.port, 1) as load:
        # rclone has the bucket already, as a folder.
        load.burst([bucket], seconds=60.0, limit=1)
        done = load.burst(requests, seconds=120.0, limit=KEYS)
        if done.errors:
            raise RuntimeError(f"{server.name} refused a small PUT: {done.first_error}")
        if big:
            done = load.burst([big_put(server)], seconds=60.0, limit=1)
            if done.errors:
                raise RuntimeError(f"{server.name} refused a big PUT: {done.first_error}")


def wrong_answer(case: Case, server: Server, request: Request) -> str:
    """What is wrong with the answer to a listing; empty when it holds what it should."""
    if case.elements is None:
        return ""
    target = request.head.split(b" ", 2)[1].decode()
    lines = request.head.decode().split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines if line)
    connection = http.client.HTTPConnection("127.0.0.1", server.process.port, timeout=120)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    name, wanted = case.elements
    found = body.count(f"<{name}>".encode())
    if response.status != 200 or found != wanted:
        return f"status {response.status}, {found} {name} instead of {wanted}"
    return ""
