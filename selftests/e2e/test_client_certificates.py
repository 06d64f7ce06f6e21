# SPDX-License-Identifier: MIT
"""Client certificates at a listener: asked for or required, verified by the listener's own CAs, told
to backends; a resumed session is the same client, and no session is good at another listener."""
import ssl

import pytest

from harness.certs import Authority
from harness.proc import wait_for
from peers import h2raw

pytestmark = pytest.mark.l7

REQUIRED, OPTIONAL, OTHER = 443, 444, 445
SETS = {"x-client-subject": "{tls.client.subject}", "x-client-san": "{tls.client.san}",
        "x-client-fingerprint": "{tls.client.fingerprint}", "x-sni": "{tls.sni}"}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Clients:
    def __init__(self, folder):
        self.ca, self.other_ca = Authority(folder, "clients"), Authority(folder, "others")
        self.none = None
        self.good = self.ca.issue("alice", ["alice.client", "spiffe://sluice/alice"])
        self.expired = self.ca.issue("late", ["late.client"], days=-1)
        self.stranger = self.other_ca.issue("mallory", ["alice.client"])


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client-certificates")
    folder.chmod(0o755)
    return Clients(folder)


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, clients, mode):
    config = lab.config(backends)
    lab.add_listener(config, OPTIONAL, "optional", backends)
    lab.add_listener(config, OTHER, "other", backends)
    for listener, ca, required in zip(config["listeners"],
                                      (clients.ca, clients.ca, clients.other_ca),
                                      (True, False, True)):
        listener["client_certificates"] = {"ca": ca.chain, "required": required}
        group = listener.pop("group")
        listener["routes"] = [{"group": group, "request": {"set": SETS}}]
    config["listeners"][1]["routes"].insert(0, {
        "match": {"san": "alice.client"}, "group": "optional",
        "request": {"set": {**SETS, "x-known": "yes"}}})
    yield daemons(config, mode)
    daemons.stop()


def ask(address, roots, certificate, version, sessions=()):
    """What the backend was told (None: the handshake was refused), whether the connection resumed
    the last one's session, by address."""
    context = h2raw.tls_context(roots, maximum=version)
    if certificate:
        context.load_cert_chain(*certificate)
    told, session = [], None
    for where in (address, *sessions):
        try:
            connection = h2raw.Client(where, context, session=session).hello()
            answer = connection.call()
        except (OSError, TimeoutError):
            told.append(None)
            continue
        if answer["trailers"] is None:
            told.append(None)
            continue
        told.append((answer["data"], connection.sock.session_reused))
        session = connection.sock.session
        connection.close()
    return told


def told(lab, client, port, certificate, version=ssl.TLSVersion.TLSv1_3, then=()):
    addresses = [(lab.world.lb.address, lab.world.port(p)) for p in (port, *then)]
    return client.run(ask, addresses[0], lab.certificate.chain, certificate, version,
                      addresses[1:])


@pytest.mark.parametrize("version", VERSIONS)
def test_certificate_of_the_ca_is_let_in_and_told_to_the_backend(lab, client, sluice, clients,
                                                                  version):
    answer = told(lab, client, REQUIRED, clients.good, version)[0]
    assert answer
    for text in (b"CN=alice", b"alice.client", b"sluice.test"):
        assert text in answer[0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", ["none", "expired", "stranger"])
def test_everyone_else_is_refused_and_counted(lab, client, sluice, clients, who, version):
    def refused():
        return sum(w["handshakes_failed"] for w in sluice.workers())

    before = refused()
    assert told(lab, client, REQUIRED, getattr(clients, who), version) == [None]
    wait_for(lambda: refused() == before + 1, 3, "the refusal is counted")


def test_optional_certificate(lab, client, sluice, clients):
    without = told(lab, client, OPTIONAL, None)[0]
    assert without and b"alice" not in without[0] and b"x-known" not in without[0]
    known = told(lab, client, OPTIONAL, clients.good)[0]
    assert known and b"x-known" in known[0]
    assert told(lab, client, OPTIONAL, clients.stranger) == [None]


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_session_is_the_same_client(lab, client, sluice, clients, version):
    first, second = told(lab, client, REQUIRED, clients.good, version, then=[REQUIRED])
    assert not first[1] and second[1], "the second connection resumes"
    assert b"CN=alice" in second[0] and b"alice.client" in second[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_worth_nothing_at_a_listener_with_other_cas(lab, client, sluice, clients,
                                                               version):
    """OTHER has the same ticket keys, and another CA: alice's certificate is not one of its own."""
    first, second = told(lab, client, REQUIRED, clients.good, version, then=[OTHER])
    assert first and second is None
