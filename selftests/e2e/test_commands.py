# SPDX-License-Identifier: MIT
"""The operator's commands on single backends: drain, undrain, weight, health. What they say is in
force when they return, outlives reloads and dead workers, and yields to a change of the file."""
import os
import signal

import pytest

from harness.lab import BACKEND_PORT
from harness.proc import holds_for, run, wait_for
from peers import calls

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    yield daemons(lab.config(backends), mode)
    daemons.stop()


@pytest.fixture(autouse=True)
def as_in_the_file(sluice, backends):
    """Every test begins, and leaves the next one, with two plain backends."""
    yield
    for backend, entry in zip(backends, sluice.group()["backends"]):
        command(sluice, "undrain", backend.address)
        command(sluice, "weight", backend.address, "file")
        command(sluice, "health", backend.address, "auto")
        entry.update(weight=100)
        entry.pop("drain", None)
    sluice.reload()
    sluice.wait_healthy()


@pytest.fixture
def target(lab, request):
    return lab.target(tag=request.node.nodeid)


def command(sluice, verb, backend, *rest):
    done = sluice.ctl.raw(verb, "echo", backend, *rest)
    assert done.returncode == 0, done
    return done.stdout


def row(sluice, backend):
    return next(r for r in sluice.backends() if r["address"] == backend.address)


def group(sluice):
    return sluice.ctl.json("groups")["groups"][0]


def _thirty(target):
    return [calls.unary(target) for _ in range(30)]


def served(client, target):
    """How many of thirty calls each backend got; none may fail."""
    outcomes = client.run(_thirty, target)
    assert [o.code for o in outcomes] == [0] * len(outcomes)
    names = [o.reply["backend"] for o in outcomes]
    return {name: names.count(name) for name in set(names)}


def test_drained_backend_gets_no_new_call_and_finishes_its_own(client, sluice, backends, target):
    numbers = [client.run(calls.open_bidi, target, timeout=60) for _ in range(4)]
    for number in numbers:
        client.run(calls.exchange, number, payload=b"begun")
    said = command(sluice, "drain", backends[0].address)
    assert "drained" in said and "in force" in said
    assert served(client, target) == {backends[1].name: 30}
    seen = row(sluice, backends[0])
    assert seen["drained"] and seen["weight"] == 100 and "drained" in seen["note"]
    assert seen["active_rpcs"] == 2
    assert (group(sluice)["live"], group(sluice)["total"], group(sluice)["drained"]) == (1, 1, 1)
    assert "drained" in sluice.ctl.raw("backends").stdout
    for number in numbers:
        assert client.run(calls.exchange, number, payload=b"on")["received"] == 2
        assert client.run(calls.end, number).code == 0
    command(sluice, "undrain", backends[0].address)
    assert set(served(client, target)) == {b.name for b in backends}
    assert (group(sluice)["live"], group(sluice)["total"]) == (2, 2)


def test_drain_for_a_time_then_cuts_what_still_runs(client, sluice, backends, target):
    numbers = [client.run(calls.open_bidi, target, timeout=60) for _ in range(4)]
    held = {}
    for number in numbers:
        held.setdefault(client.run(calls.exchange, number, payload=b"x")["backend"],
                        []).append(number)
    assert len(held[backends[0].name]) == 2
    assert "cut after 700ms" in command(sluice, "drain", backends[0].address, "--for", "700ms")
    left = row(sluice, backends[0])["drain_seconds_left"]
    assert 0 < left <= 0.7
    for number in held[backends[0].name]:
        assert client.run(calls.exchange, number, payload=b"y")["received"] == 2
    wait_for(lambda: row(sluice, backends[0])["active_rpcs"] == 0, 5, "the calls are cut")
    for number in held[backends[0].name]:
        assert client.run(calls.end, number).code == 14
    for number in held[backends[1].name]:
        assert client.run(calls.end, number).code == 0
    assert row(sluice, backends[0])["drained"]
    assert row(sluice, backends[0])["drain_seconds_left"] == 0


def test_weight_by_command_is_marked_and_taken_back(client, sluice, backends, target):
    command(sluice, "weight", backends[0].address, "50")
    assert served(client, target) == {backends[0].name: 10, backends[1].name: 20}
    seen = row(sluice, backends[0])
    assert (seen["weight"], seen["file_weight"]) == (50, 100)
    assert "file has 100" in seen["note"]
    assert f'command what="weight 50" group=echo backend={backends[0].address}' in sluice.log()
    command(sluice, "weight", backends[0].address, "0")
    assert served(client, target) == {backends[1].name: 30}
    command(sluice, "weight", backends[0].address, "file")
    assert row(sluice, backends[0])["weight"] == 100 and not row(sluice, backends[0])["note"]


def test_commands_outlive_a_reload_until_the_file_changes_their_value(sluice, backends):
    command(sluice, "weight", backends[0].address, "30")
    command(sluice, "drain", backends[1].address)
    command(sluice, "health", backends[0].address, "down")
    sluice.group()["health_check"]["interval"] = "150ms"
    sluice.reload()
    assert row(sluice, backends[0])["weight"] == 30 and row(sluice, backends[0])["forced"]
    assert row(sluice, backends[1])["drained"]

    sluice.group()["backends"][0]["weight"] = 70
    sluice.reload()
    assert row(sluice, backends[0])["weight"] == 70
    assert row(sluice, backends[0])["forced"] and row(sluice, backends[1])["drained"]
    assert "the file has taken a command back" in sluice.log()

    # Refused, so it changes nothing.
    command(sluice, "weight", backends[1].address, "20")
    sluice.group()["backends"][1]["weight"] = 10
    sluice.write()
    sluice.write(sluice.config_path.read_text(encoding="utf-8") + "nonsense: 1\n")
    assert sluice.ctl.raw("reload").returncode == 1
    assert row(sluice, backends[1])["weight"] == 20
    sluice.reload()
    assert row(sluice, backends[1])["weight"] == 10


def test_commands_hold_in_workers_that_replace_killed_ones(client, sluice, backends, target):
    command(sluice, "drain", backends[0].address)
    before = {w["pid"] for w in sluice.workers()}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(sluice.workers()) == 2 and not before & {w["pid"] for w in sluice.workers()},
             10, "new workers")
    assert served(client, target) == {backends[1].name: 30}
    assert row(sluice, backends[0])["drained"]


def test_forced_health_holds_against_the_checks_until_auto(client, sluice, backends, target):
    assert "forced down" in command(sluice, "health", backends[0].address, "down")
    wait_for(lambda: row(sluice, backends[0])["health"] == "down", 2, "it is down")
    assert row(sluice, backends[0])["last_failure_text"] == "forced by command"
    assert served(client, target) == {backends[1].name: 30}
    assert group(sluice)["live"] == 1
    checks = row(sluice, backends[0])["checks"]
    wait_for(lambda: row(sluice, backends[0])["checks"] > checks + 3, 5, "checks go on")
    assert row(sluice, backends[0])["health"] == "down"

    backends[1].set_health(status=14)
    sluice.wait_health(backends[1].address, "down")
    command(sluice, "health", backends[1].address, "up")
    wait_for(lambda: row(sluice, backends[1])["health"] == "up", 2, "it is up")
    holds_for(lambda: row(sluice, backends[1])["health"] == "up", 1, "it stays up")
    assert served(client, target) == {backends[1].name: 30}

    command(sluice, "health", backends[0].address, "auto")
    command(sluice, "health", backends[1].address, "auto")
    wait_for(lambda: sluice.health() == {backends[0].address: "up", backends[1].address: "down"}, 2,
             "the last verdicts are back")
    assert row(sluice, backends[1])["last_failure_text"] == "grpc-status 14, want 0"
    backends[1].set_health()
    sluice.wait_health(backends[1].address, "up")


def test_drain_in_the_file_and_by_command_are_one(client, sluice, backends, target):
    sluice.group()["backends"][0]["drain"] = True
    sluice.reload()
    assert served(client, target) == {backends[1].name: 30}
    command(sluice, "undrain", backends[0].address)
    assert set(served(client, target)) == {b.name for b in backends}
    sluice.reload()
    assert not row(sluice, backends[0])["drained"]
    sluice.group()["backends"][0]["drain"] = False
    sluice.reload()
    sluice.group()["backends"][0]["drain"] = True
    sluice.reload()
    assert row(sluice, backends[0])["drained"]


def test_all_drained_is_all_down(client, sluice, backends, target):
    sluice.group()["on_all_down"] = "reset"
    sluice.reload()
    assert client.run(calls.unary, target).code == 0
    for backend in backends:
        command(sluice, "drain", backend.address)
    assert (group(sluice)["live"], group(sluice)["total"]) == (0, 0)
    outcome = client.run(calls.unary, target)
    assert (outcome.code, "all its backends are drained" in outcome.details) == (14, True), outcome
    for backend in backends:
        command(sluice, "undrain", backend.address)
    assert (group(sluice)["live"], group(sluice)["total"]) == (2, 2)
    assert client.run(calls.unary, target, wait_for_ready=True).code == 0
    sluice.group()["on_all_down"] = "accept"


def test_a_panic_is_said(client, sluice, backends, target):
    assert group(sluice)["serves"] == "first" and not group(sluice)["panic"]
    for backend in backends:
        command(sluice, "health", backend.address, "down")
    assert group(sluice)["serves"] == "panic" and group(sluice)["panic"]
    assert "panic        group echo balances over all its backends: 0 of 2 live" in \
        sluice.ctl.raw("status").stdout
    assert set(served(client, target)) == {b.name for b in backends}
    command(sluice, "health", backends[0].address, "auto")
    assert group(sluice)["serves"] == "first" and "panic" not in sluice.ctl.raw("status").stdout


def test_reload_names_what_waits_for_a_restart(sluice):
    sluice.config["workers"] = 3
    sluice.write()
    done = sluice.ctl.raw("reload")
    assert done.returncode == 0 and "unchanged until a restart: workers" in done.stdout
    sluice.config["workers"] = 2
    sluice.write()
    assert "restart" not in sluice.ctl.raw("reload").stdout


def test_routes_are_shown_with_their_calls(client, sluice, target):
    (before,) = sluice.ctl.json("routes")["routes"]
    assert (before["name"], before["match"], before["to"]) == ("default", "every call", "echo")
    assert client.run(calls.unary, target).code == 0
    (after,) = sluice.ctl.json("routes")["routes"]
    assert after["calls"] == before["calls"] + 1


@pytest.mark.parametrize("arguments,status,words", [
    (("drain", "ecko", "198.18.1.11:50051"), 1, 'no group "ecko", did you mean "echo"?'),
    (("weight", "nothing-like-it", "198.18.1.11:50051", "1"), 1, 'no group "nothing-like-it"'),
    (("undrain", "echo", "198.51.100.200:1"), 1, "has no backend"),
    (("drain", "echo", "a.example:50051"), 1, 'has no backend "a.example:50051"'),
    (("drain", "echo"), 2, "missing argument"),
    (("drain", "echo", "x:1", "--for", "5"), 2, "a duration"),
    (("drain", "echo", "x:1", "--for", "48h"), 2, "a duration"),
    (("undrain", "echo", "x:1", "--for", "5s"), 2, "not an option of this command: --for"),
    (("weight", "echo", "x:1", "101"), 2, "0 to 100"),
    (("weight", "echo", "x:1", "many"), 2, "0 to 100"),
    (("health", "echo", "x:1", "maybe"), 2, "up, down or auto"),
])
def test_what_cannot_be_is_said(sluice, arguments, status, words):
    done = sluice.ctl.raw(*arguments)
    assert (done.returncode, words in done.stderr) == (status, True), done


def test_a_mistyped_backend_gets_a_suggestion(sluice, backends):
    mistyped = backends[0].address.replace(str(BACKEND_PORT), str(BACKEND_PORT + 1)) \
        if str(BACKEND_PORT) in backends[0].address else backends[0].address + "1"
    done = sluice.ctl.raw("drain", "echo", mistyped)
    assert done.returncode == 1 and "did you mean" in done.stderr, done


def _raw(socket, line):
    import socket as sockets
    with sockets.socket(sockets.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(socket)
        s.sendall(line)
        return s.makefile("rb").read().decode()


@pytest.mark.parametrize("line", [
    b'{"command": "drain"}', b'{"command": "drain", "group": 5, "backend": "x:1"}',
    b'{"command": "weight", "group": "echo", "backend": "x:1", "weight": -1}',
    b'{"command": "weight", "group": "echo", "backend": "x:1", "weight": 1e9}',
    b'{"command": "drain", "group": "echo", "backend": "x:1", "for_ms": -5}',
    b'{"command": "health", "group": "echo", "backend": "x:1", "health": 7}',
    b'{"command": "undrain", "group": "echo", "backend": "x:1", "for_ms": 7}',
    b'{"command": "route", "listener": "echo", "more": "x"}',
    b'{"command": "route", "listener": "echo", "path": 7}',
    b'{"command": "route", "listener": "echo", "sans": [7]}',
    b'{"command": "status", "more": 1}', b'{"command": 7}', b'[]', b'7', b'{"group": "echo"}',
    b'{"command": "drain", "group": "echo", "backend": "' + b"x" * 3000 + b'"}'])
def test_requests_that_make_no_sense_are_refused(sluice, line):
    assert '"error"' in _raw(sluice.socket, line + b"\n")
    assert sluice.ctl.json("status")["state"] == "running"


def test_json_output_of_a_command(sluice, backends):
    done = sluice.ctl.json("weight", "echo", backends[0].address, "10")
    assert done["ok"] is True and done["revision"] == sluice.ctl.json("status")["revision"]


def test_many_commands_at_once_are_all_in_force(sluice, backends):
    import concurrent.futures
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda n: run(sluice.ctl.path, "--socket", sluice.socket, "weight",
                                           "echo", backends[n % 2].address, n + 1), range(16)))
    assert all(d.returncode == 0 for d in done)
    assert all(row(sluice, b)["weight"] in range(1, 17) for b in backends)
