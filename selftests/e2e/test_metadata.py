# SPDX-License-Identifier: MIT
"""What sluice changes in metadata: set, add and remove with variables, x-forwarded-for, x-request-id,
rewrites; and that a client cannot forge any of it."""
import base64
import hashlib
import re

import grpc
import pytest

import echo_pb2
from harness import certs
from peers import calls, rawserver

pytestmark = pytest.mark.l7

EDITS = {
    "request": {
        "remove": ["x-secret"],
        "set": {"x-client": "{client.ip}:{client.port}", "x-route": "{listener.name}/{route.name}",
                "x-sni": "{tls.sni}", "x-subject": "{tls.client.subject}",
                "x-print": "{tls.client.fingerprint}", "x-san": "{tls.client.san}",
                "x-copy": "{request.header.x-user} at {request.authority}{request.path}",
                "x-id": "{request.id}", "x-fixed": "plain {{text}}", "x-ip-bin": "{client.ip}"},
        "add": {"x-tag": "sluice"},
    },
    "response": {
        "remove": ["echo-internal"],
        "set": {"echo-served-by": "{backend.address} of {group.name}", "trail-mark": "headers",
                "echo-id": "{request.id}"},
        "add": {"echo-more": "more"},
    },
}


@pytest.fixture(scope="module")
def raw(lab):
    """A scripted backend, which shows what comes as it comes."""
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-metadata")
    agent.address = f"{host.address}:{lab.world.port(50055)}"
    agent.run(rawserver.start, agent.address, "ok")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, mode):
    """443: edits; 444: none, but two trusted hops; 445: rewrites, to the scripted backend; 446: edits for
    clients with certificates; 447: no x-request-id."""
    client_certificate = certs.make(lab.folder, name=f"client-{mode}", common_name="caller",
                                    names=["caller.example", "second.example"])
    config = lab.config(backends)
    config["listeners"][0].update(name="edits", routes=[{"name": "edited", **EDITS, "group": "echo"}])
    hops = lab.add_listener(config, 444, "hops", backends)
    hops["trusted_hops"] = 2
    rewrites = lab.add_listener(config, 445, "rewrites", [{"address": raw.address}])
    rewrites["routes"] = [
        {"match": {"path": {"prefix": "/old."}}, "group": "rewrites",
         "rewrite": {"authority": "{request.header.x-tenant}.inner.example", "prefix": "/old.",
                     "to": "/new.pkg."}},
        {"match": {"metadata": [{"key": "x-host", "present": True}]}, "group": "rewrites",
         "rewrite": {"authority": "{request.header.x-host}"}}]
    known = lab.add_listener(config, 446, "known", backends)
    known["client_certificates"] = {"ca": client_certificate.chain}
    known["routes"] = [{"name": "mine", "match": {"san": "*.example"}, **EDITS, "group": "known"}]
    lab.add_listener(config, 447, "bare", backends)["request_id"] = False
    daemon = daemons(config, mode)
    daemon.client_certificate = client_certificate
    yield daemon
    daemons.stop()


def seen(outcome):
    """The request's metadata as the backend saw it: a list of values by key."""
    values = {}
    for key, value in outcome.reply["metadata"]:
        values.setdefault(key, []).append(value.decode("latin-1"))
    return values


def sent_back(pairs):
    values = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return values


FORGED = [("x-client", "6.6.6.6"), ("x-client", "7.7.7.7"), ("x-secret", "1"), ("x-route", "mine"),
          ("x-subject", "CN=root"), ("x-print", "00"), ("x-san", "root.example"), ("x-tag", "client"),
          ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "http"), ("x-ip-bin", b"\0\1"),
          ("x-user", "alice")]


def test_request_metadata_is_changed_and_cannot_be_forged(lab, client, sluice):
    got = seen(client.run(calls.unary, lab.target(), metadata=FORGED))
    ip = lab.world.client.address
    assert re.fullmatch(re.escape(ip) + r":\d+", got["x-client"][0]) and len(got["x-client"]) == 1
    assert got["x-route"] == ["edits/edited"] and got["x-sni"] == ["sluice.test"]
    assert got["x-copy"] == ["alice at sluice.test/sluice.test.Echo/Unary"]
    assert got["x-fixed"] == ["plain {text}"] and got["x-tag"] == ["client", "sluice"]
    assert got["x-ip-bin"] == [ip]
    assert got["x-forwarded-for"] == [ip] and got["x-forwarded-proto"] == ["https"]
    assert got["x-user"] == ["alice"] and got["x-id"] == got["x-request-id"]
    # Without a client certificate its values are none, whatever the client says.
    assert not {"x-secret", "x-subject", "x-print", "x-san"} & set(got)


def test_response_metadata_is_changed(lab, client, sluice, backends):
    outcome = client.run(calls.unary, lab.target(), metadata=[
        ("echo-internal", "1"), ("echo-served-by", "me"), ("echo-more", "0"), ("trail-mark", "end"),
        ("trail-other", "kept"), ("x-request-id", "abc")])
    initial, trailing = sent_back(outcome.initial), sent_back(outcome.trailing)
    address = next(b.address for b in backends if b.name == outcome.reply["backend"])
    assert initial["echo-served-by"] == [f"{address} of echo"]
    assert initial["echo-more"] == ["0", "more"] and "echo-internal" not in initial
    assert initial["trail-mark"] == ["headers"] and initial["echo-id"] == ["abc"]
    assert trailing == {"trail-other": ["kept"]}


def test_trailers_only_responses_are_changed_too(lab, client, sluice):
    outcome = client.run(calls.unary, lab.target(), metadata=[("trail-mark", "end")], status=5,
                         message="gone", fail_first=True)
    assert (outcome.code, outcome.details) == (5, "gone")
    both = sent_back(outcome.initial + outcome.trailing)
    assert both["trail-mark"] == ["headers"] and both["echo-more"] == ["more"]


def test_values_of_streams_are_the_same(lab, client, sluice):
    outcome = client.run(calls.bidi, lab.target(), [{}, {}], metadata=[("echo-internal", "1")])
    assert seen(outcome)["x-route"] == ["edits/edited"]
    assert "echo-internal" not in sent_back(outcome.initial)


# ---- who the client is

def test_a_request_id_is_made_and_kept(lab, client, sluice):
    ids = [seen(client.run(calls.unary, lab.target()))["x-request-id"] for _ in range(3)]
    assert all(len(i) == 1 and re.fullmatch("[0-9a-f]{32}", i[0]) for i in ids)
    assert len({i[0] for i in ids}) == 3
    given = [("x-request-id", "mine-1"), ("x-request-id", "mine-2")]
    assert seen(client.run(calls.unary, lab.target(), metadata=given))["x-request-id"] == ["mine-1"]
    long = seen(client.run(calls.unary, lab.target(), metadata=[("x-request-id", "x" * 200)]))
    assert len(long["x-request-id"][0]) == 32
    assert "x-request-id" not in seen(client.run(calls.unary, lab.target(port=447)))


@pytest.mark.parametrize("sent,want", [
    (None, "{ip}"), ("6.6.6.6", "{ip}"),
    ("6.6.6.6, 203.0.113.5, 10.0.0.1", "203.0.113.5, 10.0.0.1, {ip}"),
    ("203.0.113.5,10.0.0.1", "203.0.113.5,10.0.0.1, {ip}")])
def test_trusted_hops_are_kept_and_no_one_before_them(lab, client, sluice, sent, want):
    metadata = [("x-forwarded-for", sent), ("x-forwarded-proto", "http")] if sent else []
    got = seen(client.run(calls.unary, lab.target(port=444), metadata=metadata))
    assert got["x-forwarded-for"] == [want.format(ip=lab.world.client.address)]
    assert got["x-forwarded-proto"] == ["http" if sent else "https"]


def _with_certificate(target, chain, key, metadata):
    with open(target.roots, "rb") as roots, open(chain, "rb") as c, open(key, "rb") as k:
        credentials = grpc.ssl_channel_credentials(roots.read(), k.read(), c.read())
    with grpc.secure_channel(target.address, credentials,
                             [("grpc.ssl_target_name_override", target.name)]) as channel:
        call = channel.unary_unary("/sluice.test.Echo/Unary",
                                   request_serializer=echo_pb2.Request.SerializeToString,
                                   response_deserializer=echo_pb2.Reply.FromString)
        reply = call(echo_pb2.Request(), timeout=10, metadata=metadata)
    return calls.as_dict(reply)


def test_a_client_certificate_routes_and_speaks(lab, client, sluice):
    chain, key = sluice.client_certificate
    reply = client.run(_with_certificate, lab.target(port=446), chain, key, FORGED)
    got = seen(calls.Outcome(replies=[reply]))
    assert got["x-subject"] == ["CN=caller"] and got["x-san"] == ["caller.example"]
    with open(chain, encoding="ascii") as f:
        body = "".join(line.strip() for line in f if not line.startswith("---"))
    assert got["x-print"] == [hashlib.sha256(base64.b64decode(body)).hexdigest()]
    assert got["x-route"] == ["known/mine"]
    # Without one the route by SAN does not hold, and the next one changes nothing.
    got = seen(client.run(calls.unary, lab.target(port=446), metadata=FORGED))
    assert got["x-route"] == ["mine"]
    said = sluice.ctl.json("route", "known", "--san", "caller.example")
    assert said["route"] == "mine"


# ---- rewrites

def _raw_call(target, path, metadata):
    future = calls.channel(target).unary_unary(path).future(b"", timeout=10, metadata=metadata)
    return future.code().value[0]


def _arrived(lab, client, raw, path, metadata):
    raw.run(rawserver.script, "ok")
    assert client.run(_raw_call, lab.target(port=445), path, metadata) == 0
    (headers,) = raw.run(rawserver.requests)
    return [k for k, _ in headers], dict(headers)


def test_authority_and_path_are_rewritten(lab, client, sluice, raw):
    keys, got = _arrived(lab, client, raw, "/old.Echo/Unary", [("x-tenant", "acme")])
    assert got[":authority"] == "acme.inner.example" and got[":path"] == "/new.pkg.Echo/Unary"
    assert keys[:4].count(":authority") == 1 and all(k[0] == ":" for k in keys[:4])
    assert "host" not in keys
    keys, got = _arrived(lab, client, raw, "/other.Echo/Unary", [])
    assert got[":authority"] == "sluice.test" and got[":path"] == "/other.Echo/Unary"


@pytest.mark.parametrize("value", ["a b", "a/b", "user@evil", "x#y", ""])
def test_what_is_no_authority_leaves_the_clients(lab, client, sluice, raw, value):
    _, got = _arrived(lab, client, raw, "/x.Echo/Unary", [("x-host", value)])
    assert got[":authority"] == "sluice.test"
