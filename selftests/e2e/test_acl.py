# SPDX-License-Identifier: MIT
"""Access lists at work: from files, of one listener, by command, at size, and swapped under traffic."""
import os
import socket
import threading

import pytest

from harness.lab import Backend
from harness.proc import wait_for
from peers import calls

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def shared(lab, daemons, kernel_allowed):
    """443 and 444, one backend."""
    server = Backend(lab, lab.world.backends[0])
    config = lab.config([server])
    lab.add_listener(config, 444, "other", [server])
    sluice = daemons(config, "native")
    yield sluice
    daemons.stop()
    server.kill()


@pytest.fixture
def sluice(shared):
    yield shared
    for entry in shared.ctl.json("acl", "list", "--limit", "100")["entries"]:
        if entry["origin"] == "command":
            listener = ["--listener", entry["listener"]] if entry["listener"] else []
            text(shared, "acl", "del", entry["prefix"], *listener)
    shared.config["kernel"].pop("acl", None)
    for listener in shared.config["listeners"]:
        listener.pop("acl", None)
    shared.reload()


def set_acl(sluice, listener=None, **keys):
    place = sluice.config["kernel"] if listener is None else next(
        row for row in sluice.config["listeners"] if row["name"] == listener)
    place["acl"] = keys
    sluice.reload()


def knock(address, source=None, timeout=0.3):
    try:
        socket.create_connection(address, timeout, source and (source, 0)).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except (TimeoutError, socket.timeout):
        return "silent"


def write(lab, name, *lines):
    path = os.path.join(lab.folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def text(sluice, *arguments):
    done = sluice.ctl.raw(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(sluice, *options):
    return sluice.ctl.json("acl", "list", *options)["entries"]


def test_lists_come_from_files_and_a_bad_one_refuses_the_reload(lab, client, sluice):
    four, six = lab.world.client_addresses, lab.world.client_addresses6
    v4, v6 = (lab.world.lb.address, 443), (lab.world.lb.address6, 443)
    deny = write(lab, "deny.txt", "# who said too much", f"{four[1]}  # again", "", six[1])
    set_acl(sluice, deny_files=[deny])
    assert client.run(knock, v4, four[1]) == client.run(knock, v6, six[1]) == "silent"
    assert client.run(knock, v4, four[0]) == client.run(knock, v6, six[0]) == "open"
    rows = entries(sluice)
    assert [(r["prefix"], r["action"], r["origin"], r["listener"]) for r in rows] == [
        (f"{four[1]}/32", "deny", deny, None), (f"{six[1]}/128", "deny", deny, None)]
    write(lab, "deny.txt", four[0], "10.0.0.0.0/8")
    done = sluice.ctl.raw("reload")
    assert done.returncode == 1 and 'deny.txt:2:1: bad prefix "10.0.0.0.0/8"' in done.stderr
    assert client.run(knock, v4, four[0]) == "open"  # as it was
    write(lab, "deny.txt", four[0])
    sluice.reload()  # the same config: files are read anew
    assert client.run(knock, v4, four[0]) == "silent"
    assert client.run(knock, v4, four[1]) == "open"


def test_a_listener_has_a_list_of_its_own_beside_the_global_one(lab, client, sluice):
    four = lab.world.client_addresses
    own, other = (lab.world.lb.address, 443), (lab.world.lb.address, 444)
    name = next(r["name"] for r in sluice.config["listeners"] if r["address"].endswith(":443"))
    set_acl(sluice, name, deny=[f"{four[0]}/32"])
    assert client.run(knock, own, four[0]) == "silent"
    assert client.run(knock, other, four[0]) == "open"
    # The longest prefix of both decides, of equal ones the listener's own.
    set_acl(sluice, deny=["198.18.0.0/15"])
    set_acl(sluice, name, allow=[f"{four[0]}/32"])
    assert client.run(knock, own, four[0]) == "open"
    assert client.run(knock, other, four[0]) == "silent"
    set_acl(sluice, deny=[f"{four[0]}/32"])
    assert client.run(knock, own, four[0]) == "open"
    # An allow list of the listener's holds for it alone.
    set_acl(sluice)
    assert client.run(knock, own, four[1]) == "silent"
    assert client.run(knock, other, four[1]) == "open"


def test_entries_by_command_hold_at_once_and_over_reloads_until_they_end(lab, client, sluice):
    four, six = lab.world.client_addresses, lab.world.client_addresses6
    v4, v6 = (lab.world.lb.address, 443), (lab.world.lb.address6, 443)
    other = (lab.world.lb.address, 444)
    assert text(sluice, "acl", "add", four[0], six[0]) == "2 prefixes denied\n"
    assert client.run(knock, v4, four[0]) == client.run(knock, v6, six[0]) == "silent"
    assert client.run(knock, v4, four[1]) == "open"
    sluice.reload()
    assert client.run(knock, v4, four[0]) == "silent"
    assert text(sluice, "acl", "del", six[0]) == f"{six[0]} deleted\n"
    assert client.run(knock, v6, six[0]) == "open"
    # Over the config's own entry, and that is back when it ends. A reload may come in between.
    set_acl(sluice, deny=[f"{four[0]}/32", f"{four[1]}/32"])
    text(sluice, "acl", "add", four[0], "--allow")
    text(sluice, "acl", "add", four[1], "--allow", "--for", "3s")
    assert client.run(knock, v4, four[0]) == client.run(knock, v4, four[1]) == "open"
    sluice.reload()
    rows = {(r["prefix"], r["origin"]): r for r in entries(sluice)}
    ends = rows[f"{four[1]}/32", "command"]
    assert ends["action"] == "allow" and ends["instead_of"] == "deny"
    assert 0 < ends["left_seconds"] <= 3 and ends["age_seconds"] < 3
    assert rows[f"{four[1]}/32", "config"]["overridden"] is True
    assert rows[f"{four[0]}/32", "command"]["left_seconds"] is None
    wait_for(lambda: client.run(knock, v4, four[1]) == "silent", 6, "the config's entry is back")
    assert client.run(knock, v4, four[0]) == "open"
    refused = sluice.ctl.raw("acl", "del", four[1])
    assert refused.returncode == 1 and "take it out there" in refused.stderr
    # An exception is no allow list.
    assert client.run(knock, v6, six[1]) == "open"
    # In a listener's own list, which it has from then until it is empty.
    text(sluice, "acl", "add", four[0], "--listener", "other", "--for", "2s")
    assert client.run(knock, other, four[0]) == "silent"
    assert client.run(knock, v4, four[0]) == "open"
    wait_for(lambda: client.run(knock, other, four[0]) == "open", 5, "the entry has expired")
    assert entries(sluice, "--listener", "other") == []


def test_entries_by_command_follow_a_listener_to_another_address(lab, client, sluice):
    four = lab.world.client_addresses
    listener = next(r for r in sluice.config["listeners"] if r["name"] == "other")
    before = listener["address"]
    text(sluice, "acl", "add", four[0], "--listener", "other")
    listener["address"] = before.replace("444", "445")
    sluice.reload()
    assert client.run(knock, (lab.world.lb.address, 445), four[0]) == "silent"
    assert client.run(knock, (lab.world.lb.address, 445), four[1]) == "open"
    assert [r["prefix"] for r in entries(sluice, "--listener", "other")] == [f"{four[0]}/32"]
    listener["address"] = before
    sluice.reload()
    assert client.run(knock, (lab.world.lb.address, 444), four[0]) == "silent"
    text(sluice, "acl", "del", four[0], "--listener", "other")
    assert client.run(knock, (lab.world.lb.address, 444), four[0]) == "open"


def test_a_reload_that_fails_at_its_last_step_leaves_the_lists(lab, client, sluice):
    """An interface with somebody else's program is refused after the lists were swapped."""
    four = lab.world.client_addresses
    address = (lab.world.lb.address, 443)
    run = lab.world.lb.run
    run("ip", "link", "add", "theirs0", "type", "veth", "peer", "name", "theirs1")
    run("ip", "link", "set", "dev", "theirs0", "up", "xdpgeneric", "obj",
        os.path.join(lab.build, "bpf", "xdp_pass.bpf.o"), "sec", "xdp")
    interfaces = sluice.config["kernel"]["interfaces"]
    try:
        set_acl(sluice, deny=[f"{four[1]}/32"])
        text(sluice, "acl", "add", "192.0.2.1")
        sluice.config["kernel"]["acl"] = {"deny": [f"{four[0]}/32"]}
        sluice.config["kernel"]["interfaces"] = [*interfaces, {"name": "theirs0"}]
        sluice.write()
        done = sluice.ctl.raw("reload")
        assert done.returncode == 1, done.stdout
        assert client.run(knock, address, four[0]) == "open"
        assert client.run(knock, address, four[1]) == "silent"
        assert sorted((r["prefix"], r["origin"]) for r in entries(sluice)) == sorted([
            ("192.0.2.1/32", "command"), (f"{four[1]}/32", "config")])
    finally:
        sluice.config["kernel"]["interfaces"] = interfaces
        run("ip", "link", "del", "theirs0")


@pytest.mark.parametrize("arguments,expected", [
    (("add", "10.0.0.0/33"), 'bad prefix "10.0.0.0/33"'),
    (("add", "10.0.0.1/8"), "bits set behind its length"),
    (("add", "10.0.0.1", "--listener", "none"), 'there is no listener "none"'),
    (("add", "10.0.0.1", "--for", "400d"), "wants a duration from 1ms to 366d"),
    (("add",), "want a prefix"),
    (("del", "10.0.0.1"), "10.0.0.1/32: no such entry"),
    (("del", "10.0.0.1", "--allow"), "for acl add"),
    (("list", "10.0.0.1", "10.0.0.2"), "one prefix"),
    (("list", "--limit", "x"), "wants a whole number"),
    (("show",), "add, del or list"),
])
def test_commands_that_make_no_sense_are_refused(sluice, arguments, expected):
    done = sluice.ctl.raw("acl", *arguments)
    assert done.returncode in (1, 2) and expected in done.stderr, done.stderr


def test_what_is_listed_can_be_narrowed_and_is_bounded(lab, sluice):
    path = write(lab, "many.txt", *(f"10.1.{i >> 8}.{i & 255}" for i in range(3000)),
                 "10.0.0.0/8")
    set_acl(sluice, deny_files=[path])
    text(sluice, "acl", "add", "10.1.2.3", "--for", "1h")
    answer = sluice.ctl.json("acl", "list")
    assert len(answer["entries"]) == 1000 and answer["more"] == 2002
    assert answer["entries"][0]["origin"] == "command"
    assert answer["lists"][0]["sources"] == [
        {"origin": "command", "action": None, "entries": 1},
        {"origin": path, "action": "deny", "entries": 3001}]
    narrow = sluice.ctl.json("acl", "list", "10.1.2.3")
    assert sorted((r["prefix"], r["origin"]) for r in narrow["entries"]) == sorted([
        ("10.1.2.3/32", "command"), ("10.1.2.3/32", path), ("10.0.0.0/8", path)])
    shown = text(sluice, "acl", "list", "10.1.2.3")
    assert f"3001 deny from {path}" in shown and "10.1.2.3/32" in shown and "59m" in shown
    text(sluice, "acl", "add", "10.1.2.4")
    row = next(line for line in text(sluice, "acl", "list", "10.1.2.4").splitlines()
               if "command" in line and "10.1.2.4" in line)
    assert row.split()[-1] == "-"  # it stays


def processor_seconds(sluice):
    """Of the supervisor so far: others on this machine may be busy."""
    with open(f"/proc/{sluice.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_million_addresses_and_100k_prefixes_are_loaded_by_a_reload(lab, client, sluice):
    four = lab.world.client_addresses
    address = (lab.world.lb.address, 443)
    path = os.path.join(lab.folder, "million.txt")
    with open(path, "w", encoding="ascii") as file:
        for i in range(1000000 - 1):
            file.write(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n")
        for i in range(100000):
            file.write(f"{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24\n")
        file.write(f"{four[1]}\n")
    number = client.run(calls.open_bidi, lab.target(tag="before-a-million"))
    begun = processor_seconds(sluice)
    set_acl(sluice, deny_files=[path])
    assert processor_seconds(sluice) - begun < 10 * float(os.environ.get("SLUICE_SLOWER", 1))
    assert "not taken the new config" not in sluice.log_path.read_text()
    assert client.run(knock, address, four[1]) == "silent"
    assert client.run(knock, address, four[0]) == "open"
    assert client.run(calls.exchange, number, payload=b"x")["received"] == 1
    client.run(calls.end, number)
    # A reload that changes nothing of it, and one entry more, take no such time.
    begun = processor_seconds(sluice)
    text(sluice, "acl", "add", four[0])
    assert client.run(knock, address, four[0]) == "silent"
    assert processor_seconds(sluice) - begun < 0.2 * float(os.environ.get("SLUICE_SLOWER", 1))
    text(sluice, "acl", "del", four[0])


def test_lists_are_swapped_without_a_moment_without_rules(lab, client, sluice):
    """Two sources knock all the time: one that every list denies, one that every list allows."""
    four = lab.world.client_addresses
    address = (lab.world.lb.address, 443)
    lists = [
        {"allow": [f"{four[0]}/32"], "deny": ["192.0.2.0/24"]},
        {"allow": ["198.18.0.0/15", "10.0.0.0/8"], "deny": [f"{four[1]}/32", "192.0.2.1"]},
        {"allow": [f"{four[0]}/32", "198.18.0.0/15"], "deny": [f"{four[1]}/32", "0.0.0.0/0"]},
    ]
    set_acl(sluice, **lists[0])
    client.run(_knock_begin, address, four)
    try:
        for i in range(12):
            set_acl(sluice, **lists[i % 3])
    finally:
        seen = client.run(_knock_end)
    assert seen["denied"] == {"silent"} and seen["n_denied"] >= 5
    assert seen["allowed"] == {"open"} and seen["n_allowed"] >= 50


_state = {}


def _knock_begin(address, four):
    stop = threading.Event()
    results = {"denied": [], "allowed": []}

    def run(name, source, timeout):
        while not stop.is_set():
            results[name].append(knock(address, source, timeout))

    threads = [threading.Thread(target=run, args=("denied", four[1], 0.05)),
               threading.Thread(target=run, args=("allowed", four[0], 3))]
    for thread in threads:
        thread.start()
    _state["knock"] = stop, threads, results


def _knock_end():
    stop, threads, results = _state.pop("knock")
    stop.set()
    for thread in threads:
        thread.join()
    return {"denied": set(results["denied"]), "n_denied": len(results["denied"]),
            "allowed": set(results["allowed"]), "n_allowed": len(results["allowed"])}
