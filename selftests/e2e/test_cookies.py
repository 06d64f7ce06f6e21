# SPDX-License-Identifier: MIT
"""SYN cookies made in XDP: handshakes that they carry, what they keep and lose, what sysctls make of
them, and a flood with forged sources beside which everyone is served."""
import json
import re
import socket
import time

import pytest

from harness.proc import wait_for
from peers import calls, synflood

pytestmark = pytest.mark.kernel

AUTO, ALWAYS, OFF, LIMITED, PROBED = 443, 444, 445, 446, 447
FAMILIES = pytest.mark.parametrize("family", ["address", "address6"])
ABOVE = 200  # SYNs a second
QUEUE = 128  # of each worker's socket


def sysctl(lab, **values):
    for name, value in values.items():
        lab.world.lb.run("sysctl", "-q", "-w", f"net.ipv4.{name}={value}")


@pytest.fixture(scope="module")
def shared(lab, daemons, backends, kernel_allowed):
    # Answers to forged sources go somewhere, where nobody answers again.
    lab.world.lb.run("ip", "route", "add", "198.19.0.0/16", "via", lab.world.client.address)
    lab.world.lb.run("ip", "route", "add", "fd00:198:19::/64", "via", lab.world.client.address6)
    config = lab.config(backends)
    config["listeners"][0].update(syn_cookies="auto", syn_cookies_above=f"{ABOVE}/s")
    for port, name, cookies in ((ALWAYS, "always", "always"), (OFF, "off", "off"),
                                (LIMITED, "limited", "always"), (PROBED, "probed", "auto")):
        listener = lab.add_listener(config, port, name, backends)
        listener["syn_cookies"] = cookies
        if port == LIMITED:
            listener["new_connections"] = "6/m"
        if port == PROBED:
            listener["syn_cookies_above"] = "10000000/s"
    sysctl(lab, tcp_syncookies=2, tcp_timestamps=1)
    lab.world.lb.run("sysctl", "-q", "-w", f"net.core.somaxconn={QUEUE}")
    yield daemons(config, "native", healthy=False)
    daemons.stop()
    lab.world.lb.run("ip", "route", "del", "198.19.0.0/16")
    lab.world.lb.run("ip", "route", "del", "fd00:198:19::/64")
    lab.world.lb.run("sysctl", "-q", "-w", "net.core.somaxconn=4096")
    sysctl(lab, tcp_syncookies=1, tcp_timestamps=1)


@pytest.fixture
def sluice(lab, shared):
    """With the sysctls that most tests want, and seen by the daemon."""
    yield shared
    shared.config["kernel"].pop("per_source", None)
    set_sysctls(lab, shared, 2, 1)


def set_sysctls(lab, sluice, syncookies, timestamps):
    sysctl(lab, tcp_syncookies=syncookies, tcp_timestamps=timestamps)
    wait_for(lambda: (seen(sluice)["tcp_syncookies"], seen(sluice)["tcp_timestamps"]) ==
             (syncookies, timestamps), 5, "the daemon sees the sysctls")


def seen(sluice):
    return sluice.ctl.json("status")["kernel"]["syn_cookies"]


def row(sluice, name):
    return next(r for r in sluice.ctl.json("listeners")["listeners"] if r["name"] == name)


def change(sluice, name, action):
    """What action gives, and by how much the listener's counts and the verdicts rose."""
    before, verdicts = row(sluice, name), sluice.verdicts()
    result = action()
    after = row(sluice, name)
    rose = {key: after[key] - before[key] for key in after if isinstance(after[key], int)}
    rose.update({key: count - verdicts[key] for key, count in sluice.verdicts().items()})
    return result, rose


_open = []


def hold(address, how_many=1):
    """Connects; the client's ports."""
    for _ in range(how_many):
        _open.append(socket.create_connection(address, 5))
        time.sleep(0.005)  # for the workers' counts to be seen
    return [s.getsockname()[1] for s in _open[-how_many:]]


def let_go():
    while _open:
        _open.pop().close()


def server_side(lab, port, client_port):
    """ss's line of the balancer's end: its options."""
    shown = lab.world.lb.run("ss", "-Htoin", "state", "established", f"( sport = :{port} and "
                             f"dport = :{client_port} )").stdout
    scaling = re.search(r"wscale:(\d+),(\d+)", shown)
    words = shown.split()
    return {"scaling": scaling and tuple(map(int, scaling.groups())), "sack": "sack" in words,
            "timestamps": "ts" in words, "mss": int(re.search(r"\bmss:(\d+)", shown).group(1))}


def dial(target, how_many, payload=b"x"):
    """One RPC on each of so many new connections: [(code, seconds)]."""
    found = []
    for i in range(how_many):
        one = calls.Target(target.address, target.roots, tag=f"{target.tag}-{time.monotonic()}-{i}")
        outcome = calls.unary(one, payload=payload, timeout=5)
        found.append((outcome.code, outcome.seconds))
        calls.close(one)
    return found


def connect_from(address, port, say=b""):
    """Connects from a port of ours, and waits for the other end to close."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.settimeout(5)
        one.bind(("", port))
        one.connect(address)
        one.sendall(say)
        while one.recv(1000):
            pass


def address_of(lab, family):
    return getattr(lab.world.lb, family)


@pytest.mark.emulated
@FAMILIES
def test_calls_on_connections_that_cookies_made(lab, client, sluice, family):
    target = lab.target(address_of(lab, family), ALWAYS, tag="always")
    (found), rose = change(sluice, "always", lambda: client.run(dial, target, 12))
    assert [code for code, _ in found] == [0] * 12
    # Every handshake is counted once, though its first data is a valid cookie as well.
    assert rose["cookies"] == rose["cookie_sent"] == 12
    assert rose["cookies_back"] == rose["pass_cookie"] == rose["passed"] == 12
    assert rose["pass_new"] == 0


def test_cookies_reach_every_worker(lab, client, sluice):
    """The ACK may go to another worker's socket than the SYN."""
    client.run(calls.close_all)
    wait_for(lambda: sum(w["connections"] for w in sluice.workers()) == 0, 5, "nobody is there")
    client.run(hold, (lab.world.lb.address, ALWAYS), 40)
    try:
        wait_for(lambda: sum(w["connections"] for w in sluice.workers()) == 40, 5, "all are accepted")
        counts = [w["connections"] for w in sluice.workers()]
    finally:
        client.run(let_go)
    assert min(counts) >= 4, counts


@FAMILIES
@pytest.mark.parametrize("timestamps", [1, 2])
def test_options_are_kept_where_timestamps_have_no_offset(lab, client, sluice, family, timestamps):
    set_sysctls(lab, sluice, 2, timestamps)
    address = address_of(lab, family)
    plain_port, = client.run(hold, (address, OFF))
    # The kernel makes a cookie for the plain one too (tcp_syncookies=2), and a usual handshake with 1.
    cookie_port, = client.run(hold, (address, ALWAYS))
    try:
        plain = server_side(lab, OFF, plain_port)
        found = server_side(lab, ALWAYS, cookie_port)
    finally:
        client.run(let_go)
    assert plain["scaling"] and plain["sack"] and plain["timestamps"]
    assert seen(sluice)["options"] is (timestamps == 2)
    if timestamps == 2:
        assert (found["scaling"], found["sack"], found["timestamps"]) == \
            (plain["scaling"], True, True)
    else:
        assert (found["scaling"], found["sack"], found["timestamps"]) == (None, False, False)
    assert found["mss"] <= plain["mss"] + 12  # timestamps take so much


def test_a_client_without_options_is_served(lab, client, sluice):
    set_sysctls(lab, sluice, 2, 2)
    lab.world.client.run("sysctl", "-q", "-w", "net.ipv4.tcp_timestamps=0")
    try:
        port, = client.run(hold, (lab.world.lb.address, ALWAYS))
        found = server_side(lab, ALWAYS, port)
        assert not found["timestamps"] and not found["sack"] and not found["scaling"]
        found = client.run(dial, lab.target(port=ALWAYS, tag="no-timestamps"), 3, bytes(300_000))
        assert [code for code, _ in found] == [0] * 3
    finally:
        client.run(let_go)
        lab.world.client.run("sysctl", "-q", "-w", "net.ipv4.tcp_timestamps=1")


@pytest.mark.parametrize("timestamps", [1, 2])
def test_messages_of_mebibytes_cross_both_ways(lab, client, sluice, timestamps):
    set_sysctls(lab, sluice, 2, timestamps)
    target = lab.target(port=ALWAYS, tag=f"bulk-{timestamps}")
    outcome = client.run(calls.unary, target, payload=bytes(8 << 20))
    assert outcome.code == 0 and len(outcome.reply["payload"]) == 8 << 20


@FAMILIES
def test_the_mss_leaves_room_for_the_interface(lab, client, sluice, family):
    """Clients with larger frames would send what the interface does not take, and hang."""
    forged = "198.19.0.9" if family == "address" else "fd00:198:19::9"
    lab.world.lb.run("ip", "link", "set", "front0", "mtu", "1400")
    try:
        found, rose = change(sluice, "always", lambda: client.run(
            synflood.announced_mss, "c0", mac(lab), forged, address_of(lab, family),
            (40_001, ALWAYS), 8960))
    finally:
        lab.world.lb.run("ip", "link", "set", "front0", "mtu", "1500")
    assert rose["cookies"] == 1 and found == (1360 if family == "address" else 1340)


@FAMILIES
@pytest.mark.parametrize("command", ["penalize", "acl"])
def test_cookies_gathered_before_are_worth_nothing_to_who_is_out(lab, client, sluice, family, command):
    address = address_of(lab, family)
    forged = "198.19.0.9" if family == "address" else "fd00:198:19::9"
    first = 40_010 if command == "penalize" else 40_020
    ports = [(first + i, ALWAYS) for i in range(5)]
    acks = client.run(synflood.gather, "c0", mac(lab), forged, address, ports)
    out, back = (("penalize", forged), ("pardon", forged)) if command == "penalize" else \
        (("acl", "add", forged), ("acl", "del", forged))
    assert sluice.ctl.raw(*out).returncode == 0
    try:
        _, rose = change(sluice, "always", lambda: client.run(synflood.send, "c0", mac(lab), *acks[:4]))
    finally:
        assert sluice.ctl.raw(*back).returncode == 0
    assert rose["drop_penalty" if command == "penalize" else "drop_acl"] == 4
    assert rose["passed"] == 0
    _, rose = change(sluice, "always", lambda: client.run(synflood.send, "c0", mac(lab), acks[4]))
    assert rose["pass_cookie"] == 1


def test_limits_hold_for_what_cookies_bring_back(lab, client, sluice):
    address = (lab.world.lb.address, LIMITED)

    def try_all():
        """Connections that count as open: the server's end exists."""
        client.run(hold, address, 9)
        try:
            return len(lab.world.lb.run("ss", "-Htn", "state", "established",
                                        f"sport = :{LIMITED}").stdout.splitlines())
        finally:
            client.run(let_go)

    established, rose = change(sluice, "limited", try_all)
    # To their clients all are open: the SYN-ACK says nothing of limits.
    assert rose["cookies"] == 9
    assert established == 6 and rose["passed"] == 6 and rose["listener_limited"] >= 3


def test_limit_of_a_source_counts_handshakes_once(lab, client, sluice):
    sluice.config["kernel"]["per_source"] = {"new_connections": "6/m", "burst": 6}
    sluice.reload()
    target = lab.target(port=ALWAYS, tag="source")
    try:
        found, rose = change(sluice, "always", lambda: client.run(dial, target, 6))
    finally:
        sluice.config["kernel"].pop("per_source")
        sluice.reload()
    assert [code for code, _ in found] == [0] * 6
    assert rose["source_limited"] == 0 and rose["cookies_back"] == 6


def test_what_the_sysctls_lack_is_said_with_the_fix(lab, client, sluice):
    assert seen(sluice)["lack"] == "" and "tcp_timestamps=2" in seen(sluice)["loss"]
    set_sysctls(lab, sluice, 1, 2)
    assert "net.ipv4.tcp_syncookies=2" in seen(sluice)["lack"] and seen(sluice)["loss"] == ""
    assert "net.ipv4.tcp_syncookies=2" in sluice.ctl.raw("status").stdout
    # Kept up to date by itself, logged, and the sysctl is not touched.
    assert "SYN cookies are not made as configured" in sluice.log()
    set_sysctls(lab, sluice, 0, 1)
    assert "net.ipv4.tcp_syncookies=1" in seen(sluice)["lack"]
    found, rose = change(sluice, "always", lambda: client.run(
        dial, lab.target(port=ALWAYS, tag="none"), 3))
    assert [code for code, _ in found] == [0] * 3
    assert rose["cookies"] == 0 and rose["pass_new"] == 3
    assert lab.world.lb.run("sysctl", "-n", "net.ipv4.tcp_syncookies").stdout.strip() == "0"


def test_calm_listeners_send_none(lab, client, sluice):
    for syncookies in (1, 2):
        set_sysctls(lab, sluice, syncookies, 1)
        wait_for(lambda: not row(sluice, "echo")["cookies_now"], 5, "calm")
        found, rose = change(sluice, "echo", lambda: client.run(
            dial, lab.target(tag=f"calm-{syncookies}"), 10))
        assert [code for code, _ in found] == [0] * 10
        assert rose["cookies"] == 0 and rose["pass_new"] == 10


def half_open(lab, port):
    return lab.world.lb.run("ss", "-Htn", "state", "syn-recv", f"sport = :{port}").stdout.splitlines()


def mac(lab):
    shown = json.loads(lab.world.lb.run("ip", "-j", "link", "show", "front0").stdout)
    return shown[0]["address"]


@FAMILIES
def test_flood_of_forged_sources(lab, client, sluice, family):
    """auto, by its rate: connections open and new ones are served, the flood leaves nothing behind, and
    it ends with the flood."""
    address = address_of(lab, family)
    target = lab.target(address, AUTO, tag="flood")
    old = client.run(calls.open_bidi, lab.target(address, AUTO, tag="old"))
    attacker = lab.agent(lab.world.client, f"attacker-{family}")
    flood = attacker.start(synflood.flood, "c0", mac(lab), address, AUTO, 3)
    found, exchanged = [], 0

    def under_flood():
        nonlocal exchanged
        wait_for(lambda: row(sluice, "echo")["cookies_now"], 5, "cookies are sent")
        while not flood.done():
            found.extend(client.run(dial, target, 5))
            exchanged += 1
            assert client.run(calls.exchange, old, payload=b"x")["received"] == exchanged
        return flood.result(30)

    try:
        sent, rose = change(sluice, "echo", under_flood)
    finally:
        flood.result(30)
        attacker.stop()
    assert client.run(calls.end, old).code == 0
    assert sent > 10_000 and len(found) >= 10
    assert {code for code, _ in found} == {0}
    # A lost SYN would have been sent again after a second.
    assert sorted(seconds for _, seconds in found)[len(found) * 9 // 10] < 0.9
    assert rose["cookies"] > sent * 0.9 and rose["cookies_back"] >= len(found) - 5
    assert len(half_open(lab, AUTO)) <= ABOVE + 50
    wait_for(lambda: not row(sluice, "echo")["cookies_now"], 5, "the flood is over")
    found, rose = change(sluice, "echo", lambda: client.run(dial, target, 5))
    assert {code for code, _ in found} == {0} and rose["cookies"] == 0 and rose["pass_new"] == 5
    # The stack makes cookies for these, and nobody counts them again.
    assert rose["passed"] == 5 and rose["pass_cookie"] == 0


def test_a_segment_with_no_valid_cookie_makes_no_connection(lab, client, sluice):
    frames = [synflood.tcp_frame((b"", b""), lab.world.client_addresses[1], lab.world.lb.address,
                                 (50_000 + i, ALWAYS), flags=0x10, numbers=(i, i * 77), options=b"")
              for i in range(1, 20)]
    client.run(dial, lab.target(port=ALWAYS, tag="before"), 1)  # cookies may come back now
    _, rose = change(sluice, "always", lambda: client.run(synflood.send, "c0", mac(lab), *frames))
    assert rose["cookies_back"] == 0 and rose["passed"] == 0


def test_full_queue_brings_cookies_too(lab, client, sluice):
    """tcp_syncookies=1: the kernel makes none before a socket's queue is full; SYNs are far below the
    listener's rate, so that is found out by asking for one of them now and then."""
    set_sysctls(lab, sluice, 1, 1)
    target = lab.target(port=PROBED, tag="probed")
    attacker = lab.agent(lab.world.client, "attacker-queue")
    flood = attacker.start(synflood.flood, "c0", mac(lab), lab.world.lb.address, PROBED, 3, rate=20_000)
    found = []

    def under_flood():
        wait_for(lambda: row(sluice, "probed")["cookies_now"], 5, "cookies are sent")
        while not flood.done():
            found.extend(client.run(dial, target, 5))
        return flood.result(30)

    try:
        sent, rose = change(sluice, "probed", under_flood)
    finally:
        flood.result(30)
        attacker.stop()
    assert {code for code, _ in found} == {0} and len(found) >= 10
    assert len(half_open(lab, PROBED)) <= 2 * (QUEUE + 2)
    assert rose["cookies"] > sent / 2
    # With room in the queue again the kernel itself is asked no more.
    wait_for(lambda: not row(sluice, "probed")["cookies_now"], 5, "the flood is over")


@FAMILIES
def test_a_port_that_is_used_again_while_the_old_connection_waits(lab, client, sluice, family):
    """The balancer closed first, so its end is in TIME_WAIT; a cookie would go to that, and get lost."""
    address = (address_of(lab, family), ALWAYS)
    for _ in range(3):
        client.run(connect_from, address, 45_678, b"no TLS at all\r\n\r\n")
        waiting = lab.world.lb.run("ss", "-Htn", "state", "time-wait", f"sport = :{ALWAYS}").stdout
        assert ":45678" in waiting


def test_a_drained_listener_sends_none(lab, client, sluice):
    """Its sockets refuse SYNs while handshakes under way end; a cookie would promise what they break."""
    attacker = lab.agent(lab.world.client, "attacker-drained")
    try:
        frames = [synflood.tcp_frame((b"", b""), lab.world.client_addresses[1], lab.world.lb.address,
                                     (51_000 + i, ALWAYS)) for i in range(20)]
        assert sluice.ctl.raw("drain", "listener", "always").returncode == 0
        _, rose = change(sluice, "always", lambda: attacker.run(synflood.send, "c0", mac(lab), *frames))
        assert rose["syns"] == 20 and rose["cookies"] == 0
    finally:
        attacker.stop()
        assert sluice.ctl.raw("undrain", "listener", "always").returncode == 0
    found, rose = change(sluice, "always", lambda: client.run(
        dial, lab.target(port=ALWAYS, tag="undrained"), 3))
    assert [code for code, _ in found] == [0] * 3 and rose["cookies"] == 3
