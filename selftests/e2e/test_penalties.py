# SPDX-License-Identifier: MIT
"""Evidence and penalties: who misbehaves is out at once and for longer each time; nobody else notices."""
import os
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from harness.proc import SLOWER, wait_for
from peers import calls, h2raw
from peers.h2raw import END_HEADERS, raw_frame

pytestmark = pytest.mark.l7

PENALTIES = {"threshold": 100, "half_life": "60s", "first": "2s", "max": "60s", "packets_after": 1,
             "points": {"abuse": 100, "handshake": 25, "not_h2": 25, "protocol": 50,
                        "over_limit": 1}}


@pytest.fixture(scope="module")
def shared(lab, daemons, backends, mode):
    config = lab.config(backends)
    config["listeners"][0]["timeouts"] = {"handshake": "500ms"}
    config["listeners"][0]["routes"] = [
        {"name": "slow", "match": {"metadata": [{"key": "x-route", "exact": "slow"}]},
         "limits": {"calls": "1/m", "burst": 1}, "group": "echo"}]
    config["kernel"] = {"penalties": dict(PENALTIES, never=["198.18.2.0/24"])}
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def sources(lab):
    """The attacker's address, then that of the others."""
    good, bad = lab.world.client_addresses
    return bad, good


@pytest.fixture
def sluice(shared, sources):
    """Nothing is held against anybody, before and after."""
    yield shared
    shared.ctl.raw("pardon", "all")
    shared.ctl.raw("pardon", sources[0])
    shared.ctl.raw("pardon", sources[1])
    if shared.config["kernel"] != {**shared.config["kernel"],
                                   "penalties": dict(PENALTIES, never=["198.18.2.0/24"])}:
        shared.config["kernel"]["penalties"] = dict(PENALTIES, never=["198.18.2.0/24"])
        shared.reload()


@pytest.fixture
def address(lab, sluice):
    return lab.world.lb.address, lab.world.port(443)


def penalties(sluice):
    return {p["source"]: p for p in sluice.ctl.json("penalties")["penalties"]}


def given(sluice):
    return sluice.ctl.json("status")["penalties"]["given"]


def events(sluice):
    return sluice.ctl.json("status")["events"]


# -- in the client's host

def rapid_reset(address, source, rounds=4000):
    """Opens and resets streams until the balancer hangs up; when that was."""
    try:
        connection = h2raw.Client(address, h2raw.tls_context(), source, timeout=0.5,
                                  auto=False).hello()
    except (OSError, ssl.SSLError):  # not let in
        return time.monotonic()
    try:
        connection.next()
        for i in range(rounds):
            stream = 1 + 2 * i
            block = connection.encoder.encode(h2raw.REQUEST)
            connection.send(raw_frame(1, END_HEADERS, stream, block) +
                            raw_frame(3, 0, stream, struct.pack("!I", h2raw.code("CANCEL"))))
    except OSError:
        pass
    connection.close()
    return time.monotonic()


def let_in(address, source, timeout=0.4):
    """Whether a new connection gets as far as TLS."""
    try:
        h2raw.Client(address, h2raw.tls_context(), source, timeout).close()
    except (OSError, ssl.SSLError):
        return False
    return True


def not_http2(address, source, what=b"GET / HTTP/1.1\r\nhost: sluice.test\r\n\r\n"):
    """TLS with h2, and then something else; or, as bytes, no TLS at all."""
    sock = socket.create_connection(address, 5, (source, 0))
    sock = h2raw.tls_context().wrap_socket(sock, server_hostname="sluice.test")
    sock.sendall(what)
    _drain(sock)


def no_tls(address, source):
    sock = socket.create_connection(address, 5, (source, 0))
    sock.sendall(b"SSH-2.0-scan\r\n" * 4)
    _drain(sock)


def no_h2(address, source):
    sock = socket.create_connection(address, 5, (source, 0))
    try:
        _drain(h2raw.tls_context(alpn=("http/1.1",)).wrap_socket(sock,
                                                                 server_hostname="sluice.test"))
    except (OSError, ssl.SSLError):
        sock.close()


def silent(address, source):
    """Never speaks; the balancer ends the handshake."""
    _drain(socket.create_connection(address, 5, (source, 0)))


def bad_frame(address, source):
    connection = h2raw.Client(address, h2raw.tls_context(), source).hello()
    connection.next()
    connection.frame(8, 0, 0, bytes(4))  # WINDOW_UPDATE of 0
    connection.goaway_seen()
    connection.close()


def _drain(sock):
    try:
        while sock.recv(4096):
            pass
    except (OSError, ssl.SSLError):
        pass
    sock.close()


def looked_in(address, source, times):
    """As a load balancer's check: connects and leaves."""
    for _ in range(times):
        socket.create_connection(address, 5, (source, 0)).close()


_open = {}


def hold(name, address, source):
    """A connection with a call under way, kept."""
    connection = h2raw.Client(address, h2raw.tls_context(), source).hello()
    connection.request()
    connection.next()
    _open[name] = connection


def held_ends(name, timeout=5):
    """How long until the held connection ends, and GOAWAY's code."""
    began = time.monotonic()
    try:
        code = _open.pop(name).goaway_seen(timeout)
    except TimeoutError:
        return None, None
    return time.monotonic() - began, code


def good_calls(address, source, how_many):
    connection = h2raw.Client(address, h2raw.tls_context(), source).hello()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(how_many):
        answer = connection.call(1 + 2 * i)
        assert answer["trailers"]["grpc-status"] == "0"
    connection.close()


class Bystanders(threading.Thread):
    """Calls from another address, on an old connection and on new ones, until they are asked."""

    def __init__(self, lab, client):
        super().__init__(daemon=True)
        self.lab, self.client, self.codes, self.over = lab, client, [], False
        self.start()

    def run(self):
        i = 0
        while not self.over:
            for tag in ("old", f"new-{i}"):
                self.codes.append(self.client.run(calls.unary, self.lab.target(tag=tag)).code)
            self.client.run(calls.close, self.lab.target(tag=f"new-{i}"))
            i += 1

    def result(self):
        self.over = True
        self.join(20)
        return self.codes


def cpu_seconds(sluice):
    """Of all workers."""
    total = 0
    for worker in sluice.workers():
        with open(f"/proc/{worker['pid']}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


# -- tests

def test_rapid_reset_attacker_is_out_and_others_never_notice(lab, client, sluice, address, sources):
    bad, _ = sources
    before = given(sluice)["abuse"]
    others = Bystanders(lab, client)
    ended = client.run(rapid_reset, address, bad)
    wait_for(lambda: bad in penalties(sluice), 1, "the attacker is under a penalty")
    assert time.monotonic() - ended < SLOWER
    row = penalties(sluice)[bad]
    assert (row["reason"], row["level"], row["count"]) == ("abuse", "connections", 1)
    assert 0 < row["left_seconds"] <= 2
    assert not client.run(let_in, address, bad)
    if sluice.mode == "native":
        assert penalties(sluice)[bad]["dropped"] >= 1
        assert sluice.verdicts()["drop_penalty"] >= 1
    else:
        assert events(sluice)["penalized_refused"] >= 1
    assert given(sluice)["abuse"] == before + 1
    wait_for(lambda: client.run(let_in, address, bad), 6, "the penalty ends by itself")
    assert bad not in penalties(sluice)
    # The second one is twice as long, and of all packets.
    client.run(rapid_reset, address, bad)
    row = wait_for(lambda: penalties(sluice).get(bad), 1, "a second penalty")
    assert (row["level"], row["count"]) == ("packets", 2) and 2 < row["left_seconds"] <= 4
    codes = others.result()
    assert len(codes) > 20 and set(codes) == {0}
    assert "source under a penalty" in sluice.log()


def test_attacker_costs_the_workers_nothing_while_it_is_out(client, sluice, address, sources):
    bad, _ = sources
    assert sluice.ctl.raw("penalize", bad, "--for", "1m").returncode == 0
    before, refused = cpu_seconds(sluice), events(sluice)["penalized_refused"]
    client.run(_hammer, address, bad, 1.0)
    spent = cpu_seconds(sluice) - before
    assert spent < 0.25 * SLOWER, f"{spent} s in 1 s"
    if sluice.mode == "native":
        assert events(sluice)["penalized_refused"] == refused


def _hammer(address, source, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sockets = []
        for _ in range(20):
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind((source, 0))
            sock.connect_ex(address)
            sockets.append(sock)
        time.sleep(0.02)
        for sock in sockets:
            sock.close()


def test_who_connects_anew_before_each_limit_is_out_too(client, sluice, address, sources):
    bad, good = sources
    client.run(rapid_reset, address, bad, 900)
    client.run(rapid_reset, address, bad, 900)
    row = wait_for(lambda: penalties(sluice).get(bad), 2, "a penalty")
    assert row["reason"] == "abuse"
    for _ in range(6):
        client.run(rapid_reset, address, good, 200)  # calls that a client gave up
    assert good not in penalties(sluice)


@pytest.mark.parametrize("level", ["connections", "packets"])
def test_penalize_closes_what_is_open_and_pardon_lets_in(client, sluice, address, sources, level):
    bad, good = sources
    for i in range(4):  # some on each worker
        client.run(hold, f"bad-{i}", address, bad)
    client.run(hold, "good", address, good)
    done = sluice.ctl.raw("penalize", bad, "--for", "5m", "--level", level)
    assert done.returncode == 0 and bad in done.stdout
    if level == "connections":
        for i in range(4):
            took, code = client.run(held_ends, f"bad-{i}")
            assert code == "ENHANCE_YOUR_CALM" and took < SLOWER
    wait_for(lambda: sum(w["connections"] for w in sluice.workers()) <= 2, 2,
             "the attacker's connections are gone, the other's is there")
    row = penalties(sluice)[bad]
    assert (row["reason"], row["level"]) == ("by_hand", level)
    assert 290 < row["left_seconds"] <= 300
    assert not client.run(let_in, address, bad)
    assert client.run(held_ends, "good", 0.2) == (None, None)
    assert client.run(let_in, address, good)
    assert sluice.ctl.raw("pardon", bad).stdout == f"{bad}: pardoned\n"
    assert client.run(let_in, address, bad)
    again = sluice.ctl.raw("pardon", bad)
    assert again.returncode == 1 and "under no penalty" in again.stderr


@pytest.mark.parametrize("offence,times,reason", [
    (not_http2, 4, "not_h2"), (no_h2, 4, "not_h2"), (no_tls, 4, "handshake"),
    (silent, 5, "handshake"), (bad_frame, 2, "protocol")])
def test_offence_counts(client, sluice, address, sources, offence, times, reason):
    bad, _ = sources
    for i in range(times):  # the first of five has decayed a little when the last comes
        assert bad not in penalties(sluice), f"after {i} already"
        client.run(offence, address, bad)
    row = wait_for(lambda: penalties(sluice).get(bad), 5, f"a penalty after {times}")
    assert row["reason"] == reason


def test_who_only_looks_whether_somebody_listens_does_nothing_wrong(client, sluice, address, sources):
    bad, _ = sources
    client.run(looked_in, address, bad, 50)
    client.run(good_calls, address, bad, 1)
    assert bad not in penalties(sluice)


def over_limit(address, source, how_many):
    """Calls over their route's rate, until the connection ends; how many were answered so."""
    connection = h2raw.Client(address, h2raw.tls_context(), source).hello()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    refused = 0
    try:
        for i in range(how_many):
            answer = connection.call(1 + 2 * i, add=[("x-route", "slow")])
            refused += answer["trailers"]["grpc-status"] == "8"
    except (OSError, TypeError):
        pass
    connection.close()
    return refused


def test_calls_over_a_limit_count(client, sluice, address, sources):
    bad, _ = sources
    client.run(over_limit, address, bad, 50)
    assert bad not in penalties(sluice)
    assert client.run(over_limit, address, bad, 100) >= 48
    row = wait_for(lambda: penalties(sluice).get(bad), 2, "a penalty after a hundred of them")
    assert row["reason"] == "over_limit"


def distrust(address, source, times):
    """Refuses the balancer's certificate, as all do when it has expired."""
    for _ in range(times):
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        sock = socket.create_connection(address, 5, (source, 0))
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(sock, server_hostname="sluice.test")
        sock.close()


def test_who_refuses_our_certificate_does_nothing_wrong(client, sluice, address, sources):
    bad, _ = sources
    failed = events(sluice)["handshakes_failed"]
    client.run(distrust, address, bad, 6)
    wait_for(lambda: events(sluice)["handshakes_failed"] == failed + 6, 3, "all six are counted")
    assert bad not in penalties(sluice)


def test_a_source_of_ipv6_is_its_prefix(lab, client, sluice):
    if not lab.world.isolated:
        pytest.skip("no namespaces: no IPv6 addresses of our own")
    one, other = lab.world.client_addresses6
    address = (lab.world.lb.address6, lab.world.port(443))
    for source in (one, other):
        client.run(bad_frame, address, source)
    wait_for(lambda: "fd00:198:18::/64" in penalties(sluice), 2, "both are one source")
    assert not client.run(let_in, address, one)
    assert client.run(let_in, (lab.world.lb.address, 443), lab.world.client_addresses[0])
    assert sluice.ctl.raw("pardon", other).stdout == "fd00:198:18::/64: pardoned\n"
    assert client.run(let_in, address, one)


def test_sources_shows_who_is_connected_and_what_speaks_against_them(
        client, sluice, address, sources):
    bad, good = sources
    client.run(hold, "one", address, bad)
    client.run(hold, "two", address, bad)
    client.run(bad_frame, address, good)
    rows = {r["source"]: r for r in sluice.ctl.json("sources")["sources"]}
    assert rows[bad]["connections"] == 2 and rows[bad]["points"] == 0
    assert 45 <= rows[good]["points"] <= 50 and rows[good]["reason"] == "protocol"
    table = sluice.ctl.raw("sources").stdout.splitlines()
    assert table[0].split()[:3] == ["SOURCE", "CONNECTIONS", "POINTS"]
    assert table[1].split()[:2] == [bad, "2"]
    status = sluice.ctl.json("status")["penalties"]
    assert status["enabled"] and status["sources"] >= 2 and status["sources_max"] == 131072
    assert "penalties    0 in force; " in sluice.ctl.raw("status").stdout
    client.run(close_held)


def test_good_calls_weigh_against_bad_ones(client, sluice, address, sources):
    bad, _ = sources
    client.run(good_calls, address, bad, 300)
    client.run(rapid_reset, address, bad)
    client.run(rapid_reset, address, bad)
    assert bad not in penalties(sluice), "200 points beside 300 good calls"
    client.run(rapid_reset, address, bad)
    client.run(rapid_reset, address, bad)
    wait_for(lambda: bad in penalties(sluice), 2, "400 points are more than half")


def test_never_holds_for_evidence_and_for_commands(client, sluice, address, sources):
    bad, _ = sources
    sluice.config["kernel"]["penalties"] = dict(PENALTIES, never=[f"{bad}/32"])
    sluice.reload()
    client.run(rapid_reset, address, bad)
    client.run(rapid_reset, address, bad)
    assert client.run(let_in, address, bad) and bad not in penalties(sluice)
    refused = sluice.ctl.raw("penalize", bad)
    assert refused.returncode == 1 and "never" in refused.stderr


def test_config_that_takes_penalties_away_ends_them(client, sluice, address, sources):
    bad, good = sources
    client.run(rapid_reset, address, bad)
    client.run(rapid_reset, address, bad)
    wait_for(lambda: bad in penalties(sluice), 2, "a penalty")
    assert sluice.ctl.raw("penalize", "203.0.113.9").returncode == 0
    del sluice.config["kernel"]["penalties"]
    sluice.reload()
    assert set(penalties(sluice)) == {"203.0.113.9"}
    assert client.run(let_in, address, bad)
    client.run(hold, "later", address, bad)
    # By command it works all the same.
    assert sluice.ctl.raw("penalize", bad).returncode == 0
    took, _ = client.run(held_ends, "later")
    assert took is not None and took < SLOWER
    assert not client.run(let_in, address, bad)
    sluice.config["kernel"]["penalties"] = dict(PENALTIES, never=["198.18.2.0/24"])
    sluice.reload()
    assert bad in penalties(sluice)


def test_wrong_commands_say_what_is_wrong(sluice):
    for args, text in ((("penalize", "nobody"), "IP address"),
                       (("penalize", "192.0.2.1", "--level", "all"), "connections or packets"),
                       (("penalize", "192.0.2.1", "--for", "soon"), "duration"),
                       (("pardon", "192.0.2.0/24"), "IP address")):
        done = sluice.ctl.raw(*args)
        assert done.returncode != 0 and text in done.stderr, (args, done.stderr)
    assert sluice.ctl.raw("penalties").stderr == "no source is under a penalty\n"


def test_connections_of_a_source_are_limited_exactly_and_given_back(
        lab, client, sluice, address, sources):
    bad, good = sources
    sluice.config["kernel"]["per_source"] = {"connections": 6}
    sluice.reload()
    held = [client.run(_try_hold, f"c-{i}", address, bad) for i in range(9)]
    assert sum(held) == 6
    assert client.run(let_in, address, good)
    client.run(held_close, f"c-{held.index(True)}")
    wait_for(lambda: client.run(let_in, address, bad), 3, "one may come for the one that went")
    wait_for(lambda: not client.run(_too_many, address, bad, 1), 3, "and no more")
    # A worker that is killed takes its own with it, and no count stays behind.
    victim = max(sluice.workers(), key=lambda w: w["connections"])
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: len(sluice.workers()) == 2 and
             victim["pid"] not in {w["pid"] for w in sluice.workers()}, 10, "it is replaced")
    client.run(close_held)
    wait_for(lambda: sum(w["connections"] for w in sluice.workers()) <= 1, 5, "all are closed")
    held = [client.run(_try_hold, f"d-{i}", address, bad) for i in range(8)]
    client.run(close_held)
    assert sum(held) == 6
    del sluice.config["kernel"]["per_source"]
    sluice.reload()


def _try_hold(name, address, source):
    try:
        connection = h2raw.Client(address, h2raw.tls_context(), source, 0.3).hello()
        connection.next()
    except (OSError, ssl.SSLError):
        return False
    _open[name] = connection
    return True


def _too_many(address, source, allowed):
    """Whether more than so many are let in beside those held."""
    got = []
    try:
        for _ in range(allowed + 1):
            got.append(h2raw.Client(address, h2raw.tls_context(), source, 0.3))
        return True
    except (OSError, ssl.SSLError):
        return False
    finally:
        for connection in got:
            connection.close()


def held_close(name):
    _open.pop(name).close()


def close_held():
    while _open:
        _open.popitem()[1].close()
