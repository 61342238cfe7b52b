"""What a narrow key may do, through signed requests: each way to narrow one, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from s3kit.app import S3App
from s3kit.auth.actions import ACTIONS
from s3kit.auth.actions import BUCKET_ACTIONS
from s3kit.auth.actions import OBJECT_ACTIONS
from s3kit.auth.capabilities import CAPABILITIES
from s3kit.auth.scope import HEAD_BUCKET
from s3kit.auth.scope import ScopedAccess
from s3kit.auth.scope import narrow
from s3kit.auth.scope import read_scope
from s3kit.auth.scope import write_scope
from s3kit.auth.trace import explained
from s3kit.config import Config
from s3kit.errors import AccessDenied
from s3kit.model import Account
from s3kit.model import Bucket
from s3kit.model import Caller
from s3kit.model import Decision
from s3kit.model import Question
from s3kit.model import Scope
from tests.attacks.test_accounts import delete_many
from tests.client import Answer
from tests.client import Client
from tests.client import Signer
from tests.endpoint import fresh_name
from tests.narrow import Narrow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Narrow]:
    made = Narrow(trusted_proxies=("10.0.0.1",))
    yield made
    made.app.close()


@pytest.fixture
def bucket(endpoint: Narrow) -> str:
    path = f"/{fresh_name('scoped')}"
    assert endpoint.owner.put(path).status == 200
    assert endpoint.owner.put(f"{path}/a/k", b"bytes").status == 200
    return path


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code if answer.status >= 400 and answer.body else ""


DENIED = (403, "AccessDenied")


def test_a_key_that_may_only_read_changes_nothing(endpoint: Narrow, bucket: str) -> None:
    """IU-11: after a cancel the keys are read-only: GET and LIST work, all else is 403."""
    reader = endpoint.client(read_only=True)
    assert reader.get(f"{bucket}/a/k").body == b"bytes"
    assert reader.get(bucket).texts("Contents/Key") == ["a/k"]
    for query in ("versions", "uploads", "acl", "versioning", "location"):
        assert reader.get(bucket, query).status == 200
    assert reader.get("/").status == 200
    copy = {"x-amz-copy-source": f"{bucket}/a/k"}
    for method, query, headers in (
        ("PUT", "", {}),
        ("PUT", "", copy),
        ("PUT", "acl", {"x-amz-acl": "private"}),
        ("PUT", "tagging", {}),
        ("PUT", "renameObject", {"x-amz-rename-source": "a/k"}),
        ("POST", "uploads", {}),
        ("POST", "restore", {}),
        ("DELETE", "", {}),
        ("DELETE", "tagging", {}),
    ):
        answer = reader.request(method, f"{bucket}/a/new", query, headers, b"x")
        assert told(answer) == DENIED, (method, query)
    assert delete_many(reader, bucket, "a/k").texts("Error/Code") == ["AccessDenied"]
    for method, query in (("PUT", ""), ("DELETE", ""), ("PUT", "versioning"), ("PUT", "policy")):
        assert told(reader.request(method, bucket, query, {}, b"")) == DENIED
    assert endpoint.owner.get(bucket).texts("Contents/Key") == ["a/k"]


def test_a_key_that_may_not_remove_still_stores(endpoint: Narrow, bucket: str) -> None:
    """IU-21: whether a narrow key may delete is an option, on by default."""
    name = bucket[1:]
    for scope in ({"paths": [f"{name}/a/"]}, {}):
        keeper = endpoint.client(**scope, deletes=False)
        assert keeper.put(f"{bucket}/a/new", b"x").status == 200
        upload = keeper.post(f"{bucket}/a/up", query="uploads").text("UploadId")
        assert keeper.delete(f"{bucket}/a/up", f"uploadId={upload}").status == 204
        assert told(keeper.delete(f"{bucket}/a/new")) == DENIED
        assert told(keeper.delete(f"{bucket}/a/new", "versionId=null")) == DENIED
        assert delete_many(keeper, bucket, "a/new").texts("Error/Code") == ["AccessDenied"]
        sent = {"x-amz-rename-source": "a/new"}
        assert told(keeper.request("PUT", f"{bucket}/a/b", "renameObject", sent)) == DENIED
        # Nor by way of a rule that removes, or of somebody whom it lets.
        for query in ("lifecycle", "policy", "acl"):
            assert told(keeper.put(bucket, b"", query)) == DENIED
    assert endpoint.client(paths=[f"{name}/a/"]).delete(f"{bucket}/a/new").status == 204


def test_without_management_a_key_has_objects_and_no_buckets(endpoint: Narrow, bucket: str) -> None:
    """IU-04, IU-05: most calls on objects work, those on buckets do not."""
    for scope in ({}, {"paths": [bucket[1:]]}):
        client = endpoint.client(**scope, manage_buckets=False)
        assert client.put(f"{bucket}/b/k", b"x").status == 200
        assert client.get(bucket).status == 200
        assert client.get(bucket, "versions").status == 200
        assert client.get(bucket, "location").status == 200
        assert told(client.get("/")) == DENIED
        assert told(client.put(f"/{fresh_name()}")) == DENIED
        assert told(client.delete(bucket)) == DENIED
        for query in ("acl", "policy", "versioning", "lifecycle", "cors", "tagging"):
            assert told(client.get(bucket, query)) == DENIED
            assert told(client.put(bucket, b"", query)) == DENIED
    # Bound to the whole bucket a key may manage that one, and no other.
    whole = endpoint.client(paths=[bucket[1:]])
    assert whole.get(bucket, "versioning").status == 200
    assert whole.get(bucket).status == 200
    assert whole.head(bucket).status == 200
    other = f"/{fresh_name()}"
    assert told(whole.put(other)) == DENIED
    assert endpoint.owner.put(other).status == 200
    assert told(whole.get(other, "versioning")) == DENIED
    assert told(whole.get("/")) == DENIED


def test_many_keys_of_one_account_each_have_their_path(endpoint: Narrow, bucket: str) -> None:
    """IU-08: one key per site, each sees its own."""
    sites = {name: endpoint.client(paths=[f"{bucket[1:]}/{name}/"]) for name in ("s1", "s2")}
    for name, site in sites.items():
        assert site.put(f"{bucket}/{name}/k", name.encode()).status == 200
    for name, site in sites.items():
        other = "s2" if name == "s1" else "s1"
        assert site.get(f"{bucket}/{name}/k").body == name.encode()
        assert told(site.get(f"{bucket}/{other}/k")) == DENIED
    both = endpoint.client(paths=[f"{bucket[1:]}/{name}" for name in sites])
    assert [both.get(f"{bucket}/{name}/k").status for name in sites] == [200, 200]
    assert told(both.get(f"{bucket}/a/k")) == DENIED


def test_an_expired_key_may_nothing(endpoint: Narrow, bucket: str) -> None:
    past = endpoint.client(expires="2020-01-01T00:00:00Z")
    assert told(past.get(f"{bucket}/a/k")) == DENIED
    assert told(past.get("/")) == DENIED
    assert told(past.put(f"{bucket}/a/k", b"")) == DENIED
    assert endpoint.client(expires="2120-01-01T00:00:00Z").get(f"{bucket}/a/k").status == 200


def test_it_expires_to_the_millisecond() -> None:
    now = [0.0]
    access = ScopedAccess(Everything(), clock=lambda: now[0])
    caller = Caller(Account("a"), scope=Scope(expires=1_801_396_800_500))
    question = Question(caller, "s3:ListAllMyBuckets")
    now[0] = 1_801_396_800.499
    assert access.decide(question).allowed
    now[0] = 1_801_396_800.5
    assert not access.decide(question).allowed
    assert "expired" in access.decide(question).reason


def test_a_path_without_its_slash_is_a_whole_segment_all_the_same() -> None:
    """IU-03: a key ring of somebody's own may leave it out."""
    bucket = Bucket(1, "photos", "a", 0)
    scope = Scope(paths=(("photos", b"in"),))
    for key, inside in ((b"in/k", True), (b"in", False), (b"inEVIL/k", False), (b"in.txt", False)):
        question = Question(Caller(Account("a"), scope=scope), "s3:GetObject", bucket, key)
        assert ALL.decide(question).allowed is inside


def test_a_key_works_from_its_networks_only(endpoint: Narrow, bucket: str) -> None:
    """The address is the client's: what a stranger writes into a header is none."""
    client = endpoint.client(networks=["203.0.113.0/24", "2001:db8::/32"])

    def ask(peer: str, forwarded: str = "") -> int:
        environ = {"REMOTE_ADDR": peer}
        if forwarded:
            environ["HTTP_X_FORWARDED_FOR"] = forwarded
        return client.request("GET", f"{bucket}/a/k", environ=environ).status

    for peer in ("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1"):
        assert ask(peer) == 200, peer
    for peer in ("203.0.114.7", "127.0.0.1", "2001:db9::1", "", "unix:"):
        assert ask(peer) == 403, peer
    assert ask("198.51.100.1", "203.0.113.7") == 403
    assert ask("10.0.0.1", "203.0.113.7") == 200
    assert ask("10.0.0.1", "203.0.113.7, 198.51.100.1") == 403
    assert ask("203.0.113.7", "198.51.100.1") == 200


def test_a_key_bound_to_actions_does_these(endpoint: Narrow, bucket: str) -> None:
    writer = endpoint.client(actions=["s3:PutObject", "s3:AbortMultipartUpload"])
    assert writer.put(f"{bucket}/a/new", b"x").status == 200
    assert told(writer.get(f"{bucket}/a/new")) == DENIED
    assert told(writer.put(f"{bucket}/a/new", b"x", x_amz_tagging="a=b")) == DENIED
    assert told(writer.get(bucket)) == DENIED
    versions = endpoint.client(actions=["s3:GetObjectVersion"])
    assert versions.get(f"{bucket}/a/k", "versionId=null").body == b"bytes"
    assert told(versions.get(f"{bucket}/a/k")) == DENIED
    every = endpoint.client(actions=["s3:Get*"])
    assert every.get(f"{bucket}/a/k").body == b"bytes"
    assert told(endpoint.client(actions=[]).get(f"{bucket}/a/k")) == DENIED


def test_who_may_not_list_does_not_learn_what_is_absent(endpoint: Narrow, bucket: str) -> None:
    """As for a user whose policy has no ListBucket: 403 and not 404."""
    reader = endpoint.client(actions=["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAcl"])
    for query in ("", "versionId=null", "acl"):
        assert told(reader.get(f"{bucket}/a/absent", query)) == DENIED
        assert reader.get(f"{bucket}/a/k", query).status == 200
    lister = endpoint.client(actions=["s3:GetObject", "s3:ListBucket"])
    assert told(lister.get(f"{bucket}/a/absent")) == (404, "NoSuchKey")


def test_old_signatures_are_refused(endpoint: Narrow, bucket: str) -> None:
    """IU-06: only version 4."""
    answer = endpoint.owner.send(
        "GET", f"{bucket}/a/k", {"Host": "s3.test", "Authorization": "AWS NARROW1:c2lnbmF0dXJl"}
    )
    assert answer.status in (400, 403)
    assert b"bytes" not in answer.body


def test_what_is_public_stays_so(endpoint: Narrow, bucket: str) -> None:
    """IU-07: a known URL opens for everybody; lists and writes do not."""
    name = bucket[1:]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
            }
        ],
    }
    assert endpoint.owner.put(bucket, json.dumps(policy).encode(), "policy").status == 204
    anybody = Client(endpoint.app, None)
    assert anybody.get(f"{bucket}/a/k").body == b"bytes"
    for answer in (anybody.get(bucket), anybody.get(bucket, "prefix=a/"), anybody.get("/")):
        assert told(answer) == DENIED
    assert told(anybody.put(f"{bucket}/a/k", b"evil")) == DENIED
    # A scope holds for what is public too: it is the key that was narrowed.
    assert told(endpoint.client(paths=[f"{name}/b/"]).get(f"{bucket}/a/k")) == DENIED


def test_windows_clients_find_their_folder(endpoint: Narrow, bucket: str) -> None:
    """IU-14, IU-15, IU-16: what S3 Browser, WinSCP and Cyberduck send after the refused list."""
    client = endpoint.client(paths=[f"{bucket[1:]}/a/"], manage_buckets=False)
    assert told(client.get("/")) == DENIED
    assert client.get(bucket, "location").status == 200
    assert client.head(bucket).headers["x-amz-bucket-region"] == "us-east-1"
    listing = client.get(bucket, "delimiter=%2F&max-keys=1000&prefix=a%2F")
    assert listing.texts("Contents/Key") == ["a/k"]
    assert client.head(f"{bucket}/a/").status == 404
    assert client.put(f"{bucket}/a/up.txt", b"up").status == 200
    assert client.get(f"{bucket}/a/up.txt").body == b"up"
    # Cyberduck asks for these, and goes on without them.
    for query in ("versioning", "logging", "lifecycle", "encryption"):
        assert told(client.get(bucket, query)) == DENIED


# -- Backblaze's words


def test_every_capability_is_made_of_actions() -> None:
    """BB-11."""
    named = {action for actions in CAPABILITIES.values() for action in actions}
    assert named <= ACTIONS | {HEAD_BUCKET}
    assert {"listBuckets", "listAllBucketNames", "readBuckets", "writeBuckets"} <= set(CAPABILITIES)
    with pytest.raises(ValueError, match="Did you mean readFiles"):
        read_scope({"capabilities": ["readFile"]})
    with pytest.raises(ValueError, match="not both"):
        read_scope({"capabilities": ["readFiles"], "actions": ["s3:GetObject"]})


def test_capabilities_name_what_a_key_may(endpoint: Narrow, bucket: str) -> None:
    """BB-11: writeFiles removes by name, deleteFiles a version."""
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert endpoint.owner.put(bucket, body, "versioning").status == 200
    writer = endpoint.client(capabilities=["writeFiles"])
    version = writer.put(f"{bucket}/a/k", b"x").headers["x-amz-version-id"]
    assert writer.delete(f"{bucket}/a/k").status == 204
    assert told(writer.delete(f"{bucket}/a/k", f"versionId={version}")) == DENIED
    assert told(writer.get(f"{bucket}/a/k")) == DENIED
    remover = endpoint.client(capabilities=["deleteFiles"])
    assert remover.delete(f"{bucket}/a/k", f"versionId={version}").status == 204
    reader = endpoint.client(capabilities=["readFiles"])
    assert reader.get(f"{bucket}/a/k", "versionId=null").body == b"bytes"
    assert told(reader.put(f"{bucket}/a/k", b"")) == DENIED
    assert told(reader.get(bucket)) == DENIED
    assert endpoint.client(capabilities=["listFiles"]).get(bucket, "versions").status == 200
    for name, query in (
        ("readBuckets", "acl"),
        ("readBuckets", "versioning"),
        ("readBucketEncryption", "encryption"),
    ):
        assert told(endpoint.client(capabilities=["writeFiles"]).get(bucket, query)) == DENIED
        assert endpoint.client(capabilities=[name]).get(bucket, query).status in (200, 404)


def test_a_bound_key_lists_buckets_by_the_capability_of_that_name(
    endpoint: Narrow, bucket: str
) -> None:
    """BB-11: a key restricted to a bucket needs listAllBucketNames for it."""
    paths = [bucket[1:]]
    bound = endpoint.client(paths=paths, capabilities=["listBuckets", "listFiles"])
    assert told(bound.get("/")) == DENIED
    named = endpoint.client(paths=paths, capabilities=["listAllBucketNames"])
    assert bucket[1:] in named.get("/").texts("Buckets/Bucket/Name")
    assert endpoint.client(capabilities=["listBuckets"]).get("/").status == 200
    assert told(endpoint.client(paths=paths, actions=["s3:*"]).get("/")) == DENIED


def test_a_key_that_only_writes_finds_its_bucket(endpoint: Narrow, bucket: str) -> None:
    """BB-11: listBuckets is HeadBucket too, and no more of what takes s3:ListBucket."""
    other = f"/{fresh_name('other')}"
    assert endpoint.owner.put(other).status == 200
    writes: dict[str, Any] = {"capabilities": ["listBuckets", "writeFiles"]}
    for place in ({}, {"paths": [bucket[1:]]}, {"paths": [f"{bucket[1:]}/a/"]}):
        writer = endpoint.client(**writes, **place)
        assert writer.head(bucket).status == 200
        for query in ("", "list-type=2", "prefix=a/", "versions", "uploads"):
            assert told(writer.get(bucket, query)) == DENIED
        assert writer.head(other).status == (403 if place else 200)
        # Nor does it learn what is not there.
        assert writer.head(f"{bucket}/a/absent").status == 403
    assert endpoint.client(**writes, read_only=True).head(bucket).status == 200
    assert endpoint.client(capabilities=["writeFiles"]).head(bucket).status == 403
    assert endpoint.client(actions=["s3:List*"]).head(bucket).status == 200
    # A policy is asked for s3:ListBucket as ever.
    deny = (
        '{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", '
        f'"Resource": "arn:aws:s3:::{bucket[1:]}"}}}}'
    )
    assert endpoint.owner.put(bucket, deny.encode(), "policy").status == 204
    assert endpoint.client(**writes).head(bucket).status == 403


# -- where scopes come from


def test_configured_keys_may_be_narrow() -> None:
    """IU-01, IU-08: a key of the configuration with a scope, beside one without."""
    config = Config(
        storages={"default": "memory://"},
        index="memory://",
        accounts=(
            {
                "id": "site",
                "keys": [
                    {
                        "access_key": "NARROW",
                        "secret_key": "n",
                        "scope": {"paths": ["photos/a/"], "deletes": False},
                    },
                    {"access_key": "WIDE", "secret_key": "w"},
                ],
            },
        ),
    )
    app = S3App(config)
    wide, thin = Client(app, Signer("WIDE", "w")), Client(app, Signer("NARROW", "n"))
    assert wide.put("/photos").status == 200
    assert thin.put("/photos/a/k", b"x").status == 200
    assert told(thin.put("/photos/b", b"x")) == DENIED
    assert told(thin.delete("/photos/a/k")) == DENIED
    # Presigning picks the key that can do most.
    found = app.site.key_ring.key_of("site")  # type: ignore[attr-defined]
    assert found.access_key == "WIDE"
    app.close()


def test_a_client_in_this_process_may_be_narrow(endpoint: Narrow, bucket: str) -> None:
    name = bucket[1:]
    account = "owner-id"
    narrowed = endpoint.app.client(account, scope=Scope(paths=((name, b"a/"),), deletes=False))
    assert [entry.key for entry in narrowed.list(name, "a/")] == ["a/k"]
    assert narrowed.get(name, "a/k") == b"bytes"
    for refused in (
        lambda: list(narrowed.list(name)),
        lambda: list(narrowed.list(name, "b/")),
        lambda: narrowed.get(name, "b"),
        lambda: narrowed.put(name, "b", b"x"),
        lambda: narrowed.delete(name, "a/k"),
        lambda: list(narrowed.buckets()),
        lambda: list(endpoint.app.client(account, scope=Scope(networks=("0.0.0.0/0",))).list(name)),
    ):
        with pytest.raises(AccessDenied):
            refused()


# -- one scope within another


class Everything:
    """An Access that allows all."""

    def decide(self, question: Question) -> Decision:
        return Decision(True)


ALL = ScopedAccess(Everything(), clock=lambda: 1_700_000_000.0)

paths = st.lists(
    st.sampled_from([("one", b""), ("one", b"a/"), ("one", b"a/b/"), ("one", b"c/"), ("two", b"")]),
    max_size=2,
    unique=True,
)
actions = st.none() | st.lists(
    st.sampled_from(["*", "s3:*", "s3:Get*", "s3:GetObject", "s3:L*", "s3:ListAllMyBuckets"]),
    max_size=2,
    unique=True,
)
networks = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.0.2.0/24", "::/0"]),
    max_size=2,
    unique=True,
)
scopes = st.builds(
    Scope,
    paths=paths.map(tuple),
    actions=actions.map(lambda found: None if found is None else tuple(found)),
    read_only=st.booleans(),
    manage_buckets=st.booleans(),
    deletes=st.booleans(),
    expires=st.sampled_from([0, 1_600_000_000_000, 1_800_000_000_000]),
    networks=networks.map(tuple),
    byte_budget=st.sampled_from([None, 5, 10]),
)
keys = st.sampled_from([b"", b"a", b"a/", b"a/b", b"a/b/c", b"ab", b"c/d"])


@st.composite
def questions(draw: Any) -> Question:
    name = draw(st.sampled_from(["one", "two", "six"]))
    action = draw(
        st.sampled_from(
            [
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:ListBucket",
                "s3:PutBucketPolicy",
                "s3:CreateBucket",
                "s3:ListAllMyBuckets",
            ]
        )
    )
    address = draw(st.sampled_from(["10.1.2.3", "10.1.9.9", "192.0.2.1", "2001:db8::1", ""]))
    conditions = {"aws:sourceip": address} if address else {}
    key = draw(keys) if action in OBJECT_ACTIONS else None
    if action == "s3:ListBucket" and draw(st.booleans()):
        conditions["s3:prefix"] = draw(keys).decode()
    there = action not in ("s3:CreateBucket", "s3:ListAllMyBuckets")
    bucket = Bucket(1, name, "account", 0) if there else None
    asked = name if action == "s3:CreateBucket" else ""
    return Question(Caller(), action, bucket, key, conditions=conditions, bucket_name=asked)


def passes(scope: Scope, question: Question) -> bool:
    question.caller = Caller(Account("account"), scope=scope)
    return ALL.decide(question).allowed


@settings(max_examples=150)
@given(scopes, scopes, questions())
def test_a_scope_within_another_passes_what_both_pass(
    one: Scope, two: Scope, question: Question
) -> None:
    """IU-11: a closing account's keys keep their bounds and may only read."""
    both = narrow(one, two)
    assert passes(both, question) is (passes(one, question) and passes(two, question))
    assert read_scope(json.loads(json.dumps(write_scope(both)))) == both
    budgets = [each.byte_budget for each in (one, two) if each.byte_budget is not None]
    assert both.byte_budget == min(budgets, default=None)
    assert narrow(None, one) == one


def test_every_action_is_judged_by_each_way_to_narrow() -> None:
    """No action changes a bucket or an object of a read-only key, whatever it is called."""
    bucket = Bucket(1, "one", "account", 0)
    reading = ("Get", "List", "Describe", "CreateSession")
    for action in ACTIONS:
        key = b"a/k" if action in OBJECT_ACTIONS else None
        asked = Question(Caller(), action, bucket, key)
        name = action.partition(":")[2]
        assert passes(Scope(read_only=True), asked) is name.startswith(reading), action
        bound = passes(Scope(paths=(("one", b"a/"),)), asked)
        free = {"s3:GetBucketLocation", "s3:CreateSession", "s3express:CreateSession"}
        assert bound is (action in OBJECT_ACTIONS or action in free), action
        unmanaged = passes(Scope(manage_buckets=False), asked)
        listing = action in BUCKET_ACTIONS and name.startswith("ListBucket")
        assert unmanaged is (action in OBJECT_ACTIONS or action in free or listing), action


def test_a_decision_says_why() -> None:
    bucket = Bucket(1, "one", "account", 0)
    for scope, action, words in (
        (Scope(paths=(("one", b"b/"),)), "s3:GetObject", "outside its paths"),
        (Scope(actions=("s3:PutObject",)), "s3:GetObject", "not this action"),
        (Scope(read_only=True), "s3:PutObject", "only read"),
        (Scope(deletes=False), "s3:DeleteObject", "not remove"),
        (Scope(networks=("10.0.0.0/8",)), "s3:GetObject", "not from this address"),
        (Scope(manage_buckets=False), "s3:PutBucketPolicy", "not manage"),
    ):
        question = Question(Caller(Account("a"), scope=scope), action, bucket, b"a/k")
        decision = ALL.decide(question)
        assert words in decision.reason
        assert (decision.by, decision.final) == ("scope", True)
    question = Question(Caller(Account("a"), scope=Scope(read_only=True)), "s3:GetObject", bucket)
    _, steps = explained(ALL, question)
    assert "lets it pass" in repr(steps[0])
