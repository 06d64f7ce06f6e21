# SPDX-License-Identifier: MIT
"""The pinned maps: readable by name, gone at the end or kept, refused where they are another
version's; and the programs loaded by hand, without the daemon."""
import os
import re
import shutil
import socket

import pytest

from harness import maps
from harness.proc import run, wait_for
from harness.world import BPFFS
from peers import calls

pytestmark = pytest.mark.kernel

FIELDS = {"workers": {"state", "heartbeat_ns", "connections", "accepted"},
          "groups": {"live", "total", "on_all_down", "name"},
          "backends": {"group", "generation", "health", "weight", "port"},
          "meta": {"abi_version", "layout_hash"},
          "listeners": {"id", "flags", "group", "source_interval_ns"},
          "listener_stats": {"packets", "syns", "picked"},
          "verdicts": {"packets", "bytes"}}
EMPTY_AT_FIRST = {"acl_exact", "acl_v4", "acl_v6", "sources"}


@pytest.fixture
def sluice(lab, kernel_allowed, daemon, backends):
    config = lab.config(backends)
    config["kernel"] = {
        "acl": {"deny": ["203.0.113.0/24", "203.0.113.7", "2001:db8:bad::/48"]},
        "per_source": {"new_connections": "1000/s", "burst": 1000}}
    return daemon(config, "native")


def names(value):
    """The field names of a dumped value; per-CPU maps have one a CPU."""
    if "values" in value:
        value = value["values"][0]
    return set(value["value"])


def test_bpftool_prints_names(lab, client, sluice):
    assert client.run(calls.unary, lab.target(tag="maps")).code == 0
    pinned = set(os.listdir(sluice.pin_path))
    assert set(FIELDS) | EMPTY_AT_FIRST | {"sockets"} <= pinned
    for name, fields in FIELDS.items():
        entries = maps.dump(f"{sluice.pin_path}/{name}")
        assert entries, name
        assert fields <= names(entries[0]), (name, names(entries[0]))
    for name in ("acl_exact", "acl_v4", "acl_v6"):
        entries = maps.dump_inner(f"{sluice.pin_path}/{name}")
        assert len(entries) == 1, (name, entries)
        if tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 2):
            assert entries[0]["key"].keys() <= {"address", "prefixlen"}, (name, entries)
            assert entries[0]["value"]["action"] == 1
    entries = maps.dump(f"{sluice.pin_path}/sources")
    assert entries and isinstance(entries[0]["key"], dict), entries


def test_maps_say_what_sluicectl_says(lab, client, sluice):
    assert client.run(calls.unary, lab.target(tag="maps2")).code == 0
    by_id = {e["key"]: e["value"] for e in maps.dump(f"{sluice.pin_path}/backends")}
    for row in sluice.backends():
        seen = by_id[row["id"]]
        assert (seen["weight"], seen["generation"]) == (row["weight"], row["generation"])
        assert seen["calls"] == row["calls"]


def test_keep_leaves_pins_and_the_next_start_adopts_them(lab, daemon, backends, kernel_allowed):
    config = lab.config(backends, kernel={"keep": True})
    sluice = daemon(config, "native")
    sluice.stop()
    assert "listeners" in os.listdir(sluice.pin_path)
    sluice.start()
    sluice.config["kernel"]["keep"] = False
    sluice.reload()
    sluice.stop()
    assert not os.path.isdir(sluice.pin_path) or not os.listdir(sluice.pin_path)


def test_maps_of_another_version_are_refused_or_replaced(lab, daemon, backends, kernel_allowed):
    sluice = daemon(lab.config(backends, kernel={"keep": True}), "native")
    sluice.stop()
    meta = f"{sluice.pin_path}/meta"
    value = maps.raw(meta, 0)
    value[:4] = (999).to_bytes(4, "little")
    maps.update(meta, 0, value)
    done = run(*sluice.argv("--config", sluice.config_path), check=False)
    assert done.returncode == 1
    assert "999" in done.stderr and "--replace-maps" in done.stderr
    sluice.config["kernel"]["keep"] = False
    sluice.write()
    sluice.start(options=["--replace-maps"])
    assert int.from_bytes(maps.raw(meta, 0)[:4], "little") != 999


def test_generic_mode_works_and_is_said(lab, daemon, client, backends, kernel_allowed):
    config = lab.config(backends, kernel={"interfaces": [{"name": "front0", "xdp": "generic"}],
                                          "acl": {"deny": ["198.18.0.3/32"]}})
    sluice = daemon(config, "native")
    (interface,) = sluice.ctl.json("status")["kernel"]["interfaces"]
    assert (interface["name"], interface["mode"]) == ("front0", "generic")
    assert client.run(calls.unary, lab.target(tag="generic")).code == 0
    from test_gate import knock
    assert client.run(knock, (lab.world.lb.address, 443), "198.18.0.3") == ["silent"]


def test_without_interfaces_workers_are_still_picked(lab, daemon, client, backends,
                                                     kernel_allowed):
    config = lab.config(backends, kernel={"interfaces": []})
    sluice = daemon(config, "native")
    assert client.run(calls.unary, lab.target(tag="no-xdp")).code == 0
    assert sluice.ctl.json("status")["kernel"]["sk_lookup"] is True
    assert sluice.ctl.json("listeners")["listeners"][0]["picked"] >= 1


def test_programs_loaded_by_hand(lab, client, kernel_allowed):
    """As the documentation says: load, attach, fill a listener, look at the verdicts."""
    folder = f"{BPFFS}/sluice-test-{os.getpid()}-hand"
    gate = os.path.join(re.sub(r"/san-[^/]*$", "", lab.build), "bpf", "gate.bpf.o")
    lb = lab.world.lb
    agent = lab.agent(lb, "hand-server")
    try:
        run("mkdir", "-p", folder)
        lb.run(maps.BPFTOOL, "prog", "loadall", gate, f"{folder}/prog", "pinmaps", folder)
        lb.run(maps.BPFTOOL, "net", "attach", "xdpdrv", "pinned", f"{folder}/prog/gate", "dev",
               "front0")
        key = bytes(10) + b"\xff\xff" + socket.inet_aton(lb.address) + \
            (8443).to_bytes(2, "big") + b"\x06\0"
        value = bytearray(80)
        value[8:12] = b"\xff" * 4  # no group
        maps.update(f"{folder}/listeners", key, value)
        agent.run(_serve, (lb.address, 8443))
        from test_gate import knock
        assert client.run(knock, (lb.address, 8443)) == ["open"]
        # List 0, generation 0: prefixes of IPv4.
        run(maps.BPFTOOL, "map", "create", f"{folder}/denied", "type", "lpm_trie", "key", "8",
            "value", "16", "entries", "64", "name", "denied", "flags", "1")
        deny = (31).to_bytes(4, "little") + socket.inet_aton("198.18.0.2")
        allow = (32).to_bytes(4, "little") + socket.inet_aton("198.18.0.2")
        maps.update(f"{folder}/denied", deny, bytes((1, 96 + 31)) + bytes(14))
        maps.update(f"{folder}/denied", allow, bytes((2, 96 + 32)) + bytes(14))
        run(maps.BPFTOOL, "map", "update", "pinned", f"{folder}/acl_v4", "key", "0", "0", "0", "0",
            "value", "pinned", f"{folder}/denied")
        maps.update(f"{folder}/acls", 0, bytes((4,)) + bytes(7))
        assert client.run(knock, (lb.address, 8443), "198.18.0.3") == ["silent"]
        assert client.run(knock, (lb.address, 8443), "198.18.0.2") == ["open"]

        def packets(verdict):
            entry = maps.dump(f"{folder}/verdicts")[verdict]
            return sum(v["value"]["packets"] for v in entry["values"])

        wait_for(lambda: packets(2) >= 2 and packets(5) >= 1, 2, "pass_new and drop_acl counted")
    finally:
        agent.stop()
        lb.run(maps.BPFTOOL, "net", "detach", "xdpdrv", "dev", "front0", check=False)
        shutil.rmtree(folder, ignore_errors=True)


_servers = []


def _serve(address):
    _servers.append(socket.create_server(address))
