# SPDX-License-Identifier: MIT
"""What the death, the sleep and the orderly end of each process cost: a worker, a backend, the
supervisor."""
import os
import signal
import time

import pytest

from harness.daemon import Sluice
from harness.proc import alive, wait_for
from peers import calls, load

pytestmark = pytest.mark.l7


@pytest.fixture
def sluice(lab, daemon, backends, mode):
    return daemon(lab.config(backends), mode)


@pytest.fixture
def target(lab, request):
    """With connections of its own: each test has its own daemon."""
    return lab.target(tag=request.node.nodeid)


def pids(sluice):
    return {w["slot"]: w["pid"] for w in sluice.workers()}


def spread_calls(client, lab, sluice, name):
    """Opens streams on connections of their own until every worker has one: {pid: [number]}."""
    held = {pid: [] for pid in pids(sluice).values()}
    for i in range(60):
        before = {w["pid"]: w["active_rpcs"] for w in sluice.workers()}
        number = client.run(calls.open_bidi, lab.target(tag=f"{name}-{i}"), timeout=60)
        client.run(calls.exchange, number, payload=b"begun")
        after = {w["pid"]: w["active_rpcs"] for w in sluice.workers()}
        (pid,) = [p for p in after if after[p] > before[p]]
        held[pid].append(number)
        if all(held.values()):
            return held
    raise AssertionError(f"no connection for one worker in 60: {held}")


def test_killed_worker_costs_only_its_own_connections(lab, client, sluice, target):
    held = spread_calls(client, lab, sluice, target.tag)
    victim, survivor = held
    os.kill(victim, signal.SIGKILL)
    for number in held[survivor]:
        for i in range(3):
            assert client.run(calls.exchange, number, payload=b"on")["received"] == i + 2
    wait_for(lambda: len(pids(sluice)) == 2 and victim not in pids(sluice).values(), 5,
             lambda: f"the slot is filled again: {sluice.ctl.json('workers')}")
    assert survivor in pids(sluice).values()
    for number in held[victim]:
        assert client.run(calls.end, number).code == 14
    for number in held[survivor]:
        assert client.run(calls.end, number).code == 0
    wait_for(lambda: sum(r["active_rpcs"] for r in sluice.backends()) == 0, 3,
             lambda: f"what the dead worker had counted is taken back: {sluice.backends()}")


def _new_connections(target, how_many):
    """Calls on a fresh connection each; their codes."""
    codes = []
    for _ in range(how_many):
        codes.append(calls.unary(target, timeout=5).code)
        calls.close(target)
    return codes


def test_new_connections_are_served_while_a_worker_is_killed(client, sluice, target):
    for _ in range(3):
        os.kill(next(iter(pids(sluice).values())), signal.SIGKILL)
        codes = client.run(_new_connections, target, 20)
        assert codes.count(0) >= 19, codes  # one at most was in the dead worker's hands
        wait_for(lambda: len(pids(sluice)) == 2, 10, "the slot is filled again")


def test_worker_that_dies_again_and_again_is_not_replaced_without_pause(client, sluice, target):
    deaths = 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for slot, pid in pids(sluice).items():
            if slot == 0:
                os.kill(pid, signal.SIGKILL)
                deaths += 1
        time.sleep(0.02)
    assert deaths < 20
    assert client.run(calls.unary, target).code == 0
    wait_for(lambda: len(pids(sluice)) == 2, 15, "the slot is filled again at last")


@pytest.mark.kernel
def test_stopped_worker_gets_no_new_connection(lab, client, sluice, target, mode):
    if mode == "off":
        pytest.skip("sk_lookup looks at heartbeats; without the kernel part SO_REUSEPORT does not")
    stopped = next(iter(pids(sluice).values()))
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_for(lambda: any(w["heartbeat_age_seconds"] > 1.1 for w in sluice.workers()), 5,
                 "the heartbeat is stale")
        assert client.run(_new_connections, target, 30) == [0] * 30
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_for(lambda: all(w["heartbeat_age_seconds"] < 0.5 for w in sluice.workers()), 5,
             "it is back")


def test_killed_backend_fails_only_calls_in_flight(lab, client, sluice, target, backends):
    client.run(load.start, "kill", target)
    wait_for(lambda: client.run(load.done, "kill") > 200, 10, "load runs")
    killed = time.monotonic()
    backends[1].kill()
    dead = time.monotonic()
    sluice.wait_health(backends[1].address, "down")
    done = client.run(load.done, "kill")
    wait_for(lambda: client.run(load.done, "kill") > done + 100, 10, "load goes on")
    backends[1].start()
    sluice.wait_health(backends[1].address, "up")
    done = client.run(load.done, "kill")
    wait_for(lambda: client.run(load.done, "kill") > done + 100, 10, "load goes on")
    report = client.run(load.finish, "kill")
    assert len(report.failures) <= 6  # one a thread at most was in flight
    for began, ended, code, details in report.failures:
        assert code == 14 and began < dead + 0.05 and ended > killed, report.failures
    assert backends[1].count()["calls"] > 0


def test_backend_killed_between_calls_fails_none(lab, client, sluice, target, backends):
    assert {o.code for o in client.run(calls.many, target, 50)} == {0}
    backends[1].kill()
    for _ in range(5):
        assert {o.code for o in client.run(calls.many, target, 20)} == {0}
    backends[1].start()
    sluice.wait_health(backends[1].address, "up")


def test_sigterm_finishes_every_call_begun_before_it(lab, client, sluice, target):
    client.run(load.start, "term", target, sleep_ms=100)
    streams = [client.run(calls.open_bidi, lab.target(tag=f"{target.tag}-{i}"))
               for i in range(4)]
    for stream in streams:
        client.run(calls.exchange, stream, payload=b"begun")
    wait_for(lambda: client.run(load.done, "term") > 50, 10, "load runs")
    told = time.monotonic()
    sluice.signal(signal.SIGTERM)
    wait_for(lambda: "draining" in sluice.log(), 5, "it drains")
    for stream in streams:
        assert client.run(calls.exchange, stream, payload=b"goes on")["received"] == 2
    assert sluice.process.running()
    assert [client.run(calls.end, s).code for s in streams] == [0] * 4
    report = client.run(load.finish, "term")
    assert report.done > 50
    early = [f for f in report.failures if f[0] < told]
    assert not early, early
    for _, _, code, details in report.failures:  # begun after it: nobody listens any more
        assert code == 14, details
    assert sluice.process.wait(10) == 0


def test_sigterm_ends_what_outlasts_the_grace(lab, daemon, client, backends, mode, target):
    sluice = daemon(lab.config(backends, drain={"grace": "1s"}), mode)
    number = client.run(calls.open_bidi, target)
    client.run(calls.exchange, number, payload=b"begun")
    began = time.monotonic()
    sluice.signal(signal.SIGTERM)
    assert sluice.process.wait(10) == 0
    assert 0.8 < time.monotonic() - began < 4
    assert client.run(calls.end, number).code == 14


def test_killed_supervisor_ends_no_running_call_and_the_next_start_works(
        lab, daemon, client, sluice, target, backends, mode):
    held = spread_calls(client, lab, sluice, target.tag)
    children = sluice.children()
    os.kill(sluice.process.pid, signal.SIGKILL)
    sluice.process.popen.wait()
    time.sleep(0.3)  # the workers have noticed by now; the calls must not
    for number in [n for numbers in held.values() for n in numbers]:
        assert client.run(calls.exchange, number, payload=b"on")["received"] == 2
    again = Sluice(lab, sluice.config, mode)
    again.config["control"] = sluice.config["control"]
    again.socket = again.ctl.socket = sluice.socket
    if mode != "off":
        again.pin_path = again.config["kernel"]["pin_path"] = sluice.pin_path
    again.write()
    again.start()
    try:
        assert client.run(calls.unary, lab.target(tag=target.tag + "-new")).code == 0
        for number in [n for numbers in held.values() for n in numbers]:
            assert client.run(calls.end, number).code == 0
        client.run(calls.close_all)
        wait_for(lambda: not any(alive(p) for p in children), 10,
                 lambda: f"the orphans end: {[p for p in children if alive(p)]}")
        again.stop()
    finally:
        again.kill()


def test_processes_have_no_rights(sluice):
    for pid in sluice.children():
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        if os.geteuid() == 0:
            assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
            assert status["Groups"].split() in ([], status["Gid"].split()[:1])
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[capabilities], 16) == 0, capabilities
        assert status["NoNewPrivs"] == "1"
