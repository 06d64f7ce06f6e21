# SPDX-License-Identifier: MIT
"""The kernel side without root: the capabilities that sluiced(8) names are enough, and all it uses."""
import os
import pathlib
import shutil

import pytest

from harness.proc import run
from peers import calls

pytestmark = pytest.mark.kernel

CAPABILITIES = ["bpf", "perfmon", "net_admin", "net_bind_service"]


@pytest.fixture
def own_bpffs(tmp_path_factory):
    """A bpffs that nobody may pin on, as the unit's ExecStartPre makes one."""
    folder = tmp_path_factory.mktemp("bpf")
    run("mount", "-t", "bpf", "bpf", folder)
    shutil.chown(folder, "nobody", "nogroup")
    yield folder
    run("umount", folder)


@pytest.fixture
def sluice(lab, own_bpffs, daemon, backends):  # unmounted after the daemon
    sluice = daemon(lab.config(backends), "native", start=False)
    sluice.pin_path = f"{own_bpffs}/sluice"
    sluice.config["kernel"]["pin_path"] = sluice.pin_path
    for path in lab.certificate:
        shutil.copy(path, sluice.folder)
    sluice.config["listeners"][0]["certificate"] = {
        k: str(sluice.folder / pathlib.Path(v).name) for k, v in lab.certificate._asdict().items()}
    sluice.write()
    for path in [sluice.folder, *sluice.folder.iterdir()]:
        shutil.chown(path, "nobody", "nogroup")
    plain, enter = sluice.argv, len(lab.world.lb.enter())
    wanted = ",".join(f"+{name}" for name in CAPABILITIES)

    def argv(*args):
        full = plain(*args)
        return [*full[:enter], "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                f"--inh-caps=-all,{wanted}", f"--ambient-caps=-all,{wanted}",
                f"--bounding-set=-all,{wanted}", "--no-new-privs", *full[enter:]]

    sluice.argv = argv
    sluice.start()
    yield sluice


@pytest.mark.skipif(os.geteuid() != 0, reason="root only: it becomes nobody")
def test_four_capabilities_are_enough_for_the_kernel_side(lab, sluice, client):
    with open(f"/proc/{sluice.process.pid}/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    assert bin(int(status["CapEff"], 16)).count("1") == len(CAPABILITIES)
    assert status["Uid"].split()[0] != "0"
    kernel = sluice.ctl.json("status")["kernel"]
    assert kernel["mode"] == "on" and kernel["sk_lookup"] is True
    assert [i["mode"] for i in kernel["interfaces"]] == ["native", "native"]
    assert client.run(calls.unary, lab.target(tag="no-root")).code == 0
    sluice.config["kernel"]["acl"] = {"deny": ["203.0.113.0/24"]}
    sluice.reload()
    answer = sluice.ctl.json("explain", "203.0.113.9:40000", f"{lab.world.lb.address}:443")
    assert answer["verdict"] == "drop_acl"
    answer = sluice.ctl.json("explain", "198.18.0.2:40000", f"{lab.world.lb.address}:443")
    assert answer["verdict"] == "pass_new" and answer["steps"][-1]["step"] == "worker"
    rights = {r["capability"]: r["has"] for r in sluice.ctl.json("status", "--kernel")["capabilities"]}
    assert rights == {"CAP_BPF": True, "CAP_PERFMON": True, "CAP_NET_ADMIN": True,
                      "CAP_SYS_ADMIN": False}
