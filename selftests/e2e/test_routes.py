# SPDX-License-Identifier: MIT
"""Which group a call goes to: every kind of condition, the order of routes, fixed answers, splits, and
`sluicectl route`, which must say what the workers do."""
import base64
import collections
import shutil

import pytest

from harness import certs
from harness.proc import wait_for
from peers import calls, h2raw
from test_balance import begun, fast_calls, spread

pytestmark = pytest.mark.l7

METHOD = "/sluice.test.Echo/Unary"
SECRET = base64.b64encode(b"\x00\xffkey").decode()

# Group one is be1, two is be2.
ROUTES = [
    {"name": "denied", "match": {"path": "/sluice.test.Admin/"},
     "status": {"code": "PERMISSION_DENIED", "message": "admins only: 100% not you"}},
    {"name": "quiet", "match": {"metadata": [{"key": "x-quiet", "present": True}]},
     "status": {"code": 0, "message": ""}},
    {"name": "host", "match": {"host": ["two.example", "*.two.example"]}, "group": "two"},
    {"name": "sni", "match": {"sni": "other.sluice.test"}, "group": "two"},
    {"name": "binary", "match": {"metadata": [{"key": "key-bin", "exact": SECRET}]}, "group": "two"},
    {"name": "user", "match": {"metadata": [{"key": "x-user", "exact": ["alice", "bob"]},
                                            {"key": "x-beta", "present": True}]}, "group": "two"},
    {"name": "regex", "match": {"path": {"regex": "/sluice\\.test\\.Echo/(Bi|Client).*"}},
     "group": "two"},
    {"name": "source", "match": {"source": "203.0.113.0/24"}, "group": "two"},
    {"name": "split", "match": {"host": "split.example"},
     "groups": [{"name": "one", "weight": 90}, {"name": "two", "weight": 10}]},
    {"name": "sticky", "match": {"host": "sticky.example"}, "sticky": "metadata:x-user",
     "groups": [{"name": "one", "weight": 50}, {"name": "two", "weight": 50}]},
    {"name": "service", "match": {"path": "/sluice.test.Echo/"}, "group": "one"},
]


NAMES = ["sluice.test", "other.sluice.test", "two.example", "a.two.example", "xtwo.example",
         "split.example", "sticky.example"]


def make_config(lab, backends, certificate):
    config = lab.config(backends[:1])
    config["groups"][0]["name"] = "one"
    config["groups"].append({"name": "two", "backends": [backends[1].entry()]})
    listener = config["listeners"][0]
    del listener["group"]
    listener.update(name="api", certificate=certificate._asdict(), routes=[dict(r) for r in ROUTES], limits={"streams": 1000})
    hops = lab.add_listener(config, 444, "hops", backends[:1])
    hops.update(trusted_hops=1, health_service=True, routes=[{"match": {"source": "203.0.113.0/24"}, "group": "two"}])
    return config


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    certificate = certs.make(lab.folder, name=f"routes-{mode}", names=NAMES)
    daemon = daemons(make_config(lab, backends, certificate), mode)
    daemon.roots = certificate.chain
    yield daemon
    daemons.stop()


@pytest.fixture(scope="module")
def named(lab, sluice):
    """The target as clients of a host see it."""
    def make(host="sluice.test"):
        return calls.Target(lab.target().address, sluice.roots, host.split(":")[0].lower(),
                            options=(("grpc.default_authority", host),))
    return make


# What a call has, the group that it must come to.
CASES = [
    ({}, "one"),
    ({"host": "two.example"}, "two"),
    ({"host": "A.Two.Example:8443"}, "two"),
    ({"host": "xtwo.example"}, "one"),
    ({"headers": {"x-user": "alice"}}, "one"),
    ({"headers": {"x-user": "alice", "x-beta": "1"}}, "two"),
    ({"headers": {"x-user": "carol", "x-beta": "1"}}, "one"),
    ({"headers": {"key-bin": b"\x00\xffkey"}}, "two"),
    ({"headers": {"key-bin": b"\x00\xffkez"}}, "one"),
]


def ctl_arguments(case):
    arguments = ["route", "api", "--host", case.get("host", "sluice.test"), "--path", METHOD]
    for key, value in case.get("headers", {}).items():
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode().rstrip("=")
        arguments += ["--header", f"{key}={value}"]
    return arguments


def test_calls_go_where_sluicectl_route_says(client, sluice, named):
    for case, group in CASES:
        outcome = client.run(calls.unary, named(case.get("host", "sluice.test")), metadata=list(case.get("headers", {}).items()))
        assert outcome.reply["backend"] == {"one": "be1", "two": "be2"}[group], case
        said = sluice.ctl.json(*ctl_arguments(case))
        assert said["group"] == group and said["listener"] == "api", (case, said)


def test_path_by_expression_and_by_service(client, sluice, named):
    assert client.run(calls.bidi, named(), [{}]).reply["backend"] == "be2"
    assert client.run(calls.client_stream, named(), [{}]).reply["backend"] == "be2"
    assert client.run(calls.server_stream, named(), reply_count=1).reply["backend"] == "be1"


def _unary_at(target, path, metadata=()):
    call = calls.channel(target).unary_unary(path)
    future = call.future(b"", timeout=10, metadata=tuple(metadata))
    return future.code().value[0], future.details(), list(future.trailing_metadata() or ())


def test_sni(client, sluice, named):
    assert client.run(calls.unary, named("other.sluice.test")).reply["backend"] == "be2"
    said = sluice.ctl.json("route", "api", "--path", METHOD, "--sni", "Other.sluice.test")
    assert (said["route"], said["group"]) == ("sni", "two")


def test_fixed_status_is_answered_as_it_stands_and_is_no_failure(client, sluice, named):
    def here():
        rows = sluice.workers()
        return [sum(r[k] for r in rows) for k in ("answered_here", "calls_failed")]

    before = here()
    code, details, _ = client.run(_unary_at, named(), "/sluice.test.Admin/Erase")
    assert (code, details) == (7, "admins only: 100% not you")
    client.run(_unary_at, named(), METHOD, [("x-quiet", "1")])  # OK without a message
    assert here() == [before[0] + 2, before[1]]


def test_no_route_is_unimplemented_and_says_what_was_asked_for(client, sluice, named):
    code, details, _ = client.run(_unary_at, named(), "/other.Service/Method")
    assert code == 12
    assert 'listener "api"' in details and "/other.Service/Method" in details


def test_every_call_of_a_route_is_counted(client, sluice, named):
    def count():
        rows = sluice.ctl.json("routes")["routes"]
        return {r["name"]: r["calls"] for r in rows if r["listener"] == "api"}

    before = count()
    assert all(client.run(calls.unary, named("two.example")).code == 0
               for _ in range(5))
    client.run(_unary_at, named(), "/sluice.test.Admin/Erase")
    after = count()
    assert after["host"] - before["host"] == 5 and after["denied"] - before["denied"] == 1


def test_source_behind_trusted_hops(lab, client, sluice, named):
    target = lab.target(port=444)
    near, far = [("x-forwarded-for", a) for a in ("203.0.113.7", "198.51.100.7")]
    assert client.run(calls.unary, target, metadata=[near]).reply["backend"] == "be2"
    assert client.run(calls.unary, target, metadata=[far]).reply["backend"] == "be1"
    # Who stands before the trusted hop may say what they like.
    forged = [("x-forwarded-for", "203.0.113.7, 198.51.100.7")]
    assert client.run(calls.unary, target, metadata=forged).reply["backend"] == "be1"
    assert client.run(calls.unary, named(), metadata=[near]).reply["backend"] == "be1"


def _reset_of(address, changes):
    host, _, port = address.rpartition(":")
    connection = h2raw.Client((host, int(port)), h2raw.tls_context()).hello()
    connection.request(**changes)
    reset = connection.answer(1)["reset"]
    connection.close()
    return reset


@pytest.mark.parametrize("changes", [
    {"replace": {":path": METHOD + "#/sluice.test.Admin/"}},
    {"drop": [":authority"], "add": [("host", "one.example"), ("host", "two.example")]}],
    ids=["fragment", "two hosts"])
def test_what_a_backend_might_read_otherwise_than_routes_is_refused(lab, client, sluice, changes):
    assert client.run(_reset_of, lab.target().address, changes) == "PROTOCOL_ERROR"


# ---- splits

@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_a_split_is_exact_to_1_percent_over_10000_calls(lab, sluice, backends):
    total = 10000
    before = begun(backends)
    fast_calls(lab, total, host="split.example")
    got = spread(backends, before)
    assert sum(got) == total
    assert abs(got[1] - 0.1 * total) <= 0.01 * total, got


def _users(target, users):
    """The backend of each user's calls; over several connections, so over both workers."""
    seen = collections.defaultdict(set)
    for i in range(2):
        to = calls.Target(target.address, target.roots, target.name, f"sticky{i}", target.options)
        for user in users:
            outcome = calls.unary(to, metadata=[("x-user", user)])
            seen[user].add(outcome.reply["backend"])
    return dict(seen)


def test_a_sticky_split_keeps_each_key_and_moves_only_the_needed_share(client, sluice, backends, named):
    users = [f"user-{i}" for i in range(150)]
    target = named("sticky.example")
    before = client.run(_users, target, users)
    assert all(len(s) == 1 for s in before.values())
    on_two = {u for u, s in before.items() if s == {"be2"}}
    assert 45 <= len(on_two) <= 105
    for user in users[:5]:
        said = sluice.ctl.json("route", "api", "--host", "sticky.example", "--path", METHOD,
                               "--header", f"x-user={user}")
        assert {"one": "be1", "two": "be2"}[said["group"]] in before[user]
    route = next(r for r in sluice.config["listeners"][0]["routes"] if r["name"] == "sticky")
    route["groups"] = [{"name": "one", "weight": 25}, {"name": "two", "weight": 75}]
    sluice.reload()
    after = client.run(_users, target, users)
    now_on_two = {u for u, s in after.items() if s == {"be2"}}
    assert all(len(s) == 1 for s in after.values())
    assert on_two <= now_on_two, "two grew, so it loses nobody"
    assert 85 <= len(now_on_two) <= 138
    # Without the key a call is nobody's: by turns.
    names = [client.run(calls.unary, target).reply["backend"] for _ in range(8)]
    assert names.count("be2") == 6


# ---- sluicectl route

def test_sluicectl_route_says_why(sluice):
    done = sluice.ctl.raw("route", "api", "--host", "h", "--path", METHOD, "--header", "x-user=bob",
                          "--source", "10.0.0.1")
    assert done.returncode == 0
    assert "route service (service /sluice.test.Echo/)" in done.stdout
    assert "to    one" in done.stdout
    for line in ("denied  path does not match", "user    metadata x-beta does not match",
                 "source  source does not match", "sni     sni does not match"):
        assert line in done.stdout, done.stdout
    done = sluice.ctl.raw("route", "api", "--path", "/sluice.test.Admin/X")
    assert "PERMISSION_DENIED" in done.stdout and "admins only" in done.stdout
    done = sluice.ctl.raw("route", "api", "--path", "/x.Y/Z")
    assert done.returncode == 0 and done.stdout.startswith("no route")
    done = sluice.ctl.raw("route", "hops", "--path", "/grpc.health.v1.Health/Check")
    assert "health_service" in done.stdout, done.stdout
    said = sluice.ctl.json("route", "api", "--host", "split.example", "--path", METHOD)
    assert [g["weight"] for g in said["groups"]] == [90, 10] and "group" not in said
    said = sluice.ctl.json("route", "hops", "--header", "x-forwarded-for=6.6.6.6, 203.0.113.9",
                           "--source", "10.0.0.1")
    assert said["group"] == "two"


@pytest.mark.parametrize("arguments,words", [
    (["nowhere"], "no listener"), (["api", "--path", "x"], "begins with /"),
    (["api", "--header", "novalue"], "KEY=VALUE"), (["api", "--header", "X-A=1"], "small letters"),
    (["api", "--source", "10.0.0.0/8"], "IP address"),
    (["api", "--header", "x=" + "y" * 5000], "too long")])
def test_sluicectl_route_refuses_what_it_cannot_read(sluice, arguments, words):
    done = sluice.ctl.raw("route", *arguments)
    assert done.returncode == 1 and words in done.stderr, done


def test_route_names_and_counts_survive_a_reload(client, sluice, named):
    def row():
        rows = sluice.ctl.json("routes")["routes"]
        return next(r for r in rows if r["name"] == "service")

    assert client.run(calls.unary, named()).code == 0
    before = row()
    sluice.config["listeners"][0]["routes"].insert(
        0, {"name": "first", "match": {"path": "/x.Y/"}, "group": "one"})
    sluice.reload()
    assert (row()["id"], row()["calls"]) == (before["id"], before["calls"])
    wait_for(lambda: client.run(calls.unary, named()).code == 0, 5, "a call after the reload")
    assert row()["calls"] > before["calls"]
