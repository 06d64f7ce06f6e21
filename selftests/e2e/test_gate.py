# SPDX-License-Identifier: MIT
"""The XDP gate on the wire: who is let in, who is not, and what is told to them."""
import socket
import time

import pytest

from harness import maps
from harness.lab import Backend
from harness.proc import wait_for
from peers import calls

pytestmark = [pytest.mark.kernel, pytest.mark.emulated]


@pytest.fixture(scope="module")
def servers(lab, kernel_allowed):
    servers = [Backend(lab, host) for host in lab.world.backends[:2]]
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def shared(lab, daemons, servers):
    """443: the backends; 444 to 446: groups whose backend is dead, on_all_down each way; 447: a
    limit of its own; 448: never probed."""
    config = lab.config(servers)
    dead = [{"address": f"{lab.world.backends[2].address}:50099"}]
    for port, how in ((444, "accept"), (445, "reset"), (446, "drop")):
        lab.add_listener(config, port, how, dead, on_all_down=how,
                         health_check=dict(config["groups"][0]["health_check"]))
    lab.add_listener(config, 447, "limited", servers)["new_connections"] = "4/m"
    lab.add_listener(config, 448, "unprobed", servers, on_all_down="reset")
    sluice = daemons(config, "native", healthy=False)
    sluice.wait_health(servers[0].address, "up")
    wait_for(lambda: all(g["live"] == 0 for g in sluice.ctl.json("groups")["groups"]
                         if g["name"] in ("accept", "reset", "drop")), 10, "the dead are down")
    yield sluice
    daemons.stop()


@pytest.fixture
def sluice(shared):
    """Without ACL and limit of sources, before and after."""
    yield shared
    if shared.config["kernel"].keys() & {"acl", "per_source"}:
        shared.config["kernel"].pop("acl", None)
        shared.config["kernel"].pop("per_source", None)
        shared.reload()


def set_kernel(sluice, **keys):
    sluice.config["kernel"].update(keys)
    sluice.reload()


def knock(address, source=None, how_many=1, timeout=0.3):
    """Tries to connect: open, refused or silent, for each."""
    results = []
    for _ in range(how_many):
        try:
            socket.create_connection(address, timeout, source and (source, 0)).close()
            results.append("open")
        except ConnectionRefusedError:
            results.append("refused")
        except (TimeoutError, socket.timeout):
            results.append("silent")
    return results


def verdict_change(sluice, name, action):
    before = sluice.verdicts()[name]
    result = action()
    return result, sluice.verdicts()[name] - before


def test_interfaces_are_native_and_said_to_be(sluice, lab):
    status = sluice.ctl.json("status")
    assert [(i["name"], i["mode"]) for i in status["kernel"]["interfaces"]] == [
        ("front0", "native"), ("front1", "native")]
    assert status["kernel"]["sk_lookup"] is True
    shown = lab.world.lb.run("ip", "-d", "link", "show", "front0").stdout
    assert "prog/xdp" in shown and "xdpgeneric" not in shown


@pytest.mark.parametrize("source,other,host", [
    (0, 1, "address"), pytest.param(0, 1, "address6", id="ipv6")])
def test_source_over_its_limit_is_dropped_while_another_is_served(
        lab, client, sluice, source, other, host):
    sources = lab.world.client_addresses6 if host == "address6" else lab.world.client_addresses
    address = (getattr(lab.world.lb, host), 443)
    set_kernel(sluice, per_source={"new_connections": "5/s", "burst": 10, "ipv6_prefix": 128})
    results, dropped = verdict_change(
        sluice, "drop_source_limit",
        lambda: client.run(knock, address, sources[source], 30, timeout=0.02))
    assert 10 <= results.count("open") <= 16 and "refused" not in results
    assert dropped >= 10
    assert client.run(knock, address, sources[other], 8) == ["open"] * 8
    wait_for(lambda: client.run(knock, address, sources[source]) == ["open"], 3,
             "the source is let in again")
    row = next(r for r in sluice.ctl.json("listeners")["listeners"] if r["name"] == "echo")
    assert row["source_limited"] >= 10


def test_ipv6_sources_of_one_prefix_share_a_limit(lab, client, sluice):
    set_kernel(sluice, per_source={"new_connections": "1/s", "burst": 6, "ipv6_prefix": 64})
    address = (lab.world.lb.address6, 443)
    first, second = lab.world.client_addresses6
    results = client.run(knock, address, first, 4, timeout=0.02) + \
        client.run(knock, address, second, 8, timeout=0.02)
    assert results[:6] == ["open"] * 6 and results[6:].count("silent") >= 5


def test_limit_counts_new_connections_only(lab, client, sluice):
    set_kernel(sluice, per_source={"new_connections": "1/s", "burst": 2})
    target = lab.target(tag="limited-source")
    outcomes = client.run(_many_calls, target, 300)
    assert outcomes == {0: 300}


def _many_calls(target, how_many):
    codes = {}
    for _ in range(how_many):
        code = calls.unary(target, payload=bytes(3000)).code
        codes[code] = codes.get(code, 0) + 1
    return codes


def test_listener_over_its_limit_drops(lab, client, sluice):
    address = (lab.world.lb.address, 447)
    results, dropped = verdict_change(
        sluice, "drop_listener_limit", lambda: client.run(knock, address, None, 12, timeout=0.02))
    assert results.count("open") >= 1 and results.count("silent") >= 6 and dropped >= 6
    assert client.run(knock, (lab.world.lb.address, 443)) == ["open"]


def test_denied_prefixes_of_both_families_are_dropped_and_others_served(lab, client, sluice):
    four, six = lab.world.client_addresses, lab.world.client_addresses6
    v4, v6 = (lab.world.lb.address, 443), (lab.world.lb.address6, 443)
    set_kernel(sluice, acl={"deny": [f"{four[1]}/32", f"{six[1]}/128"]})
    (denied, count) = verdict_change(
        sluice, "drop_acl", lambda: client.run(knock, v4, four[1]) + client.run(knock, v6, six[1]))
    assert denied == ["silent"] * 2 and count >= 2
    assert client.run(knock, v4, four[0]) + client.run(knock, v6, six[0]) == ["open"] * 2
    set_kernel(sluice, acl={"deny": ["198.18.0.0/24", "fd00:198:18::/64"],
                            "allow": []})
    assert client.run(knock, v4, four[0]) + client.run(knock, v6, six[0]) == ["silent"] * 2
    set_kernel(sluice, acl={"deny": []})
    assert client.run(knock, v4, four[1]) + client.run(knock, v6, six[1]) == ["open"] * 2


def test_denial_leaves_connections_that_are_open(lab, client, sluice):
    number = client.run(calls.open_bidi, lab.target(tag="before-denial"))
    client.run(calls.exchange, number, payload=b"x")
    set_kernel(sluice, acl={"deny": ["198.18.0.0/16"]})
    assert client.run(calls.exchange, number, payload=b"y")["received"] == 2
    assert client.run(calls.end, number).code == 0


def test_allow_list_denies_everyone_else(lab, client, sluice):
    four = lab.world.client_addresses
    address = (lab.world.lb.address, 443)
    set_kernel(sluice, acl={"allow": [f"{four[1]}/32"]})
    results, dropped = verdict_change(sluice, "drop_not_allowed",
                                      lambda: client.run(knock, address, four[0]))
    assert results == ["silent"] and dropped >= 1
    assert client.run(knock, address, four[1]) == ["open"]
    # The longest prefix wins.
    set_kernel(sluice, acl={"allow": ["198.18.0.0/24"], "deny": [f"{four[0]}/32"]})
    assert client.run(knock, address, four[0]) == ["silent"]
    assert client.run(knock, address, four[1]) == ["open"]


@pytest.mark.parametrize("host", ["address", "address6"])
@pytest.mark.parametrize("port,answer,verdict", [
    (444, "open", "pass_fail_open"), (445, "refused", "reset_all_down"),
    (446, "silent", "drop_all_down")])
def test_group_without_a_live_backend(lab, client, sluice, host, port, answer, verdict):
    address = (getattr(lab.world.lb, host), port)
    results, count = verdict_change(sluice, verdict, lambda: client.run(knock, address))
    assert results == [answer] and count >= 1


def test_reset_is_immediate(lab, client, sluice):
    took = client.run(_refusal_seconds, (lab.world.lb.address, 445))
    assert took < 0.2


def _refusal_seconds(address):
    began = time.monotonic()
    assert knock(address, timeout=2) == ["refused"]
    return time.monotonic() - began


def test_group_that_goes_down_and_comes_back(lab, client, sluice, servers):
    set_down = sluice.group()
    set_down["on_all_down"] = "reset"
    sluice.reload()
    address = (lab.world.lb.address, 443)
    assert client.run(knock, address) == ["open"]
    for server in servers:
        server.kill()
    wait_for(lambda: client.run(knock, address) == ["refused"], 5, "new connections are reset")
    for server in servers:
        server.start()
    wait_for(lambda: client.run(knock, address) == ["open"], 5, "new connections pass again")
    sluice.wait_health(servers[1].address, "up")
    set_down["on_all_down"] = "accept"
    sluice.reload()


def test_hand_edit_of_a_groups_live_count_changes_what_xdp_does(lab, client, sluice):
    address = (lab.world.lb.address, 448)
    group = next(g for g in sluice.ctl.json("groups")["groups"] if g["name"] == "unprobed")
    path = f"{sluice.pin_path}/groups"
    value = maps.raw(path, group["id"])
    assert client.run(knock, address) == ["open"]
    live = bytes(value[:4])
    try:
        value[:4] = bytes(4)
        maps.update(path, group["id"], value)
        assert client.run(knock, address) == ["refused"]
    finally:
        value[:4] = live
        maps.update(path, group["id"], value)
    assert client.run(knock, address) == ["open"]


def test_both_interfaces_are_guarded(lab, client, sluice):
    set_kernel(sluice, acl={"deny": ["198.18.2.0/24"]})
    assert client.run(knock, (lab.world.lb.second_address, 443), "198.18.2.2") == ["silent"]
    assert client.run(knock, (lab.world.lb.address, 443)) == ["open"]
    set_kernel(sluice, acl={"deny": ["198.18.0.0/24"]})
    assert client.run(knock, (lab.world.lb.address, 443)) == ["silent"]
    target = lab.target(lab.world.lb.second_address, tag="second-interface")
    assert client.run(calls.unary, target).code == 0


def test_what_is_not_ours_passes(lab, client, sluice):
    set_kernel(sluice, acl={"deny": ["0.0.0.0/0", "::/0"]})
    assert client.run(knock, (lab.world.lb.address, 22)) == ["refused"]  # by the kernel itself
    lab.world.client.run("ping", "-c", 1, "-W", 2, lab.world.lb.address)
    lab.world.client.run("ping", "-c", 1, "-W", 2, lab.world.lb.address6)


def test_new_connections_go_to_the_less_loaded_worker(lab, client, sluice):
    client.run(calls.close_all)
    wait_for(lambda: sum(w["connections"] for w in sluice.workers()) == 0, 5, "nobody is there")
    client.run(_hold, (lab.world.lb.address, 443), 60)
    wait_for(lambda: sum(w["connections"] for w in sluice.workers()) == 60, 5, "all are accepted")
    counts = [w["connections"] for w in sluice.workers()]
    client.run(_let_go)
    assert max(counts) - min(counts) <= 10, counts
    row = next(r for r in sluice.ctl.json("listeners")["listeners"] if r["name"] == "echo")
    assert row["picked"] >= 60 and row["pick_fallback"] == 0


_held = []


def _hold(address, how_many):
    """Opens connections, with a moment between them for the worker's count to be seen."""
    for _ in range(how_many):
        _held.append(socket.create_connection(address, 5))
        time.sleep(0.01)


def _let_go():
    while _held:
        _held.pop().close()
