# SPDX-License-Identifier: MIT
"""sluicectl top in a real terminal: what it shows, its keys, its sizes, its ends."""
import json
import re
import signal

import pytest

from harness.lab import Backend
from harness.proc import run, wait_for
from harness.screen import Terminal
from peers import calls
from test_events import DENIED, knock, mask

HEADINGS = ["VERDICT", "LISTENER", "GROUP", "BACKEND", "WORKER", "SOURCE"]


@pytest.fixture(scope="module")
def servers(lab):
    servers = [Backend(lab, host) for host in lab.world.backends[:2]]
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def sluice(lab, daemons, servers):
    """With BPF where it can be had: most of this holds without."""
    config = lab.config(servers)
    if lab.kernel_refused:
        return daemons(config, "off")
    config.setdefault("kernel", {}).update(acl={"deny": [f"{DENIED}/32"]},
                                           per_source={"connections": 500})
    return daemons(config, "native")


@pytest.fixture
def terminals():
    opened = []

    def start(sluice, *args, **options):
        opened.append(Terminal([sluice.ctl.path, "--socket", sluice.socket, "top", *args],
                               **options))
        return opened[-1]

    yield start
    for terminal in opened:
        if terminal.master >= 0:
            terminal.close()


def has(*words):
    return lambda lines: all(any(w in line for line in lines) for w in words)


@pytest.mark.kernel
def test_all_of_it_on_80_by_24(lab, client, sluice, terminals):
    client.run(calls.unary, lab.target(tag="top"))
    client.run(knock, (lab.world.lb.address, 443), DENIED, 2)
    terminal = terminals(sluice, "--interval", "200ms")
    wait_for(lambda: mask(sluice), 5, "it listens for sources")
    client.run(knock, (lab.world.lb.address, 443), DENIED, 2)
    lines = terminal.wait(has(*HEADINGS, "drop_acl", DENIED), 5, "every table is there")
    assert len(lines) == 24 and all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("sluice") and "running" in lines[0]
    assert "kernel on, front0 native" in lines[0]
    assert lines[1].startswith("calls") and lines[2].startswith("gate")
    assert lines[3].startswith("0 all  1 verdicts") and lines[23].startswith("q quit")
    rows = [line.split() for line in lines]
    assert next(r for r in rows if r[:1] == ["echo"])[1] == "accepting"
    backends = [r for r in rows if r and r[0].endswith(":50051")]
    assert len(backends) == 2 and all(r[1:3] == ["echo", "up"] for r in backends)
    assert sum(1 for r in rows if "live" in r) == 2  # workers
    terminal.keys("q")
    assert terminal.end() == 0
    wait_for(lambda: mask(sluice) == 0, 5, "nobody listens any more")


@pytest.mark.kernel
def test_source_that_is_dropped_is_named_with_its_rate_and_one_under_a_penalty(
        lab, client, sluice, terminals):
    terminal = terminals(sluice, "--interval", "200ms")
    terminal.keys("6")
    terminal.wait(lambda lines: not any("VERDICT" in line for line in lines), 5, "sources only")
    wait_for(lambda: mask(sluice), 5, "it listens")

    def rate(lines):
        client.run(knock, (lab.world.lb.address, 443), DENIED, 10, timeout=0.002)
        row = next((l.split() for l in lines if l.startswith(DENIED)), None)
        return row and row[-1] == "drop_acl" and float(row[1].replace(",", "")) > 0

    terminal.wait(rate, 5, "the denied source has a rate")
    assert sluice.ctl.raw("penalize", "198.18.7.7", "--for", "1m").returncode == 0
    lines = terminal.wait(has("198.18.7.7"), 5, "the penalty is there")
    row = next(l for l in lines if l.startswith("198.18.7.7"))
    assert "penalty (connections)" in row and re.search(r" [1-5][0-9]s ", row)
    client.run(calls.unary, lab.target(tag="connected"))
    connected = lab.world.client_addresses[0]

    def is_connected(lines):
        row = next((line.split() for line in lines if line.startswith(f"{connected} ")), None)
        return row and row[3] not in "-0"

    terminal.wait(is_connected, 5, "who is connected is there, with how many connections")
    assert sluice.ctl.raw("pardon", "198.18.7.7").returncode == 0
    terminal.wait(lambda lines: not has("198.18.7.7")(lines), 5, "it is gone")
    terminal.keys("q")
    assert terminal.end() == 0


@pytest.mark.l7
def test_views_sorting_help_and_pause(sluice, terminals):
    terminal = terminals(sluice, "--interval", "100ms")
    for key, heading in zip("2345", ["LISTENER", "GROUP", "BACKEND", "WORKER"]):
        terminal.keys(key)
        lines = terminal.wait(
            lambda lines, h=heading: lines[4].startswith(h), 5, f"{heading} alone")
        assert not any(line.startswith(h) for line in lines for h in HEADINGS if h != heading)
    addresses = [r["address"] for r in sluice.backends()]
    assert len(addresses) == 2

    def order(lines):
        return [line.split()[0] for line in lines if line.split()[:1] and
                line.split()[0] in addresses]

    terminal.keys("4>")
    terminal.wait(lambda lines: order(lines) == sorted(addresses, reverse=True), 5, "falling")
    terminal.keys("r")
    terminal.wait(lambda lines: order(lines) == sorted(addresses), 5, "rising")
    terminal.keys("\x1bOB")  # arrow down: all rows fit, nothing moves
    terminal.keys("h")
    terminal.wait(has("the other way round"), 5, "help")
    terminal.keys("h ")
    terminal.wait(has("PAUSED"), 5, "paused")
    frozen = terminal.read(0.3)
    assert terminal.read(0.3)[1:] == frozen[1:]
    terminal.keys(" \t")
    terminal.wait(lambda lines: lines[4].startswith("WORKER"), 5, "the next view")
    terminal.keys("--")
    terminal.wait(has("every 0.4 s"), 5, "a longer interval")
    terminal.keys("q")
    assert terminal.end() == 0


@pytest.mark.l7
def test_every_size(sluice, terminals):
    terminal = terminals(sluice, "--interval", "200ms")
    terminal.wait(has("q quit", "BACKEND"), 5, "the first screen")
    for width, height in ((132, 43), (80, 24), (60, 12), (200, 10), (40, 8)):
        terminal.resize(width, height)
        lines = terminal.wait(
            lambda lines: lines[0].startswith("sluice") and lines[-1].startswith("q quit"), 5,
            f"{width}x{height}")
        assert len(lines) == height
    terminal.resize(30, 5)
    terminal.wait(has("40x8 at least"), 5, "too small is said")
    terminal.resize(80, 24)
    terminal.wait(has("BACKEND", "q quit"), 5, "and mended")
    terminal.keys("q")
    assert terminal.end() == 0


@pytest.mark.l7
@pytest.mark.parametrize("how", ["q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_leaves_the_terminal_as_it_was(sluice, terminals, how):
    terminal = terminals(sluice, "--interval", "200ms", term="xterm-256color")
    wait_for(lambda: terminal.read(0.02) or b"q quit" in terminal.raw, 5, "it shows something")
    if isinstance(how, str):
        terminal.keys(how)
    else:
        terminal.process.send_signal(how)
    assert terminal.end() == 0
    assert terminal.raw.rindex(b"\x1b[?1049l") > terminal.raw.rindex(b"\x1b[?1049h")
    assert b"\x1b[?25h" in terminal.raw or b"\x1b[?12l\x1b[?25h" in terminal.raw


@pytest.mark.l7
def test_daemon_that_goes_and_comes_back(lab, daemon, servers, terminals):
    other = daemon(lab.config(servers, listeners=[], groups=[]), "off", healthy=False, start=False)
    lab.add_listener(other.config, 452, "echo", servers)
    other.write()
    other.start(healthy=False)
    terminal = terminals(other, "--interval", "100ms")
    terminal.wait(has("q quit", "echo"), 5, "the first screen")
    other.stop()
    lines = terminal.wait(has("sluiced is not running"), 5, "it says that nobody answers")
    assert any("echo" in line for line in lines)  # what was known stays
    other.start(healthy=False)
    terminal.wait(lambda lines: not has("sluiced is not running")(lines), 5, "it is there again")
    terminal.keys("q")
    assert terminal.end() == 0


@pytest.mark.l7
def test_batch_as_text_and_json(sluice):
    done = sluice.ctl.raw("top", "--batch", "--count", "2", "--interval", "100ms")
    assert done.returncode == 0 and "\x1b" not in done.stdout
    assert done.stdout.count("sluice  ") == 2 and done.stdout.count("\nBACKEND") == 2
    done = sluice.ctl.raw("--json", "top", "--batch", "--count", "2", "--interval", "100ms")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(documents) == 2
    for document in documents:
        assert {"status", "verdicts", "listeners", "groups", "backends", "workers",
                "sources"} <= document.keys()
        assert all("calls_per_second" in row for row in document["backends"])


@pytest.mark.l7
def test_what_it_cannot_do_is_said(sluice, terminals):
    done = sluice.ctl.raw("top")
    assert done.returncode == 1 and "--batch" in done.stderr
    assert sluice.ctl.raw("top", "--count", "2").returncode == 2
    assert sluice.ctl.raw("--json", "top").returncode == 2
    assert sluice.ctl.raw("top", "--interval", "1ms").returncode == 2
    assert sluice.ctl.raw("top", "--batch", "--count", "x").returncode == 2
    unknown = terminals(sluice, term="no-such-terminal")
    assert unknown.end() == 1 and b"TERM=no-such-terminal" in unknown.raw
    nobody = run(sluice.ctl.path, "--socket", sluice.socket + ".none", "top", "--batch",
                 check=False)
    assert nobody.returncode == 1 and "not running" in nobody.stderr
