# SPDX-License-Identifier: MIT
"""TLS with certificates both ways to a backend of another stack: grpc-go, with all of its client's
cases through sluice."""
import json
import subprocess

import pytest

from harness import languages
from harness.certs import Authority
from harness.lab import FAST_CHECK

pytestmark = [pytest.mark.l7, pytest.mark.interop]


@pytest.fixture(scope="module")
def go(lab):
    try:
        return languages.language("go", lab.build)
    except languages.Unavailable as why:
        pytest.skip(f"go: {why}")


@pytest.fixture(scope="module")
def sluice(lab, daemons, go, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interop-tls")
    folder.chmod(0o755)
    ca = Authority(folder, "ca")
    host = lab.world.backends[0]
    server, client = ca.issue("server", ["go.test"]), ca.issue("client", ["sluice.test"])
    address = f"{host.address}:{lab.world.port(50460)}"
    argv = [*host.enter(), *map(str, go.server(address)), *server, ca.chain]
    with open(lab.folder / "server-go-tls.log", "ab") as log:
        running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log)
    config = lab.config([], listeners=[], groups=[])
    lab.add_listener(config, 443, "go", [{"address": address}], health_check=dict(FAST_CHECK),
                     tls={"ca": ca.chain, "server_name": "go.test",
                          "certificate": client._asdict()})
    yield daemons(config, "off")
    daemons.stop()
    running.stdin.close()
    running.wait(20)


def test_every_case_over_tls_to_grpc_go(lab, sluice, go):
    target = f"{lab.world.lb.address}:{lab.world.port(443)}"
    done = lab.world.client.run(*go.client(target, lab.certificate.chain), timeout=90)
    results = json.loads(done.stdout)
    assert results and {case: why for case, why in results.items() if why} == {}
