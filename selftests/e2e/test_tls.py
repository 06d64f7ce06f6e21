# SPDX-License-Identifier: MIT
"""TLS at the listener: versions, ALPN, certificates, resumption, time-outs, and that one broken
connection leaves the others alone."""
import socket
import ssl
import time

import pytest

from harness.proc import wait_for
from peers import calls, h2raw

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    """443: ECDSA; 444: RSA; 445: both."""
    config = lab.config(backends)
    for listener in (config["listeners"][0], lab.add_listener(config, 444, "rsa", backends),
                     lab.add_listener(config, 445, "dual", backends)):
        listener["timeouts"] = {"handshake": "700ms", "idle": "2s"}
    config["listeners"][1]["certificate"] = lab.rsa_certificate._asdict()
    config["listeners"][2]["certificate"] = [lab.certificate._asdict(),
                                             lab.rsa_certificate._asdict()]
    yield daemons(config, mode)
    daemons.stop()


def total(sluice, counter):
    return sum(w[counter] for w in sluice.workers())


def _call(address, roots, **options):
    """TLS version, ALPN, cipher and grpc-status of a call on a new connection."""
    connection = h2raw.Client(address, h2raw.tls_context(roots, **options)).hello()
    answer = connection.call()
    sock = connection.sock
    result = (sock.version(), sock.selected_alpn_protocol(), sock.cipher()[0],
              answer["trailers"]["grpc-status"])
    connection.close()
    return result


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind,port", [("ecdsa", 443), ("rsa", 444)])
def test_both_versions_with_both_kinds_of_certificate(lab, client, sluice, kind, port, version):
    roots = (lab.certificate if kind == "ecdsa" else lab.rsa_certificate).chain
    address = (lab.world.lb.address, lab.world.port(port))
    seen, alpn, cipher, status = client.run(_call, address, roots, maximum=version)
    assert seen == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    assert (alpn, status) == ("h2", "0")
    if version == ssl.TLSVersion.TLSv1_2:
        assert kind.upper() in cipher


@pytest.mark.parametrize("ciphers,kind", [("ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
                                          ("ECDHE-ECDSA-AES128-GCM-SHA256", "ecdsa")])
def test_listener_with_two_certificates_serves_either_kind(lab, client, sluice, ciphers, kind):
    roots = (lab.certificate if kind == "ecdsa" else lab.rsa_certificate).chain
    address = (lab.world.lb.address, lab.world.port(445))
    seen = client.run(_call, address, roots, maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
    assert seen[2:] == (ciphers, "0")


@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h3", "http/1.1")])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_without_h2_gets_an_alert_and_is_counted(lab, client, sluice, alpn, version):
    before = total(sluice, "alpn_refused")
    reason = client.run(_refused, (lab.world.lb.address, lab.world.port(443)), alpn, version)
    assert "no application protocol" in reason
    wait_for(lambda: total(sluice, "alpn_refused") == before + 1, 2, "it is counted")


def _refused(address, alpn, version):
    """The alert that ended a handshake; a TLS 1.3 client may see it at its first read only."""
    try:
        connection = h2raw.Client(address, h2raw.tls_context(None, alpn=alpn, maximum=version))
        connection.sock.recv(1)
    except ssl.SSLError as error:
        return str(error)
    return "no alert"


def _resumptions(address, how_many, version):
    """Each connection resumes the one before it; which worker gets it is chance."""
    context, session, results = h2raw.tls_context(None, maximum=version), None, []
    for _ in range(how_many + 1):
        connection = h2raw.Client(address, context, session=session).hello()
        assert connection.call()["trailers"]["grpc-status"] == "0"
        results.append(connection.sock.session_reused)
        session = connection.sock.session
        connection.close()
    return results[1:]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume_whichever_worker_gets_them(lab, client, sluice, version):
    before = {w["slot"]: w["accepted"] for w in sluice.workers()}
    address = (lab.world.lb.address, lab.world.port(443))
    assert client.run(_resumptions, address, 24, version) == [True] * 24
    wait_for(lambda: all(w["accepted"] > before[w["slot"]] for w in sluice.workers()), 2,
             "both workers had some of them")
    assert total(sluice, "handshakes_resumed") >= 24


def _silence(address, tls=False, send=b""):
    """Connects, sends, and says nothing more: seconds until the server hangs up."""
    sock = socket.create_connection(address, 10)
    began = time.monotonic()
    if tls:
        sock = h2raw.tls_context(None).wrap_socket(sock, server_hostname="sluice.test")
    if send:
        sock.sendall(send)
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def test_handshake_that_does_not_come_times_out(lab, client, sluice):
    took = client.run(_silence, (lab.world.lb.address, lab.world.port(443)))
    assert 0.5 < took < 2


def test_handshake_that_stops_half_way_times_out(lab, client, sluice):
    took = client.run(_silence, (lab.world.lb.address, lab.world.port(443)),
                      send=b"\x16\x03\x01\x02\x00\x01\x00")
    assert 0.5 < took < 2


def test_tls_without_an_http2_preface_times_out(lab, client, sluice):
    took = client.run(_silence, (lab.world.lb.address, lab.world.port(443)), tls=True)
    assert 0.5 < took < 2


def _idle(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    assert connection.call()["trailers"]["grpc-status"] == "0"
    began = time.monotonic()
    code = connection.goaway_seen(10)
    return code, time.monotonic() - began


def test_idle_connection_is_closed_in_order(lab, client, sluice):
    code, took = client.run(_idle, (lab.world.lb.address, lab.world.port(443)))
    assert code == "NO_ERROR"
    assert 1.5 < took < 5


def test_connection_with_a_running_call_is_not_idle(lab, client, sluice):
    outcome = client.run(calls.unary, lab.target(tag="long"), sleep_ms=3500)
    assert outcome.code == 0


def _garbage(address):
    sock = socket.create_connection(address, 5)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass


def test_garbage_on_one_connection_touches_no_other(lab, client, sluice):
    target = lab.target(tag="steady")
    number = client.run(calls.open_bidi, target)
    client.run(calls.exchange, number, payload=b"1")
    failed = total(sluice, "handshakes_failed")
    for _ in range(20):
        client.run(_garbage, (lab.world.lb.address, lab.world.port(443)))
    assert client.run(calls.exchange, number, payload=b"2")["received"] == 2
    assert client.run(calls.end, number).code == 0
    wait_for(lambda: total(sluice, "handshakes_failed") >= failed + 20, 2, "they are counted")


def _write_in_the_clear(address):
    """A good TLS connection whose client suddenly writes cleartext."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    assert connection.call()["trailers"]["grpc-status"] == "0"
    raw = socket.socket(fileno=connection.sock.detach())
    raw.sendall(b"not a TLS record at all, whatever it says")
    raw.settimeout(5)
    try:
        while raw.recv(4096):
            pass
    except ConnectionError:
        pass


def test_broken_record_ends_that_connection_only(lab, client, sluice):
    target = lab.target(tag="steady2")
    number = client.run(calls.open_bidi, target)
    client.run(calls.exchange, number, payload=b"1")
    for _ in range(5):
        client.run(_write_in_the_clear, (lab.world.lb.address, lab.world.port(443)))
    assert client.run(calls.exchange, number, payload=b"2")["received"] == 2
    assert client.run(calls.end, number).code == 0
