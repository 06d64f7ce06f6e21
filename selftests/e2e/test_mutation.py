# SPDX-License-Identifier: MIT
"""Mutated byte streams, from clients and from backends: no crash, no leak (the daemon's end says),
and later calls are served. SLUICE_MUTATIONS sets how many, SLUICE_MUTATIONS_FROM the first one's
number; the sanitizer tree gets ten thousand."""
import os

import pytest

from harness.daemon import SANITIZER
from harness.proc import wait_for
from peers import calls, load, mutate

pytestmark = pytest.mark.l7

BATCH = 500


@pytest.fixture(scope="module")
def bad_backend(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "mutant")
    agent.addresses = [(host.address, lab.world.port(50100 + i)) for i in range(40)]
    agent.run(mutate.start_backend, agent.addresses)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, bad_backend):
    """One mode will do: streams reach the worker alike. 444 leads to the mutating backend."""
    config = lab.config(backends)
    config["log"] = {"level": "error"}
    config["limits"] = {"connections": 10000}
    lab.add_listener(config, 444, "mutant", [
        {"address": f"{host}:{port}"} for host, port in bad_backend.addresses])
    for listener in config["listeners"]:
        listener["timeouts"] = {"handshake": "2s", "header": "2s", "idle": "2s"}
    yield daemons(config, "off")
    daemons.stop()


def how_many(lab, sanitized, otherwise):
    return int(os.environ.get("SLUICE_MUTATIONS", sanitized if lab.sanitized else otherwise))


def assert_unharmed(sluice, pids, what):
    assert {w["pid"] for w in sluice.workers()} == pids, f"a worker died in {what}:\n" + \
        sluice.log()[-8000:]
    assert not SANITIZER.search(sluice.log()), sluice.log()[-8000:]


def test_mutated_client_streams_do_no_harm(lab, client, sluice):
    pids = {w["pid"] for w in sluice.workers()}
    bystander = client.run(calls.open_bidi, lab.target(tag="bystander"), timeout=300)
    address = (lab.world.lb.address, lab.world.port(443))
    start = int(os.environ.get("SLUICE_MUTATIONS_FROM", 0))
    for first in range(start, start + how_many(lab, 10000, 2000), BATCH):
        client.run(mutate.clients, address, first, BATCH, wait=120)
        assert_unharmed(sluice, pids, f"cases {first} to {first + BATCH}")
        assert client.run(calls.unary, lab.target(tag=f"after-{first}")).code == 0
        client.run(calls.exchange, bystander, payload=b"x")
    assert client.run(calls.end, bystander).code == 0


def test_mutated_backend_streams_do_no_harm(lab, client, sluice, bad_backend):
    pids = {w["pid"] for w in sluice.workers()}
    wanted = how_many(lab, 1000, 200)
    client.run(load.start, "mutant", lab.target(port=444), threads=16, connections=4, pause=0,
               timeout=0.4)
    wait_for(lambda: bad_backend.run(mutate.backend_connections) >= wanted, 120,
             lambda: f"connections: {bad_backend.run(mutate.backend_connections)}", interval=0.2)
    report = client.run(load.finish, "mutant")
    assert_unharmed(sluice, pids, f"{wanted} connections to a mutating backend")
    assert report.failures  # it did answer nonsense
    assert client.run(calls.unary, lab.target(tag="after-mutants")).code == 0
