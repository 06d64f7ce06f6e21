# SPDX-License-Identifier: MIT
"""10,000 backends in 1,000 groups behind 1,000 routes: everything works as with two, nothing is left
out. Times are printed (pytest -s) and bounded only where something must be quadratic to fail."""
import time

import pytest

from harness.proc import resident_kib, wait_for
from peers import calls

pytestmark = pytest.mark.l7
GROUPS, BACKENDS = 1000, 10


@pytest.fixture
def timed():
    """Runs something; prints how long it took and fails where that is beyond any doubt."""
    def run(what, function, limit):
        began = time.monotonic()
        value = function()
        seconds = time.monotonic() - began
        print(f"{what}: {seconds:.2f} s")
        assert seconds < limit, f"{what} took {seconds:.2f} s"
        return value
    return run


def large(lab, backends):
    """Group g0 has the real backends; the others' addresses nobody listens on."""
    config = lab.config(backends)
    listener, (first,) = config["listeners"][0], config["groups"]
    first.update(name="g0")
    listener.pop("group")
    listener["routes"] = [{"name": f"r{g}", "match": {"path": f"/large.Service{g}/Method"},
                           "group": f"g{g}"} for g in range(1, GROUPS)]
    listener["routes"].append({"name": "echo", "match": {"path": "/sluice.test.Echo/"},
                               "group": "g0"})
    for g in range(1, GROUPS):
        config["groups"].append({
            "name": f"g{g}",
            "backends": [{"address": f"127.1.{n // 250}.{n % 250 + 1}:50051"}
                         for n in range(g * BACKENDS, (g + 1) * BACKENDS)]})
    return config


def test_ten_thousand_backends(lab, daemon, client, backends, mode, timed):
    config = large(lab, backends)
    sluice = daemon(config, mode, start=False)
    timed("start", lambda: sluice.start(timeout=60), 40)
    total = (GROUPS - 1) * BACKENDS + 2
    rows = timed("backends", sluice.backends, 20)
    assert len(rows) == total
    assert len({(r["group"], r["address"]) for r in rows}) == total
    assert len(timed("groups", lambda: sluice.ctl.json("groups"), 20)["groups"]) == GROUPS
    routes = timed("routes", lambda: sluice.ctl.json("routes"), 20)["routes"]
    assert [r["name"] for r in routes] == [f"r{g}" for g in range(1, GROUPS)] + ["echo"]
    assert timed("tables", lambda: sluice.ctl.raw("backends"), 30).stdout.count("\n") == total + 1
    target = lab.target(tag=f"large-{mode}")
    assert client.run(calls.unary, target).code == 0

    ids = {(r["group"], r["address"]): r["id"] for r in rows}
    sluice.config["groups"][500]["backends"].pop()
    sluice.config["groups"][700]["backends"][0]["weight"] = 7
    timed("reload", sluice.reload, 30)
    after = {(r["group"], r["address"]): r for r in sluice.backends()}
    assert len(after) == total - 1
    assert all(row["id"] == ids[key] for key, row in after.items())
    done = timed("drain", lambda: sluice.ctl.raw("drain", "g999", "127.1.39.241:50051"), 30)
    assert done.returncode == 0, done
    assert sum(r["drained"] for r in sluice.backends()) == 1
    assert client.run(calls.unary, target).code == 0
    for worker in sluice.workers():
        print(f"worker {worker['slot']}: {resident_kib(worker['pid'])} KiB")
        if not lab.sanitized:
            assert resident_kib(worker["pid"]) < 64 * 1024
    client.run(calls.close_all)
    timed("stop", lambda: sluice.stop(60), 60)


def test_one_group_of_ten_thousand(lab, daemon, client, backends, timed):
    config = lab.config([*backends, *({"address": f"127.2.{n // 250}.{n % 250 + 1}:50051",
                                       "weight": 0} for n in range(10000))])
    sluice = daemon(config, "off", start=False)
    timed("start", lambda: sluice.start(timeout=60), 40)
    assert len(sluice.backends()) == 10002
    timed("reload", sluice.reload, 30)
    target = lab.target(tag="one-group")
    wait_for(lambda: client.run(calls.unary, target).code == 0, 10, "a call")
