# SPDX-License-Identifier: MIT
"""sluiced as a service: what it tells systemd and the log, the rights it needs, its limits, how it
says goodbye to clients."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket

import pytest

from harness.proc import run, wait_for
from peers import calls, h2raw

pytestmark = pytest.mark.l7


@pytest.fixture
def target(lab, request):
    return lab.target(tag=request.node.nodeid)


def test_json_log_has_one_record_a_line(lab, daemon, backends, client, target):
    config = lab.config(backends, log={"format": "json", "level": "debug"})
    sluice = daemon(config, "off")
    assert client.run(calls.unary, target).code == 0
    sluice.stop()
    records = [json.loads(line) for line in sluice.log().splitlines()]
    assert len(records) > 5
    assert all(isinstance(r, dict) for r in records)
    assert any("ready" in str(r) for r in records)


def test_systemd_is_notified(lab, daemon, backends, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(10)
        os.chmod(path, 0o777)
        sluice = daemon(lab.config(backends, drain={"grace": "1000s"}), "off", start=False)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            sluice.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]

        def told(word):
            while True:
                message = notify.recv(4096).decode()
                if word in message:
                    return message

        assert told("READY=1")
        sluice.reload()
        assert "MONOTONIC_USEC" in told("RELOADING=1")
        told("READY=1")
        sluice.signal(signal.SIGTERM)
        stopping = told("STOPPING=1")
        grace, asked_us = 1000, int(re.search(r"EXTEND_TIMEOUT_USEC=(\d+)", stopping)[1])
        assert grace + 5 <= asked_us / 1e6 <= grace + 60
        assert sluice.process.wait(10) == 0


def _goaways(address):
    """After a call: every GOAWAY until the connection ends, (last id, code)."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    assert connection.call()["trailers"]["grpc-status"] == "0"
    connection.request(3)  # stays open until the first GOAWAY is here
    connection.ping()
    seen = connection.until(lambda f: f["kind"] == "GoAwayFrame", 15)
    connection.request(5)  # under way when the notice came: must still be served
    connection.data(5, h2raw.message(b""), end=True)
    connection.data(3, h2raw.message(b""), end=True)
    statuses = {}

    def over(frame):
        if frame["kind"] == "HeadersFrame" and frame["end"]:
            statuses[frame["stream"]] = dict(frame["headers"]).get("grpc-status")
        return False

    seen += connection.until(over, 10)
    return [(f["last"], f["code"]) for f in seen if f["kind"] == "GoAwayFrame"], statuses


def test_drain_says_goaway_in_two_phases_and_serves_what_was_on_the_way(
        lab, daemon, client, backends):
    sluice = daemon(lab.config(backends), "off")
    future = client.start(_goaways, (lab.world.lb.address, lab.world.port(443)))
    wait_for(lambda: sum(w["active_rpcs"] for w in sluice.workers()) == 1, 5, "a call is open")
    sluice.signal(signal.SIGTERM)
    goaways, statuses = future.result(30)
    assert goaways[0] == (0x7fffffff, "NO_ERROR")
    assert goaways[-1] == (5, "NO_ERROR") and len(goaways) == 2
    assert statuses == {3: "0", 5: "0"}
    assert sluice.process.wait(10) == 0


def _connect_many(address, how_many):
    """How many of these connections get through a TLS handshake; all are kept meanwhile."""
    held, good = [], 0
    for _ in range(how_many):
        try:
            held.append(h2raw.Client(address, h2raw.tls_context(), timeout=3).hello())
            held[-1].next(3)
            good += held[-1].eof is False
        except (OSError, TimeoutError):
            pass
    for connection in held:
        connection.close()
    return good


def test_connections_over_the_limit_are_refused_and_the_others_served(
        lab, daemon, client, backends, target):
    config = lab.config(backends, workers=1, limits={"connections": 5})
    sluice = daemon(config, "off")
    address = (lab.world.lb.address, lab.world.port(443))
    assert client.run(_connect_many, address, 9) == 5
    assert sluice.workers()[0]["refused"] == 4
    wait_for(lambda: sluice.workers()[0]["connections"] == 0, 5, "they are gone")
    assert client.run(calls.unary, target).code == 0


def unprivileged(lab, sluice):
    """Moves what the daemon reads and writes to where nobody can, and its argv to nobody's."""
    folder = sluice.folder
    for path in lab.certificate:
        shutil.copy(path, folder)
    sluice.config["listeners"][0]["certificate"] = {
        k: str(folder / pathlib.Path(v).name) for k, v in lab.certificate._asdict().items()}
    sluice.config["listeners"][0]["address"] = f"{lab.world.lb.address}:{lab.world.port(8443)}"
    sluice.write()
    for path in [folder, *folder.iterdir()]:
        shutil.chown(path, "nobody", "nogroup")
    plain = sluice.argv
    enter = len(lab.world.lb.enter())

    def argv(*args):
        full = plain(*args)
        return [*full[:enter], "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                *full[enter:]]

    sluice.argv = argv


@pytest.mark.skipif(os.geteuid() != 0, reason="root only: it becomes nobody")
def test_without_rights_auto_mode_serves_without_the_kernel_part(lab, daemon, client, backends):
    sluice = daemon(lab.config(backends), "off", start=False)
    sluice.config["kernel"]["mode"] = "auto"
    unprivileged(lab, sluice)
    sluice.start()
    assert client.run(calls.unary, lab.target(port=8443)).code == 0
    status = sluice.ctl.json("status")
    assert (status["kernel"]["mode"], status["kernel"]["configured"]) == ("off", "auto")
    lines = [line for line in sluice.log().splitlines() if "kernel" in line and "off" in line]
    assert lines, sluice.log()
    can = sluice.ctl.json("status", "--kernel")
    assert {row["has"] for row in can["features"]} == {None}, "nothing is claimed that was not asked"
    assert {row["has"] for row in can["capabilities"]} == {False}


@pytest.mark.skipif(os.geteuid() != 0, reason="root only: it becomes nobody")
def test_without_rights_required_mode_says_what_is_missing(lab, daemon, backends):
    sluice = daemon(lab.config(backends), "off", start=False)
    sluice.config["kernel"]["mode"] = "required"
    unprivileged(lab, sluice)
    done = run(*sluice.argv("--config", sluice.config_path), check=False)
    assert done.returncode == 1
    assert "CAP_" in done.stderr, done.stderr


def test_two_daemons_beside_each_other(lab, daemon, client, backends, mode):
    """Each with its own socket and pins."""
    first = daemon(lab.config(backends), mode)
    config = lab.config([], listeners=[], groups=[])
    lab.add_listener(config, 449, "second", [backends[1]])
    if mode != "off":
        config["kernel"] = {"interfaces": []}
    second = daemon(config, mode)
    assert client.run(calls.unary, lab.target(tag="first-of-two")).code == 0
    reply = client.run(calls.unary, lab.target(port=449, tag="second-of-two")).reply
    assert reply["backend"] == "be2"
    second.stop()
    assert client.run(calls.unary, lab.target(tag="first-alone")).code == 0
    assert first.ctl.json("status")["state"] == "running"
