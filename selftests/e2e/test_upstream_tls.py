# SPDX-License-Identifier: MIT
"""TLS to backends: verified by CA and name, with a client certificate where that is asked for, h2 by
ALPN; whatever is wrong is said to the client at once, never waited for."""
import socket
import threading

import pytest

from harness.certs import Authority
from harness.lab import Backend
from harness.proc import wait_for
from peers import calls, rawserver

pytestmark = pytest.mark.l7

NAME = "backend.test"
TLS_BACKEND, EXPIRED, MUTUAL, SCRIPTED, NO_ALPN, SILENT, PLAIN, STRICT = range(50061, 50069)


def serve_silence(address):
    """Takes connections and says nothing."""
    host, _, port = address.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=16)
    taken = []

    def accept():
        while True:
            taken.append(listener.accept())

    threading.Thread(target=accept, daemon=True).start()


class Peers:
    """The backends: gRPC over TLS with a good certificate, with an expired one, and with client
    certificates; scripted ones with and without ALPN; one that never answers."""

    def __init__(self, lab, folder):
        self.ca, self.other_ca = Authority(folder, "ca"), Authority(folder, "other-ca")
        self.host = host = lab.world.backends[0]
        self.good = self.ca.issue("good", [NAME, host.address])
        expired = self.ca.issue("expired", [NAME], days=-1)
        self.client = self.ca.issue("client", ["sluice.client"])
        self.stranger = self.other_ca.issue("stranger", ["sluice.client"])
        self.servers = [Backend(lab, host, port, health=False, tls=tls) for port, tls in (
            (TLS_BACKEND, (*self.good,)), (EXPIRED, (*expired,)),
            (MUTUAL, (*self.good, self.ca.chain)), (PLAIN, None))]
        self.scripted = self.raw(lab, "scripted", SCRIPTED, ("h2",))
        self.no_alpn = self.raw(lab, "no-alpn", NO_ALPN, ())
        self.strict = self.raw(lab, "strict", STRICT, ("h2",), self.ca.chain)
        self.silent = lab.agent(host, "silent")
        self.silent.run(serve_silence, self.address(lab, SILENT))

    def raw(self, lab, name, port, alpn, *client_ca):
        agent = lab.agent(self.host, name)
        agent.run(rawserver.start, self.address(lab, port), "ok",
                  tls=(*self.good, alpn, *client_ca))
        return agent

    def address(self, lab, port):
        return f"{self.host.address}:{lab.world.port(port)}"

    def close(self):
        for server in self.servers:
            server.kill()
        for agent in (self.scripted, self.no_alpn, self.strict, self.silent):
            agent.stop()


@pytest.fixture(scope="module")
def peers(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("upstream-tls")
    folder.chmod(0o755)
    peers = Peers(lab, folder)
    yield peers
    peers.close()


def groups(peers):
    """name: (port of the backend, tls)"""
    ca = {"ca": peers.ca.chain}
    named = {**ca, "server_name": NAME}
    client = {"chain": peers.client.chain, "key": peers.client.key}
    stranger = {"chain": peers.stranger.chain, "key": peers.stranger.key}
    return {
        "by-name": (TLS_BACKEND, named),
        "by-ip": (TLS_BACKEND, ca),
        "unverified": (EXPIRED, {"verify": False}),
        "with-certificate": (MUTUAL, {**named, "certificate": client}),
        "scripted": (SCRIPTED, named),
        "wrong-name": (TLS_BACKEND, {**ca, "server_name": "other.test"}),
        "wrong-ca": (TLS_BACKEND, {"ca": peers.other_ca.chain, "server_name": NAME}),
        "system-cas": (TLS_BACKEND, {"server_name": NAME}),
        "expired": (EXPIRED, named),
        "no-certificate": (MUTUAL, named),
        "stranger": (MUTUAL, {**named, "certificate": stranger}),
        "strict-none": (STRICT, named),
        "strict-stranger": (STRICT, {**named, "certificate": stranger}),
        "no-alpn": (NO_ALPN, named),
        "silent": (SILENT, named),
        "plain": (PLAIN, named),
    }


PORTS = {}


@pytest.fixture(scope="module")
def sluice(lab, daemons, peers, mode):
    config = {"workers": 1, "listeners": [], "groups": []}
    for i, (name, (port, tls)) in enumerate(groups(peers).items()):
        PORTS[name] = 443 + i
        lab.add_listener(config, PORTS[name], name, [{"address": peers.address(lab, port)}], tls=tls,
                         connections={"connect_timeout": "500ms"})
    yield daemons(config, mode)
    daemons.stop()


def call(lab, client, name, **options):
    return client.run(calls.unary, lab.target(port=PORTS[name]), timeout=10, **options)


@pytest.mark.parametrize("name", ["by-name", "by-ip", "unverified", "with-certificate"])
def test_calls_over_tls(lab, client, sluice, name):
    payload = bytes(range(256)) * 400
    for _ in range(3):
        assert call(lab, client, name, payload=payload).reply["payload"] == payload


@pytest.mark.parametrize("name,reason", [
    ("wrong-name", "hostname mismatch"),
    ("wrong-ca", "unable to get local issuer certificate"),
    ("system-cas", "unable to get local issuer certificate"),
    ("expired", "certificate has expired"),
    ("no-certificate", ""),
    ("stranger", ""),
    ("strict-none", "alert certificate required"),
    ("strict-stranger", "alert unknown ca"),
    ("no-alpn", "the backend does not choose h2 (ALPN)"),
    ("silent", "handshake timed out"),
    ("plain", ""),
])
def test_what_is_wrong_is_said_at_once(lab, client, sluice, peers, name, reason):
    outcome = call(lab, client, name)
    port = groups(peers)[name][0]
    assert outcome.code == 14, outcome
    assert f'group "{name}": connect to {peers.address(lab, port)}: TLS: ' in outcome.details
    assert reason in outcome.details
    assert outcome.seconds < 5


def test_scheme_says_https(lab, client, sluice, peers):
    peers.scripted.run(rawserver.script, "ok")
    assert call(lab, client, "scripted").code == 0
    assert dict(peers.scripted.run(rawserver.requests)[0])[":scheme"] == "https"


def test_next_connection_resumes_the_session(lab, client, sluice, peers):
    assert call(lab, client, "scripted").code == 0
    peers.scripted.run(rawserver.drop_connections)
    wait_for(lambda: sluice.backends("scripted")[0]["connections"] == 0, 5, "connection is lost")
    assert call(lab, client, "scripted").code == 0
    assert peers.scripted.run(rawserver.resumed)[-1]


def test_other_terms_by_reload_hold_for_the_next_call(lab, client, sluice, peers):
    group = sluice.group("by-name")
    assert call(lab, client, "by-name").code == 0
    group["tls"]["server_name"] = "other.test"
    sluice.reload()
    outcome = call(lab, client, "by-name")
    assert outcome.code == 14 and "hostname mismatch" in outcome.details
    group["tls"]["server_name"] = NAME
    sluice.reload()
    wait_for(lambda: call(lab, client, "by-name").code == 0, 5, "calls work again")
