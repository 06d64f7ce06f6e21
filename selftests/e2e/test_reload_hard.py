# SPDX-License-Identifier: MIT
"""Reloads while processes die or sleep, settings that only a restart changes, and connections that
wait while no worker is there."""
import os
import signal
import socket
import time

import pytest

from harness.proc import run, wait_for
from peers import calls, h2raw

pytestmark = pytest.mark.l7


@pytest.fixture
def sluice(lab, daemon, backends, mode):
    return daemon(lab.config(backends), mode)


def command_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()


def test_reloads_while_workers_and_the_monitor_are_killed(lab, client, sluice, backends):
    for i in range(15):
        sluice.group()["backends"] = [backends[i % 2].entry()]
        sluice.write()
        victims = [w["pid"] for w in sluice.workers()][:1]
        if i % 5 == 0:
            victims += [p for p in sluice.children() if command_of(p) == "sluice-monitor"]
        sluice.signal(signal.SIGHUP)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)  # so that some kills come before, some in and some after a reload
    wait_for(lambda: len(sluice.workers()) == 2, 20, "both slots are filled again")
    sluice.reload()
    assert [r["address"] for r in sluice.backends()] == [backends[0].address]
    sluice.wait_health(backends[0].address, "up")
    assert client.run(calls.unary, lab.target(tag="stormy")).reply["backend"] == "be1"


def test_reload_that_one_worker_does_not_answer_is_refused_whole(lab, daemon, backends):
    sluice = daemon(lab.config(backends), "off")
    stopped = sluice.workers()[0]["pid"]
    before = sluice.ctl.json("status")["revision"]
    sluice.group()["backends"] = [backends[0].entry()]
    sluice.write()
    os.kill(stopped, signal.SIGSTOP)
    try:
        done = run(sluice.ctl.path, "--socket", sluice.socket, "reload", check=False, timeout=40)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert done.returncode == 1 and "did not answer" in done.stdout + done.stderr
    assert sluice.ctl.json("status")["revision"] == before
    assert len(sluice.backends()) == 2
    wait_for(lambda: sluice.ctl.raw("reload").returncode == 0, 10, "the next reload works")
    assert len(sluice.backends()) == 1


def test_settings_that_need_a_restart_are_said_and_the_rest_is_taken(sluice, backends):
    sluice.config["workers"] = 3
    sluice.config["runtime"] = {"user": "daemon"}
    sluice.group()["backends"] = [backends[1].entry()]
    sluice.reload()
    assert len(sluice.workers()) == 2
    assert [r["address"] for r in sluice.backends()] == [backends[1].address]
    for key in ("workers", "runtime.user"):
        assert any("restart" in line and f"key={key}" in line for line in sluice.log().splitlines())


@pytest.mark.kernel
def test_interfaces_come_go_and_change_mode_by_reload(lab, client, daemon, backends,
                                                      kernel_allowed):
    sluice = daemon(lab.config(backends), "native")

    def modes():
        return {i["name"]: i["mode"] for i in sluice.ctl.json("status")["kernel"]["interfaces"]}

    for interfaces, wanted in (
            ([{"name": "front0"}], {"front0": "native"}),
            ([{"name": "front0", "xdp": "generic"}, {"name": "front1"}],
             {"front0": "generic", "front1": "native"}),
            ([], {}),
            ([{"name": "front1", "xdp": "native"}], {"front1": "native"})):
        sluice.config["kernel"]["interfaces"] = interfaces
        sluice.reload()
        assert modes() == wanted
        assert client.run(calls.unary, lab.target(tag=f"{wanted}")).code == 0
        attached = {name: "xdp" in lab.world.lb.run("ip", "-d", "link", "show", name).stdout
                    for name in ("front0", "front1")}
        assert attached == {name: name in wanted for name in attached}


def _knock_and_wait(address):
    """Connects now, and does the handshake and a call as soon as somebody is there."""
    sock = socket.create_connection(address, 5)
    _waiting.append(sock)


def _call_at_last(timeout):
    sock = _waiting.pop()
    sock.settimeout(timeout)
    tls = h2raw.tls_context().wrap_socket(sock, server_hostname="sluice.test")
    connection = h2raw.Connection(tls)
    connection.send(h2raw.PREFACE)
    connection.settings()
    connection.headers(1, h2raw.REQUEST)
    connection.data(1, h2raw.message(b""), end=True)
    seen = connection.until(lambda f: f["kind"] == "HeadersFrame" and f["end"], timeout)
    return dict(seen[-1]["headers"])["grpc-status"]


_waiting = []


def test_connections_in_the_accept_queue_outlive_the_worker(lab, client, daemon, backends, mode):
    sluice = daemon(lab.config(backends, workers=1), mode)
    worker = sluice.workers()[0]["pid"]
    os.kill(worker, signal.SIGSTOP)
    for _ in range(5):
        client.run(_knock_and_wait, (lab.world.lb.address, lab.world.port(443)))
    os.kill(worker, signal.SIGKILL)
    assert [client.run(_call_at_last, 10) for _ in range(5)] == ["0"] * 5
    assert sluice.workers()[0]["pid"] != worker
