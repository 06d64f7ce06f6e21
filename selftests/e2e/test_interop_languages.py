# SPDX-License-Identifier: MIT
"""Clients and servers of five gRPC stacks crosswise through sluice (selftests/interop/README.md)."""
import json
import subprocess

import pytest

from harness import languages
from harness.lab import FAST_CHECK
from harness.proc import wait_for

pytestmark = [pytest.mark.l7, pytest.mark.interop]

CASES = {"unary", "empty", "large", "client_stream", "server_stream", "large_stream", "bidi",
         "metadata", "status", "status_after_replies", "deadline", "deadline_seen", "cancel",
         "unimplemented", "many"}
PORTS = {name: 450 + i for i, name in enumerate(languages.ALL)}


def get(lab, name):
    try:
        return languages.language(name, lab.build)
    except languages.Unavailable as why:
        pytest.skip(f"{name}: {why}")


@pytest.fixture(scope="module")
def servers(lab):
    """One server of each language that can be had, in the first backend's host: addresses by
    language."""
    host = lab.world.backends[0]
    started, addresses = [], {}
    for name, port in PORTS.items():
        try:
            stack = languages.language(name, lab.build)
        except languages.Unavailable:
            continue
        addresses[name] = f"{host.address}:{lab.world.port(50000 + port)}"
        argv = [*host.enter(), *map(str, stack.server(addresses[name]))]
        with open(lab.folder / f"server-{name}.log", "ab") as log:
            started.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log))
    yield addresses
    for server in started:
        server.stdin.close()
    for server in started:
        server.wait(20)


@pytest.fixture(scope="module")
def sluice(lab, daemons, servers):
    """A listener for each language. One mode will do: calls reach the workers alike."""
    config = lab.config([], listeners=[], groups=[])
    for name, address in servers.items():
        lab.add_listener(config, PORTS[name], name, [{"address": address}],
                         health_check=dict(FAST_CHECK))
    yield daemons(config, "off")
    daemons.stop()


@pytest.mark.parametrize("server", languages.ALL)
@pytest.mark.parametrize("client", languages.ALL)
def test_every_client_with_every_server(lab, sluice, client, server):
    stack = get(lab, client)
    get(lab, server)
    target = f"{lab.world.lb.address}:{lab.world.port(PORTS[server])}"
    done = lab.world.client.run(*stack.client(target, lab.certificate.chain), timeout=90)
    results = json.loads(done.stdout)
    assert set(results) == CASES
    assert {case: why for case, why in results.items() if why} == {}
    wait_for(lambda: all(row["active_rpcs"] == 0 for row in sluice.backends(server)), 5,
             lambda: f"no call is left: {sluice.backends(server)}")


@pytest.mark.parametrize("name", languages.ALL)
def test_load_client_reports(lab, sluice, name):
    """What the tests of draining rely on, with the server of the same language."""
    stack = get(lab, name)
    target = f"{lab.world.lb.address}:{lab.world.port(PORTS[name])}"
    done = lab.world.client.run(*stack.load(target, lab.certificate.chain, 2), timeout=60)
    report = json.loads(done.stdout)
    assert report["ok"] > 0 and report["failed"] == 0 and report["errors"] == {}
