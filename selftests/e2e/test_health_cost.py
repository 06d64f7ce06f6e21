# SPDX-License-Identifier: MIT
"""What checking many backends costs."""
import os
import shutil
import time

import pytest

from harness.proc import Process, wait_for

pytestmark = pytest.mark.l7
N = 1000
SECONDS = 8


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def many(lab, tmp_path):
    """One server that is 1,000 backends: every address of 127.1.0.0/16 is its own."""
    if "san-" in lab.build:
        pytest.skip("a sanitizer build costs what it likes")
    if not lab.world.isolated:
        pytest.skip(lab.world.why_not)
    if not shutil.which("nghttpd"):
        pytest.skip("nghttpd is not installed")
    reply = tmp_path / "grpc.health.v1.Health" / "Check"
    reply.parent.mkdir()
    reply.write_bytes(b"\0\0\0\0\2\x08\x01")
    server = Process([*lab.world.lb.enter(), "sh", "-c", 'ulimit -n 4096 && exec "$@"', "sh",
                      "nghttpd", "--no-tls", "--trailer=grpc-status: 0", "-d", tmp_path,
                      "-a", "0.0.0.0", "50059"], tmp_path / "nghttpd.log")
    yield [f"127.1.{i // 250}.{i % 250 + 1}:50059" for i in range(N)]
    server.kill()


def test_1000_backends_every_2_seconds_cost_under_5_percent_of_a_core(lab, daemon, many):
    config = lab.config([{"address": a, "weight": 1} for a in many])
    config["groups"][0]["health_check"].update(interval="2s", timeout="5s")
    sluice = daemon(config, "off", healthy=False)
    wait_for(lambda: list(sluice.health().values()) == ["up"] * N, 10,
             lambda: f"all up: {sluice.log()[-2000:]}", 0.2)
    monitor = next(p for p in sluice.children() if _comm(p) == "sluice-monitor")
    time.sleep(2)  # past the first checks, which also connect
    began, cpu = time.monotonic(), _cpu_seconds(monitor)
    checks = sum(r["checks"] for r in sluice.backends())
    time.sleep(SECONDS)
    seconds = time.monotonic() - began
    share = (_cpu_seconds(monitor) - cpu) / seconds
    made = sum(r["checks"] for r in sluice.backends()) - checks
    assert made > 0.8 * N * seconds / 2
    print(f"{share:.1%} of a core for {made / seconds:.0f} checks a second")
    assert share < 0.05


def _comm(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()
