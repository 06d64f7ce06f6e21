# SPDX-License-Identifier: MIT
"""sluicectl explain and status --kernel: what is told is what then happens, and telling changes nothing."""
import os
import socket

import pytest

from harness.lab import Backend
from harness.proc import run, wait_for

pytestmark = pytest.mark.kernel

# Packets of the lab's own kernels (neighbour discovery, ...) come at any time.
BACKGROUND = {"pass_not_ours", "pass_fragment", "pass_truncated"}


@pytest.fixture(scope="module")
def servers(lab, kernel_allowed):
    servers = [Backend(lab, host) for host in lab.world.backends[:2]]
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def sluice(lab, daemons, servers, tmp_path_factory):
    """443: plain; 444 to 446: groups whose backend is dead, on_all_down each way; 447: a limit and a list
    of its own; 450: SYN cookies always. Denied: the client's second addresses, by a file."""
    denied = tmp_path_factory.mktemp("acl") / "denied"
    denied.write_text(f"# not these\n{lab.world.client_addresses[1]}\n"
                      f"{lab.world.client_addresses6[1]}\n")
    config = lab.config(servers)
    dead = [{"address": f"{lab.world.backends[2].address}:50099"}]
    for port, how in ((444, "accept"), (445, "reset"), (446, "drop")):
        lab.add_listener(config, port, how, dead, on_all_down=how,
                         health_check=dict(config["groups"][0]["health_check"]))
    limited = lab.add_listener(config, 447, "limited", servers)
    limited["new_connections"] = "4/m"
    limited["acl"] = {"allow": [f"{lab.world.client_addresses[1]}/32"]}
    lab.add_listener(config, 450, "cookies", servers)["syn_cookies"] = "always"
    config["kernel"] = {
        "acl": {"deny": ["203.0.113.0/24"], "deny_files": [str(denied)]},
        "per_source": {"new_connections": "100/s", "burst": 1000, "connections": 50,
                       "ipv6_prefix": 128},
        "penalties": {"never": []},
    }
    lab.world.lb.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2")
    sluice = daemons(config, "native", healthy=False)
    sluice.denied = str(denied)
    sluice.wait_health(servers[0].address, "up")
    wait_for(lambda: all(g["live"] == 0 for g in sluice.ctl.json("groups")["groups"]
                         if g["name"] in ("accept", "reset", "drop")), 10, "the dead are down")
    yield sluice
    daemons.stop()
    lab.world.lb.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1")


def bracketed(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def explain(sluice, source, destination, *options, source_port=40000):
    return sluice.ctl.json("explain", bracketed(source, source_port), bracketed(*destination),
                           *options)


def steps_of(answer):
    return {step["step"]: step for step in answer["steps"]}


def knock(source, destination, timeout=0.3):
    try:
        socket.create_connection(destination, timeout, (source, 0)).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except (TimeoutError, socket.timeout):
        return "silent"


def counted(sluice):
    """All that a packet to a listener or an explanation could change."""
    verdicts = {k: v for k, v in sluice.verdicts().items() if k not in BACKGROUND}
    return verdicts, sluice.ctl.json("listeners")["listeners"]


FAMILIES = [pytest.param("", id="ipv4"), pytest.param("6", id="ipv6")]
CASES = [
    # client's address, port, verdict, what connecting gives
    (0, 443, "pass_new", "open"),
    (1, 443, "drop_acl", "silent"),
    (0, 444, "pass_fail_open", "open"),
    (0, 445, "reset_all_down", "refused"),
    (0, 446, "drop_all_down", "silent"),
    (0, 450, "cookie_sent", "open"),
    (0, 22, "pass_not_ours", "refused"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("who,port,verdict,result", CASES)
def test_what_is_told_is_what_then_happens(lab, client, sluice, family, who, port, verdict, result):
    source = getattr(lab.world, f"client_addresses{family}")[who]
    destination = (getattr(lab.world.lb, f"address{family}"), port)
    before = counted(sluice)
    answer = explain(sluice, source, destination)
    assert answer["verdict"] == verdict, answer
    assert answer["guarded"] is True
    assert counted(sluice) == before
    packets = sluice.verdicts()[verdict]
    assert client.run(knock, source, destination) == result
    assert sluice.verdicts()[verdict] > packets


def test_each_step_up_to_the_verdict(lab, sluice):
    source, lb = lab.world.client_addresses[0], lab.world.lb.address
    answer = explain(sluice, source, (lb, 443))
    assert [step["step"] for step in answer["steps"]] == [
        "listener", "acl", "penalty", "group", "syn_cookie", "source_connections", "source_limit",
        "listener_limit", "worker"]
    steps = steps_of(answer)
    assert steps["listener"]["name"] == "echo"
    assert (steps["group"]["name"], steps["group"]["live"], steps["group"]["total"]) == ("echo", 2, 2)
    assert steps["acl"]["result"] == "admitted" and steps["acl"]["global"]["empty"] is False
    assert steps["penalty"]["level"] is None
    assert steps["source_connections"]["limit"] == 50
    assert steps["source_limit"]["burst"] == 1000
    assert steps["source_limit"]["source"] == f"{source}/32"
    assert steps["listener_limit"]["per_second"] is None
    workers = steps["worker"]["workers"]
    assert sum(w["share"] for w in workers) == pytest.approx(1)
    assert {w["pid"] for w in workers} <= {w["pid"] for w in sluice.workers()}
    stopped = explain(sluice, source, (lb, 446))
    assert stopped["steps"][-1]["step"] == "listener_limit" and stopped["action"] == "drop"


def test_entry_and_list_and_file_that_decide(lab, sluice):
    lb = lab.world.lb.address
    for source, lb_address in ((lab.world.client_addresses[1], lb),
                               (lab.world.client_addresses6[1], lab.world.lb.address6)):
        acl = steps_of(explain(sluice, source, (lb_address, 443)))["acl"]
        assert (acl["result"], acl["decides"]) == ("denied", "global")
        assert acl["global"]["entry"].startswith(source)
        assert acl["global"]["origin"] == sluice.denied
    acl = steps_of(explain(sluice, "203.0.113.7", (lb, 443)))["acl"]
    assert acl["global"] == {"empty": False, "allow_list": False, "action": "deny",
                             "entry": "203.0.113.0/24", "origin": "configuration"}
    # The listener's own entry is as long, and comes first; its allow list denies all others.
    acl = steps_of(explain(sluice, lab.world.client_addresses[1], (lb, 447)))["acl"]
    assert (acl["result"], acl["decides"], acl["own"]["action"]) == ("admitted", "own", "allow")
    answer = explain(sluice, lab.world.client_addresses[0], (lb, 447))
    assert answer["verdict"] == "drop_not_allowed"
    assert steps_of(answer)["acl"]["own"]["allow_list"] is True


def test_tokens_left_fall_with_each_connection_and_not_with_questions(lab, client, sluice):
    source, target = lab.world.client_addresses[1], (lab.world.lb.address, 447)

    def left():
        return steps_of(explain(sluice, source, target))["listener_limit"]["left"]

    burst = steps_of(explain(sluice, source, target))["listener_limit"]["burst"]
    assert [left() for _ in range(3)] == [burst] * 3
    for tokens in reversed(range(burst)):
        assert client.run(knock, source, target) == "open"
        assert left() == tokens
    answer = explain(sluice, source, target)
    assert answer["verdict"] == "drop_listener_limit"
    limit = steps_of(answer)["listener_limit"]
    assert 0 < limit["next_seconds"] <= 15 and limit["per_second"] == pytest.approx(4 / 60)


_held = []


def hold(source, destination):
    _held.append(socket.create_connection(destination, 5, (source, 0)))
    return _held[-1].getsockname()[1]


def let_go():
    while _held:
        _held.pop().close()


def test_connections_of_the_source_and_the_state_of_one(lab, client, sluice):
    for family in ("", "6"):
        source = getattr(lab.world, f"client_addresses{family}")[0]
        target = (getattr(lab.world.lb, f"address{family}"), 443)
        wait_for(lambda: steps_of(explain(sluice, source, target))["source_connections"]["open"] == 0,
                 5, "earlier ones are gone")
        port = client.run(hold, source, target)
        wait_for(lambda: steps_of(explain(sluice, source, target))["source_connections"]["open"] == 1,
                 5, "the worker has counted it")
        later = explain(sluice, source, target, "--ack", source_port=port)
        assert later["verdict"] == "pass_established"
        assert steps_of(later)["connection"]["state"] == "established"
        other = explain(sluice, source, target, "--ack", source_port=1)
        assert steps_of(other)["connection"]["state"] is None
    client.run(let_go)


def test_no_cookie_where_the_addresses_have_a_connection(lab, client, sluice):
    source, target = lab.world.client_addresses[0], (lab.world.lb.address, 450)
    port = client.run(hold, source, target)
    wait_for(lambda: steps_of(explain(sluice, source, target, "--ack", source_port=port))
             ["connection"]["state"] == "established", 5, "the cookie made a connection")
    answer = explain(sluice, source, target, source_port=port)
    cookie = steps_of(answer)["syn_cookie"]
    assert (answer["verdict"], cookie["sent"], cookie["has_connection"]) == ("pass_new", False, True)
    assert explain(sluice, source, target, source_port=1)["verdict"] == "cookie_sent"
    client.run(let_go)


def test_entries_and_penalties_by_command_and_their_time_left(lab, sluice):
    target = (lab.world.lb.address, 443)
    for command in (["acl", "add", "198.18.0.88", "--for", "10m"],
                    ["penalize", "198.18.0.77", "--for", "10m"],
                    ["penalize", "198.18.0.78", "--for", "10m", "--level", "packets"]):
        done = sluice.ctl.raw(*command)
        assert done.returncode == 0, (command, done.stderr)
    answer = explain(sluice, "198.18.0.88", target)
    entry = steps_of(answer)["acl"]["global"]
    assert (answer["verdict"], entry["origin"]) == ("drop_acl", "command")
    assert 0 < entry["expires_seconds"] <= 600
    answer = explain(sluice, "198.18.0.77", target)
    penalty = steps_of(answer)["penalty"]
    assert (answer["verdict"], penalty["level"]) == ("drop_penalty", "connections")
    assert penalty["reason"] == "by_hand" and 0 < penalty["left_seconds"] <= 600
    assert explain(sluice, "198.18.0.77", target, "--ack")["verdict"] == "pass_established"
    answer = explain(sluice, "198.18.0.78", target, "--ack")
    assert (answer["verdict"], steps_of(answer)["penalty"]["level"]) == ("drop_penalty_all", "packets")
    rows = sluice.ctl.json("penalties")["penalties"]
    assert len(rows) == 2
    assert all(row["dropped"] == 0 for row in rows), "an explanation is no packet"
    for address in ("198.18.0.77", "198.18.0.78"):
        assert sluice.ctl.raw("pardon", address).returncode == 0
    assert explain(sluice, "198.18.0.77", target)["verdict"] == "pass_new"


def test_interfaces_with_and_without_the_gate(lab, sluice):
    source, target = lab.world.client_addresses[0], (lab.world.lb.address, 443)
    answer = explain(sluice, source, target, "--interface", "front1")
    assert answer["guarded"] is True
    assert answer["interfaces"] == [{"name": "front1", "mode": "native", "chain": ""}]
    answer = explain(sluice, source, target, "--interface", "back")
    assert answer["guarded"] is False and answer["verdict"] == "pass_new"
    shown = sluice.ctl.raw("explain", f"{source}:1", f"{target[0]}:443", "--interface", "back")
    assert "the gate is not on back" in shown.stdout


def test_a_drained_listener_is_said_to_be(lab, sluice):
    source, target = lab.world.client_addresses[0], (lab.world.lb.address, 444)
    assert steps_of(explain(sluice, source, target))["listener"]["drained"] is False
    assert sluice.ctl.raw("drain", "listener", "accept").returncode == 0
    assert steps_of(explain(sluice, source, target))["listener"]["drained"] is True
    assert sluice.ctl.raw("undrain", "listener", "accept").returncode == 0


@pytest.mark.parametrize("arguments,text", [
    (["nonsense", "198.18.0.1:443"], "192.0.2.1:443"),
    (["198.18.0.2", "198.18.0.1:443"], "192.0.2.1:443"),
    (["198.18.0.2:1", "[fd00:198:18::1]:443"], "different families"),
    (["198.18.0.2:1", "198.18.0.1:443", "--interface", "nowhere0"], "no interface nowhere0"),
    (["198.18.0.2:1", "198.18.0.1:443", "--interface", "a" * 40], "no interface"),
])
def test_what_cannot_be_explained_is_refused(sluice, arguments, text):
    done = sluice.ctl.raw("explain", *arguments)
    assert done.returncode == 1 and text in done.stderr, done.stderr


def test_a_packet_is_of_one_kind(sluice):
    done = sluice.ctl.raw("explain", "198.18.0.2:1", "198.18.0.1:443", "--syn", "--ack")
    assert done.returncode == 2 and "--syn or --ack" in done.stderr


def test_sentences_for_people(lab, sluice):
    shown = {}
    for who, port, verdict, _ in CASES:
        done = sluice.ctl.raw("explain", bracketed(lab.world.client_addresses6[who], 40000),
                              bracketed(lab.world.lb.address6, port))
        assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith(f"{verdict}: ")
        assert "null" not in done.stdout
        shown[port] = done.stdout
    assert "listener        echo, [::]:443" in shown[443]
    assert "backends live, on_all_down reset" in shown[445]
    assert "SYN cookie      always: sent" in shown[450]
    assert "listener        none on this address and port" in shown[22]


def test_what_this_kernel_can_do(sluice):
    answer = sluice.ctl.json("status", "--kernel")
    assert answer["state"] == "on" and answer["release"] == os.uname().release
    for row in answer["features"]:
        assert row["has"] is True or not row["needed"], row  # the programs are loaded
        if row["has"] is False:  # and was said at the start
            assert row["feature"] in sluice.log(), row
    assert all(row["has"] for row in answer["capabilities"][:3])
    values = {row["sysctl"]: row["value"] for row in answer["sysctls"]}
    assert values["net.ipv4.tcp_syncookies"] == 2
    shown = sluice.ctl.raw("status", "--kernel").stdout
    assert "features of this kernel" in shown and "net.ipv4.tcp_timestamps" in shown


def test_where_the_kernel_side_is_off(lab, daemon, servers):
    off = daemon(lab.config(servers), "off")
    done = off.ctl.raw("explain", "198.18.0.2:1", "198.18.0.1:443")
    assert done.returncode == 1 and "kernel side is off" in done.stderr
    answer = off.ctl.json("status", "--kernel")
    assert answer["state"] == "off" and "kernel.mode is off" in answer["note"]
    assert answer["features"]


def test_another_tools_view_of_the_maps_is_unchanged(lab, sluice):
    """As bpftool sees them: no entry comes or goes by an explanation."""
    source, target = "198.18.0.99", (lab.world.lb.address, 443)

    def sources():
        return run("/usr/sbin/bpftool", "-j", "map", "dump", "pinned",
                   f"{sluice.pin_path}/sources").stdout

    before = sources()
    assert explain(sluice, source, target)["verdict"] == "pass_new"
    assert sources() == before
