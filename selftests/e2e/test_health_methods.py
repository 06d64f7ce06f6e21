# SPDX-License-Identifier: MIT
"""The ways to check a backend's health besides a call: a standing Watch, a TCP connect; over the
group's TLS; with an interval so long that only what arrives by itself can explain a verdict."""
import os
import signal
import time

import pytest

from harness import certs
from harness.lab import Backend, wait_for
from harness.proc import holds_for
from peers import calls

pytestmark = pytest.mark.l7
SLOW = {"interval": "30s", "timeout": "2s", "healthy_threshold": 3, "unhealthy_threshold": 3}


@pytest.fixture
def backend(lab):
    server = Backend(lab, lab.world.backends[0])
    yield server
    server.kill()


def row(sluice, backend):
    return next(r for r in sluice.backends() if r["address"] == backend.address)


def checked(lab, backends, **check):
    config = lab.config(backends)
    config["groups"][0]["health_check"] = check
    return config


def watching(lab, backends, **check):
    return checked(lab, backends, **{"method": "WATCH", **SLOW, **check})


def test_a_watch_tells_at_once_both_ways(lab, daemon, backend):
    backend.set_health(watch=True)
    sluice = daemon(watching(lab, [backend]), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    for _ in range(3):
        backend.set_health(services={"": 2}, watch=True)
        began = time.monotonic()
        sluice.wait_health(backend.address, "down", 3)
        assert row(sluice, backend)["last_failure_text"] == \
            "serving status NOT_SERVING, want SERVING"
        backend.set_health(watch=True)
        sluice.wait_health(backend.address, "up", 3)
        assert time.monotonic() - began < 6  # the next check is 30 s away
    assert backend.count()["watches"] == 1 and "checks" not in backend.count()


def test_a_watch_of_a_service_that_is_not_there_waits_for_it(lab, daemon, backend):
    backend.set_health(services={"": 1}, watch=True)
    sluice = daemon(watching(lab, [backend], service="sluice.test.Echo"), "off", healthy=False)
    sluice.wait_health(backend.address, "down", 5)
    assert row(sluice, backend)["last_failure_text"] == \
        "serving status SERVICE_UNKNOWN, want SERVING"
    backend.set_health(services={"": 1, "sluice.test.Echo": 1}, watch=True)
    sluice.wait_health(backend.address, "up", 3)


def test_where_there_is_no_watch_calls_decide(lab, daemon, backend):
    sluice = daemon(watching(lab, [backend], interval="200ms", unhealthy_threshold=2,
                             healthy_threshold=1), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    backend.set_health(services={"": 2})
    sluice.wait_health(backend.address, "down", 5)
    backend.set_health()
    sluice.wait_health(backend.address, "up", 5)
    assert backend.count()["watches"] == 1 and backend.count()["checks"] >= 3


def test_a_killed_backend_is_found_and_found_again_though_checks_are_rare(lab, daemon, backend):
    backend.set_health(watch=True)
    sluice = daemon(watching(lab, [backend], interval="2s"), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    backend.kill()
    sluice.wait_health(backend.address, "down", 2)
    assert row(sluice, backend)["last_failure_text"] == "connection refused"
    backend.start()
    backend.set_health(watch=True)
    sluice.wait_health(backend.address, "up", 6)


def test_a_watch_that_ends_counts_as_a_failed_check(lab, daemon, backend):
    backend.set_health(watch=True)
    sluice = daemon(watching(lab, [backend], interval="1s"), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    backend.set_health(services={"": 1})  # ends it; after that there are calls
    wait_for(lambda: row(sluice, backend)["last_failure_text"] == "the backend ended the Watch", 5,
             lambda: sluice.backends())
    holds_for(lambda: row(sluice, backend)["health"] == "up", 1, "one failure is not three")
    wait_for(lambda: backend.count().get("checks", 0) >= 2, 5, "calls take over")


def test_a_backend_that_hangs_is_found_though_its_watch_stands(lab, daemon, backend):
    backend.set_health(watch=True)
    sluice = daemon(watching(lab, [backend], interval="300ms", timeout="300ms"), "off",
                    healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    wait_for(lambda: backend.count().get("checks", 0) >= 2, 5, "a call each interval")
    os.kill(backend.agent.pid, signal.SIGSTOP)
    try:
        sluice.wait_health(backend.address, "down", 5)
        assert row(sluice, backend)["last_failure_text"] == "timeout after 300ms"
    finally:
        os.kill(backend.agent.pid, signal.SIGCONT)
    sluice.wait_health(backend.address, "up", 5)


def test_a_method_can_change_at_a_reload(lab, daemon, backend):
    backend.set_health(watch=True)
    sluice = daemon(checked(lab, [backend], interval="200ms"), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    assert "watches" not in backend.count()
    sluice.group()["health_check"].update(method="WATCH")
    sluice.reload()
    wait_for(lambda: backend.count().get("watches", 0) == 1, 5, "it is watched")
    sluice.group()["health_check"].update(method="POST")
    sluice.reload()
    before = backend.count()["checks"]
    wait_for(lambda: backend.count()["checks"] > before + 2, 5, "it is called")
    assert set(sluice.health().values()) == {"up"}
    sluice.config["groups"][0]["health_check"] = {"protocol": "tcp", "interval": "200ms"}
    sluice.reload()
    checks = row(sluice, backend)["checks"]
    wait_for(lambda: row(sluice, backend)["checks"] > checks + 2, 5, "it is connected to")


def test_a_connect_is_enough_for_tcp(lab, daemon, backend, client):
    backend.set_health(status=14)
    sluice = daemon(checked(lab, [backend], protocol="tcp", interval="200ms",
                            unhealthy_threshold=2, healthy_threshold=1), "off", healthy=False)
    sluice.wait_health(backend.address, "up", 5)
    assert "checks" not in backend.count()
    assert client.run(calls.unary, lab.target(tag="tcp")).code == 0
    backend.kill()
    sluice.wait_health(backend.address, "down", 5)
    assert row(sluice, backend)["last_failure_text"] == "connection refused"
    backend.start()
    sluice.wait_health(backend.address, "up", 5)


@pytest.mark.parametrize("method", ["POST", "WATCH"])
def test_checks_use_the_groups_tls(lab, daemon, tmp_path, method):
    certificate = certs.make(lab.folder, name=f"health-{method}")
    server = Backend(lab, lab.world.backends[1],
                     tls=(certificate.chain, certificate.key))
    server.set_health(watch=True)
    try:
        config = checked(lab, [server], method=method, interval="200ms", unhealthy_threshold=2)
        config["groups"][0]["tls"] = {"ca": certificate.chain, "server_name": certs.NAME}
        sluice = daemon(config, "off", healthy=False)
        sluice.wait_health(server.address, "up", 5)
        assert server.count().get("watches", 0) == (1 if method == "WATCH" else 0)
        sluice.config["groups"][0]["tls"]["server_name"] = "other.test"
        sluice.reload()
        sluice.wait_health(server.address, "down", 5)
        assert row(sluice, server)["last_failure_text"] == "TLS handshake failed"
        sluice.config["groups"][0]["tls"]["server_name"] = certs.NAME
        sluice.reload()
        sluice.wait_health(server.address, "up", 5)
        del sluice.config["groups"][0]["tls"]
        sluice.reload()
        sluice.wait_health(server.address, "down", 5)
    finally:
        server.kill()
