# SPDX-License-Identifier: MIT
"""Active health checks against real gRPC servers: verdicts, reasons, thresholds, and what the
workers make of them."""
import re
import time

import pytest

from harness.lab import Backend, wait_for
from harness.proc import holds_for
from peers import calls

pytestmark = pytest.mark.l7


@pytest.fixture
def target(lab, request):
    """With a connection of its own: each test has its own daemon."""
    return lab.target(tag=request.node.nodeid)


@pytest.fixture
def backends(lab):
    """Two gRPC servers, fresh for each test: they are told how to answer."""
    servers = [Backend(lab, host) for host in lab.world.backends[:2]]
    yield servers
    for server in servers:
        server.kill()


def check(sluice, **changes):
    sluice.group()["health_check"].update(changes)
    sluice.write()
    return sluice


def row(sluice, backend):
    return next(r for r in sluice.backends() if r["address"] == backend.address)


def down_with(sluice, backend, text, timeout=10):
    sluice.wait_health(backend.address, "down", timeout)
    assert row(sluice, backend)["last_failure_text"] == text
    assert re.search(rf'backend is down .*backend={re.escape(backend.address)} reason="?{text}"?',
                     sluice.log())


def names_of(outcomes):
    assert [o.code for o in outcomes] == [0] * len(outcomes)
    return {o.reply["backend"] for o in outcomes}


def _thirty(target):
    return [calls.unary(target) for _ in range(30)]


def test_not_serving_backend_gets_no_calls_until_it_serves(lab, daemon, client, target, backends,
                                                           mode):
    sluice = daemon(lab.config(backends), mode)
    backends[0].set_health(services={"": 2})
    down_with(sluice, backends[0], "serving status NOT_SERVING, want SERVING")
    assert names_of(client.run(_thirty, target)) == {backends[1].name}
    backends[0].set_health()
    sluice.wait_health(backends[0].address, "up")
    assert names_of(client.run(_thirty, target)) == {b.name for b in backends}


def test_reasons_are_said_as_they_are(lab, daemon, backends, mode):
    sluice = daemon(lab.config(backends), mode)
    backends[0].set_health(status=14)
    down_with(sluice, backends[0], "grpc-status 14, want 0")
    backends[1].set_health(delay=30)
    down_with(sluice, backends[1], "timeout after 1s", timeout=15)
    backends[0].set_health()
    sluice.wait_health(backends[0].address, "up")
    backends[0].kill()
    down_with(sluice, backends[0], "connection refused")
    counts = row(sluice, backends[0])
    assert counts["health_changes"] >= 4 and counts["checks_failed"] >= 4


def test_backend_without_health_service_is_healthy_by_code_12(lab, daemon, client, target, mode):
    backend = Backend(lab, lab.world.backends[0], health=False)
    sluice = daemon(lab.config([backend]), mode, healthy=False)
    down_with(sluice, backend, "grpc-status 12, want 0")
    check(sluice, codes=[0, 12]).reload()
    sluice.wait_health(backend.address, "up")
    assert client.run(calls.unary, target).code == 0
    backend.kill()


def test_the_service_asked_for_decides(lab, daemon, backends, mode):
    for backend in backends:
        backend.set_health(services={"": 1, "sluice.test.Echo": 1})
    backends[1].set_health(services={"": 1})
    config = lab.config(backends)
    config["groups"][0]["health_check"]["service"] = "sluice.test.Echo"
    sluice = daemon(config, mode, healthy=False)
    sluice.wait_health(backends[0].address, "up")
    down_with(sluice, backends[1], "grpc-status 5, want 0")


def test_thresholds_count_checks_in_a_row(lab, daemon, backends, mode):
    config = lab.config(backends)
    config["groups"][0]["health_check"].update(interval="100ms", healthy_threshold=20,
                                               unhealthy_threshold=20)
    sluice = daemon(config, mode)
    failed = row(sluice, backends[0])["checks_failed"]
    backends[0].set_health(status=14)
    sluice.wait_health(backends[0].address, "down")
    # A check or two more may have ended before the row was read.
    assert 20 <= row(sluice, backends[0])["checks_failed"] - failed <= 22
    before = row(sluice, backends[0])["checks"]
    backends[0].set_health()
    sluice.wait_health(backends[0].address, "up")
    assert row(sluice, backends[0])["checks"] - before >= 20


def test_first_verdicts_come_before_the_first_interval_ends(lab, daemon, client, target, backends,
                                                            mode):
    backends[1].kill()
    config = lab.config(backends)
    config["groups"][0]["health_check"].update(interval="20s", timeout="5s", healthy_threshold=3,
                                               unhealthy_threshold=3)
    sluice = daemon(config, mode, healthy=False)
    sluice.wait_health(backends[0].address, "up", 5)
    down_with(sluice, backends[1], "connection refused", 5)
    assert names_of(client.run(_thirty, target)) == {backends[0].name}


def test_no_call_is_refused_because_nothing_is_known_yet(lab, daemon, client, target, backends,
                                                         mode):
    for backend in backends:
        backend.set_health(delay=30)
    config = lab.config(backends)
    config["groups"][0]["health_check"].update(timeout="60s")
    sluice = daemon(config, mode, healthy=False)
    wait_for(sluice.workers, 10, "a worker is live")
    assert names_of(client.run(_thirty, target)) == {b.name for b in backends}
    assert set(sluice.health().values()) == {"unknown"}


def test_a_reload_keeps_what_is_known(lab, daemon, backends, mode):
    backends[1].set_health(status=14)
    sluice = daemon(lab.config(backends), mode, healthy=False)
    sluice.wait_health(backends[0].address, "up")
    sluice.wait_health(backends[1].address, "down")
    for backend in sluice.group()["backends"]:
        backend["weight"] = 7
    changes = [row(sluice, b)["health_changes"] for b in backends]
    check(sluice, interval="150ms").reload()
    holds_for(lambda: sluice.health() == {backends[0].address: "up", backends[1].address: "down"},
              1, "health over the reload")
    assert [row(sluice, b)["health_changes"] for b in backends] == changes


def test_weight_zero_is_not_probed(lab, daemon, backends, mode):
    config = lab.config([backends[0], backends[1].entry(weight=0)])
    sluice = daemon(config, mode, healthy=False)
    sluice.wait_health(backends[0].address, "up")
    wait_for(lambda: row(sluice, backends[0])["checks"] > 5, 10, "checks go on")
    assert row(sluice, backends[1])["checks"] == 0
    assert backends[1].count().get("checks", 0) == 0
    assert row(sluice, backends[1])["health"] == "unknown"


def test_checks_go_on_after_the_monitor_was_killed(lab, daemon, backends, mode):
    sluice = daemon(lab.config(backends), mode)
    backends[1].kill()
    sluice.wait_health(backends[1].address, "down")
    monitor = next(p for p in sluice.children() if _comm(p) == "sluice-monitor")
    sluice.lab.world.lb.run("kill", "-9", monitor)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert sluice.health() == {backends[0].address: "up", backends[1].address: "down"}
        time.sleep(0.02)
    backends[1].start()
    sluice.wait_health(backends[1].address, "up")


def _comm(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()
