# SPDX-License-Identifier: MIT
"""Where XDP runs, and beside whom: interfaces that come, go and change their name; programs of
others; bonds, VLANs, bridges; jumbo frames. Each on links of its own in the balancer's host."""
import json
import os
import re
import time

import pytest

from harness.proc import run, wait_for
from peers import calls
from test_gate import knock

pytestmark = pytest.mark.kernel

LATE = "198.18.4"  # .1 the balancer's, .2 and .3 the client's


class Link:
    """A veth pair late0 (balancer) - cl0 (client) that a test makes and removes as it likes."""

    name, peer = "late0", "cl0"

    def __init__(self, lab):
        self.lb, self.client = lab.world.lb, lab.world.client
        self.xdp_pass = os.path.join(re.sub(r"/san-[^/]*$", "", lab.build), "bpf", "xdp_pass.bpf.o")

    def make(self, mtu=1500, name=None):
        name = name or self.name
        self.lb.run("ip", "link", "add", name, "mtu", mtu, "type", "veth", "peer", "name",
                    self.peer, "mtu", mtu, "netns", self.client.netns)
        self.lb.run("ethtool", "-K", name, "tx", "off")
        self.client.run("ethtool", "-K", self.peer, "tx", "off")
        self.up(name)
        for last in (2, 3):
            self.client.run("ip", "addr", "add", f"{LATE}.{last}/24", "dev", self.peer)
        self.client.run("ip", "link", "set", self.peer, "up")

    def up(self, name):
        self.lb.run("ip", "addr", "add", f"{LATE}.1/24", "dev", name)
        self.lb.run("ip", "link", "set", name, "up")

    def remove(self, name=None):
        self.lb.run("ip", "link", "del", name or self.name, check=False)

    def foreign(self, on=True):
        if on:
            self.lb.run("ip", "link", "set", "dev", self.name, "xdpdrv", "obj", self.xdp_pass, "sec",
                        "xdp")
        else:
            self.lb.run("ip", "link", "set", "dev", self.name, "xdpdrv", "off", check=False)

    def program(self, name=None):
        """The name of the XDP program on it, or None."""
        (shown,) = json.loads(self.lb.run("ip", "-j", "-d", "link", "show", name or
                                          self.name).stdout)
        return shown.get("xdp", {}).get("prog", {}).get("name")


@pytest.fixture
def late(lab, kernel_allowed):
    link = Link(lab)
    link.remove()
    yield link
    link.remove()


def interfaces(sluice):
    return {i["name"]: i for i in sluice.ctl.json("status")["kernel"]["interfaces"]}


def wait_mode(sluice, name, mode, timeout=3):
    wait_for(lambda: interfaces(sluice)[name]["mode"] == mode, timeout,
             lambda: f"{name} is {mode}: {interfaces(sluice)}\n{sluice.log()[-2000:]}")


def guard(lab, backends, *names, xdp="auto"):
    """A config with XDP on these interfaces, that denies one of late0's client's addresses."""
    config = lab.config(backends)
    config["kernel"] = {"interfaces": [{"name": n, "xdp": xdp} for n in names],
                        "acl": {"deny": [f"{LATE}.3"]}}
    return config


def assert_guarded(client):
    address = (f"{LATE}.1", 443)
    # A link that has just come up loses the first packets.
    wait_for(lambda: client.run(knock, address, f"{LATE}.2") == ["open"], 5, "others get in")
    assert client.run(knock, address, f"{LATE}.3") == ["silent"]


def test_interface_that_comes_goes_and_comes_back(lab, client, daemon, backends, late):
    """mode is required: what is missing carries no packets, so nothing is unguarded."""
    sluice = daemon(guard(lab, backends, "front0", "late0"), "native")
    assert interfaces(sluice)["front0"]["mode"] == "native"
    row = interfaces(sluice)["late0"]
    assert row["mode"] == "off" and "no such interface" in row["note"]
    assert "does not exist" in sluice.log() and "cannot attach XDP" in sluice.log()
    assert client.run(calls.unary, lab.target(tag="without-late")).code == 0
    for again in range(2):
        late.make()
        wait_mode(sluice, "late0", "native")
        assert late.program() == "gate"
        assert_guarded(client)
        late.remove()
        wait_mode(sluice, "late0", "off")
        wait_for(lambda: re.search("gone|no such", interfaces(sluice)["late0"]["note"]), 3,
                 lambda: f"the note says why: {interfaces(sluice)}")
        # Of an interface that is removed the gate goes first: that may be seen, and said, as well.
        assert sluice.log().count("the interface is gone") == again + 1
    # A reload while it is missing changes nothing about that.
    sluice.config["kernel"]["interfaces"].append({"name": "ghost0"})
    sluice.reload()
    assert interfaces(sluice)["ghost0"]["mode"] == "off"
    late.make()
    wait_mode(sluice, "late0", "native")
    assert_guarded(client)


def test_interface_that_is_seen_within_milliseconds(lab, daemon, backends, late):
    """Not by looking once a second: netlink tells."""
    sluice = daemon(guard(lab, backends, "late0"), "native")
    took = []
    for _ in range(5):
        began = time.monotonic()
        late.lb.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        wait_for(lambda: late.program() == "gate", 3, "it is attached", interval=0.005)
        took.append(time.monotonic() - began)
        late.remove()
        wait_mode(sluice, "late0", "off")
    assert sorted(took)[1] < 0.3, took


def test_interface_that_changes_its_name(lab, client, daemon, backends, late):
    sluice = daemon(guard(lab, backends, "late0"), "native")
    late.make()
    wait_mode(sluice, "late0", "native")
    try:
        late.lb.run("ip", "link", "set", "late0", "down")
        late.lb.run("ip", "link", "set", "late0", "name", "later0")
        wait_mode(sluice, "late0", "off")
        assert late.program("later0") is None
        late.lb.run("ip", "link", "set", "later0", "name", "late0")
        wait_mode(sluice, "late0", "native")
        late.lb.run("ip", "link", "set", "late0", "up")
        assert_guarded(client)
        # Into another namespace and back: there it is not ours.
        late.lb.run("ip", "link", "set", "late0", "netns", late.client.netns)
        wait_mode(sluice, "late0", "off")
        (shown,) = json.loads(late.client.run("ip", "-j", "-d", "link", "show", "late0").stdout)
        assert "xdp" not in shown
        late.client.run("ip", "link", "set", "late0", "netns", late.lb.netns)
        wait_mode(sluice, "late0", "native")
        late.up("late0")
        assert_guarded(client)
    finally:
        late.remove("later0")
        late.client.run("ip", "link", "del", "late0", check=False)


def test_what_is_taken_off_by_hand_stays_off_until_a_reload(lab, client, daemon, backends, late):
    sluice = daemon(guard(lab, backends, "late0"), "native")
    late.make()
    wait_mode(sluice, "late0", "native")
    links = json.loads(run("bpftool", "-j", "link", "show", "pinned",
                           f"{sluice.pin_path}/links/xdp_late0").stdout)
    run("bpftool", "link", "detach", "id", links["id"])
    wait_mode(sluice, "late0", "off")
    assert "detached from outside" in interfaces(sluice)["late0"]["note"]
    late.lb.run("ip", "link", "set", "late0", "mtu", 1400)  # an event that is no reason
    time.sleep(0.2)
    assert late.program() is None
    sluice.reload()
    wait_mode(sluice, "late0", "native")
    assert_guarded(client)


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_foreign_program_is_refused_and_named(lab, daemon, backends, late, mode):
    late.make()
    late.foreign()
    sluice = daemon(guard(lab, backends, "front0", "late0"), "native", start=False)
    sluice.config["kernel"]["mode"] = mode
    sluice.write()
    done = run(*sluice.argv("--config", sluice.config_path), check=False)
    assert done.returncode == 1
    assert "interface late0 already carries another XDP program (xdp_pass, id" in done.stderr
    assert "--force" in done.stderr
    assert late.program() == "xdp_pass"
    assert not os.path.exists(sluice.socket)


def test_foreign_program_is_replaced_with_force(lab, client, daemon, backends, late):
    late.make()
    late.foreign()
    sluice = daemon(guard(lab, backends, "front0", "late0"), "native", start=False)
    sluice.start(options=["--force"])
    row = interfaces(sluice)["late0"]
    assert row["mode"] == "native" and "in the place of xdp_pass" in row["note"]
    assert late.program() == "gate"
    assert_guarded(client)
    # It is for what was there at the start: later ones are refused, until they go.
    late.remove()
    wait_mode(sluice, "late0", "off")
    sluice.config["kernel"]["interfaces"].pop()
    sluice.reload()
    late.make()
    late.foreign()
    sluice.config["kernel"]["interfaces"].append({"name": "late0"})
    sluice.write()
    done = sluice.ctl.raw("reload")
    assert done.returncode != 0
    assert "xdp_pass" in sluice.log() and late.program() == "xdp_pass"
    assert "late0" not in interfaces(sluice)
    assert interfaces(sluice)["front0"]["mode"] == "native"
    late.foreign(False)
    sluice.reload()
    assert_guarded(client)


def test_foreign_program_on_what_appears_is_left_until_it_goes(lab, client, daemon, backends, late):
    sluice = daemon(guard(lab, backends, "late0"), "native")
    late.make(name="early0")
    late.lb.run("ip", "link", "set", "early0", "down")
    late.lb.run("ip", "link", "set", "dev", "early0", "xdpdrv", "obj", late.xdp_pass, "sec", "xdp")
    late.lb.run("ip", "link", "set", "early0", "name", "late0")
    wait_for(lambda: "xdp_pass" in interfaces(sluice)["late0"]["note"], 3,
             lambda: f"it is refused: {interfaces(sluice)}")
    assert interfaces(sluice)["late0"]["mode"] == "off" and late.program() == "xdp_pass"
    sluice.reload()  # it was off before: no reason to refuse
    assert interfaces(sluice)["late0"]["mode"] == "off" and late.program() == "xdp_pass"
    late.foreign(False)
    late.lb.run("ip", "link", "set", "late0", "up")  # of what is down the kernel does not tell
    wait_mode(sluice, "late0", "native", 5)
    assert_guarded(client)


@pytest.mark.emulated
def test_chain_says_what_it_became(lab, client, daemon, backends, late):
    """Beside others where the kernel lets libxdp's dispatcher work, else alone, with the reason."""
    late.make()
    config = guard(lab, backends, "late0")
    config["kernel"].update(xdp_chain=True, chain_priority=20)
    sluice = daemon(config, "native")
    row = interfaces(sluice)["late0"]
    assert row["mode"] == "native"
    if row["chain"]:
        assert row["chain"] == "gate (priority 20)" and not row["note"]
        assert late.program() == "xdp_dispatcher"
    else:
        assert "alone on the interface" in row["note"] and "freplace" in row["note"]
        assert late.program() == "gate"
    assert_guarded(client)
    sluice.config["kernel"].pop("xdp_chain")
    sluice.reload()
    assert "kernel.xdp_chain" in sluice.log()  # not before a restart
    assert interfaces(sluice)["late0"]["chain"] == row["chain"]
    assert_guarded(client)


@pytest.mark.emulated
def test_jumbo_frames_pass_in_native_mode(lab, client, daemon, backends, late):
    late.make(mtu=9000)
    sluice = daemon(guard(lab, backends, "late0", xdp="native"), "native")
    assert interfaces(sluice)["late0"]["mode"] == "native"
    assert_guarded(client)
    target = lab.target(f"{LATE}.1", tag="jumbo")
    outcome = client.run(calls.unary, target, payload=bytes(300_000))
    assert outcome.code == 0, outcome
    large = late.client.run("ip", "-s", "-j", "link", "show", "cl0").stdout
    counters = json.loads(large)[0]["stats64"]["tx"]
    assert counters["bytes"] / counters["packets"] > 1600  # they were large indeed


def _made(lab, *argv):
    done = lab.world.lb.run("ip", "link", "add", *argv, check=False)
    if done.returncode:
        pytest.skip(f"this kernel makes no such link: ip link add {' '.join(argv)}: "
                    f"{done.stderr.strip()}")


def test_generic_mode_where_the_driver_has_no_native(lab, daemon, backends, late):
    """A bridge has none: said with the kernel's own words; native alone refuses the start."""
    sluice = daemon(guard(lab, backends, "back"), "native")
    row = interfaces(sluice)["back"]
    assert row["mode"] == "generic" and "native XDP does not work on back" in row["note"]
    assert "driver" in row["note"], row
    sluice.stop()
    sluice = daemon(guard(lab, backends, "back", xdp="native"), "native", start=False)
    done = run(*sluice.argv("--config", sluice.config_path), check=False)
    assert done.returncode == 1 and "cannot attach XDP (native) to back" in done.stderr


def test_packets_that_pass_two_gates_are_warned_of(lab, daemon, backends, late):
    late.make()
    _made(lab, "link", "late0", "name", "upper0", "type", "macvlan", "mode", "bridge")
    sluice = daemon(guard(lab, backends, "late0", "upper0"), "native")
    assert "limits count them twice" in interfaces(sluice)["upper0"]["note"]
    assert "limits count them twice" not in interfaces(sluice)["late0"]["note"]
    assert sluice.log().count("XDP runs twice") == 1


@pytest.mark.emulated
@pytest.mark.parametrize("where", ["late0", "late0.7"])
def test_vlan(lab, client, daemon, backends, late, where):
    """On the device below, natively, tags are read through; on the VLAN device it is generic."""
    late.make()
    _made(lab, "link", "late0", "name", "late0.7", "type", "vlan", "id", "7")
    late.lb.run("ip", "addr", "flush", "dev", "late0")
    late.client.run("ip", "addr", "flush", "dev", "cl0")
    late.up("late0.7")
    late.client.run("ip", "link", "add", "link", "cl0", "name", "cl0.7", "type", "vlan", "id", "7")
    for last in (2, 3):
        late.client.run("ip", "addr", "add", f"{LATE}.{last}/24", "dev", "cl0.7")
    late.client.run("ip", "link", "set", "cl0.7", "up")
    sluice = daemon(guard(lab, backends, where), "native")
    assert interfaces(sluice)[where]["mode"] == ("native" if where == "late0" else "generic")
    assert_guarded(client)


@pytest.mark.emulated
def test_bond(lab, client, daemon, backends, late):
    """On the bond, not on its parts; the kernel refuses it on a part that it has taken already."""
    late.make()
    _made(lab, "name", "bond9", "type", "bond", "mode", "active-backup", "miimon", "100")
    try:
        late.lb.run("ip", "link", "set", "late0", "down")
        late.lb.run("ip", "link", "set", "late0", "master", "bond9")
        late.lb.run("ip", "addr", "flush", "dev", "late0")
        late.up("bond9")
        wait_for(lambda: client.run(knock, (f"{LATE}.1", 443), timeout=0.1) == ["refused"], 5,
                 "the bond carries packets")
        sluice = daemon(guard(lab, backends, "bond9"), "native")
        assert interfaces(sluice)["bond9"]["mode"] == "native"
        assert_guarded(client)
    finally:
        late.remove("bond9")
