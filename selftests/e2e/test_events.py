# SPDX-License-Identifier: MIT
"""The gate's events: who listens gets them, in every form, and who does not costs nothing."""
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import maps
from harness.lab import Backend
from harness.proc import run, wait_for
from peers import calls

pytestmark = pytest.mark.kernel

DENIED, DENIED6 = "198.18.0.3", "fd00:198:18::3"


@pytest.fixture(scope="module")
def servers(lab, kernel_allowed):
    servers = [Backend(lab, host) for host in lab.world.backends[:1]]
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def sluice(lab, daemons, servers):
    config = lab.config(servers)
    config.setdefault("kernel", {})["acl"] = {"deny": [f"{DENIED}/32", f"{DENIED6}/128"]}
    return daemons(config, "native")


def mask(sluice):
    return maps.dump(f"{sluice.pin_path}/switches")[0]["value"]["events_mask"]


def knock(address, source=None, how_many=1, timeout=0.05):
    for _ in range(how_many):
        try:
            socket.create_connection(address, timeout, source and (source, 0)).close()
        except OSError:
            pass


class Listener:
    """A sluicectl that listens. Its lines are read as they come, where stdout is not a file."""

    def __init__(self, sluice, *args, stdout=subprocess.PIPE):
        self.sluice = sluice
        self.before = mask(sluice)
        self.process = subprocess.Popen(
            [sluice.ctl.path, "--socket", sluice.socket, *args], stdout=stdout,
            stderr=subprocess.PIPE, text=True)

    def ready(self):
        wait_for(lambda: mask(self.sluice) != self.before, 5, "the gate sends events")
        return self

    def stop(self, number=signal.SIGINT):
        """(exit status, stdout, stderr)"""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err

    def end(self, timeout=10):
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


def test_nobody_listens_and_the_gate_sends_nothing(sluice):
    assert mask(sluice) == 0


@pytest.mark.parametrize("host,source", [("address", DENIED), ("address6", DENIED6)])
def test_events_say_what_became_of_a_packet(lab, client, sluice, host, source):
    address = (getattr(lab.world.lb, host), 443)
    listener = Listener(sluice, "--json", "events", "--reason", "drop_acl", "--count", "3").ready()
    began = time.time()
    client.run(knock, address, None, 3)
    client.run(knock, address, source, 3)
    status, out, err = listener.end()
    assert status == 0 and not err
    events = [json.loads(line) for line in out.splitlines()]
    assert len(events) == 3
    for event in events:
        assert event["reason"] == "drop_acl" and event["listener"] == "echo"
        assert event["interface"] == "front0" and event["ifindex"] > 0
        assert ipaddress.ip_address(event["source"]) == ipaddress.ip_address(source)
        assert ipaddress.ip_address(event["destination"]) == ipaddress.ip_address(address[0])
        assert event["destination_port"] == 443 and event["source_port"] > 1023
        assert event["bytes"] >= 60 and "packet" not in event
        assert began - 1 < event["time_ns"] / 1e9 < time.time() + 1
        assert event["time"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(began)))
    wait_for(lambda: mask(sluice) == 0, 5, "the mask goes with who listens")


def test_table_and_a_prefix_of_reasons(lab, client, sluice):
    address = (lab.world.lb.address, 443)
    listener = Listener(sluice, "events", "--reason", "drop_*,pass_new", "--follow").ready()
    client.run(knock, address, DENIED)
    client.run(knock, address)
    lines = [listener.process.stdout.readline() for _ in range(3)]  # they come at once
    status, _, err = listener.stop()
    assert status == 0, err
    assert lines[0].split() == ["TIME", "VERDICT", "INTERFACE", "LISTENER", "BYTES", "FROM", "TO"]
    assert lines[1].split()[1:4] == ["drop_acl", "front0", "echo"]
    assert lines[1].split()[5].startswith(f"{DENIED}:")
    assert lines[2].split()[1] == "pass_new" and f"{address[0]}:443" in lines[2]


def test_each_hears_what_it_asked_for(lab, client, sluice):
    address = (lab.world.lb.address, 443)
    first = Listener(sluice, "--json", "events", "--reason", "drop_acl", "--follow").ready()
    second = Listener(sluice, "--json", "events", "--reason", "pass_new", "--follow").ready()
    client.run(knock, address, DENIED)
    client.run(knock, address)
    assert json.loads(first.process.stdout.readline())["reason"] == "drop_acl"
    assert json.loads(second.process.stdout.readline())["reason"] == "pass_new"
    assert bin(mask(sluice)).count("1") == 2
    assert sluice.ctl.json("status")["kernel"]["event_listeners"] == 2
    assert "2 listen" in sluice.ctl.raw("status").stdout
    first.process.kill()  # without a good-bye
    first.process.communicate()
    wait_for(lambda: bin(mask(sluice)).count("1") == 1, 5, "a dead listener's mask goes")
    second.stop()
    wait_for(lambda: mask(sluice) == 0, 5, "and the last one's")


def test_limit_of_events_holds_and_what_it_keeps_back_is_told(lab, client, sluice):
    sluice.config["kernel"]["events"] = {"rate": "5/s", "burst": 5}
    sluice.reload()
    listener = Listener(sluice, "--json", "events", "--reason", "drop_acl", "--follow").ready()
    client.run(knock, (lab.world.lb.address, 443), DENIED, 60, timeout=0.005)
    time.sleep(1.2)  # losses are told once a second
    status, out, err = listener.stop()
    got = len(out.splitlines())
    assert status == 0 and 5 <= got <= 25
    kept = int(err.split()[0])
    assert "over the limit of events" in err and kept >= 20 and kept + got >= 60
    del sluice.config["kernel"]["events"]
    sluice.reload()


def test_slow_listener_loses_and_is_told_while_another_does_not(lab, client, sluice, tmp_path):
    sluice.config["kernel"]["events"] = {"rate": "1000000/s", "burst": 1000}
    sluice.reload()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(sluice.socket)
        slow.sendall(b'{"command": "events", "reasons": ["pass_not_ours"], "packets": true}\n')
        wait_for(lambda: mask(sluice), 5, "the gate sends events")
        with open(tmp_path / "quick.json", "w", encoding="utf-8") as file:
            quick = Listener(sluice, "--json", "events", "--reason", "pass_not_ours,pass_cookie",
                             "--packets", "--count", "2300", stdout=file).ready()
        flood = lab.world.client.run("ping", "-q", "-i", "0.001", "-c", "2400", "-s", "200",
                                     lab.world.lb.address, timeout=60)
        assert " 0% packet loss" in flood.stdout
        status, _, err = quick.end(timeout=30)
        assert status == 0 and "this command" not in err
        assert (tmp_path / "quick.json").read_text(encoding="utf-8").count("\n") == 2300
        assert sluice.ctl.raw("status").returncode == 0
        time.sleep(1.1)
        slow.settimeout(5)
        text = b""
        while b'"slow":' not in text or int(text.rsplit(b'"slow":', 1)[1].split(b"}")[0]) == 0:
            more = slow.recv(65536)
            assert more
            text += more
        lines = [json.loads(line) for line in text.splitlines()[:-1]]
        heard = sum(1 for line in lines if "reason" in line)
        assert 0 < heard < 2400
    wait_for(lambda: mask(sluice) == 0, 5, "the mask goes with who listens")
    del sluice.config["kernel"]["events"]
    sluice.reload()


def test_requests_that_are_wrong_are_refused(sluice):
    done = sluice.ctl.raw("events", "--reason", "drop_everything")
    assert done.returncode == 2 and "drop_acl" in done.stderr
    assert sluice.ctl.raw("events", "--count", "0").returncode == 2
    assert sluice.ctl.raw("events", "--for", "1 day").returncode == 2
    assert sluice.ctl.raw("capture", "--count", "1").returncode == 2
    for request in ('{"command": "events", "reasons": ["x"]}',
                    '{"command": "events", "reasons": "drop_acl"}',
                    '{"command": "events", "what": 1}',
                    '{"command": "events", "packets": 1}'):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(sluice.socket)
            s.sendall(request.encode() + b"\n")
            assert "error" in json.loads(s.makefile().readline())
    assert mask(sluice) == 0


def test_there_is_room_for_so_many_and_no_more(sluice):
    sockets = []
    for _ in range(16):
        s = socket.socket(socket.AF_UNIX)
        s.connect(sluice.socket)
        s.sendall(b'{"command": "events", "reasons": ["drop_acl"]}\n')
        assert "listening" in json.loads(s.makefile().readline())
        sockets.append(s)
    done = sluice.ctl.raw("events", "--count", "1")
    assert done.returncode == 1 and "as many as may" in done.stderr
    for s in sockets:
        s.close()
    wait_for(lambda: mask(sluice) == 0, 5, "all are gone")


@pytest.fixture(scope="module")
def captured(lab, client, sluice, tmp_path_factory):
    """A file of three drops, one of them IPv6, and a new connection by the other interface."""
    path = tmp_path_factory.mktemp("capture") / "drops.pcapng"
    listener = Listener(sluice, "capture", "--reason", "drop_acl", "--reason", "pass_new", "-w",
                        str(path)).ready()
    client.run(knock, (lab.world.lb.address, 443), DENIED, 2)
    client.run(knock, (lab.world.lb.address6, 443), DENIED6)
    client.run(knock, (lab.world.lb.second_address, 443))
    wait_for(lambda: path.stat().st_size > 4 * 100 and len(read_pcapng(path.read_bytes())) == 4, 5,
             "four packets are there while it runs")
    status, _, err = listener.stop()
    assert status == 0 and "4 packets written" in err, err
    return path


def test_capture_has_frames_interfaces_times_and_verdicts(captured):
    packets = read_pcapng(captured.read_bytes())
    assert [p["comment"].split(":")[0] for p in packets] == ["drop_acl"] * 3 + ["pass_new"]
    assert [p["interface"] for p in packets] == ["front0"] * 3 + ["front1"]
    assert all(p["comment"].endswith("; listener echo") for p in packets)
    assert all(abs(p["time"] - captured.stat().st_mtime) < 30 for p in packets)
    assert packets[0]["bytes"][26:30] == ipaddress.ip_address(DENIED).packed
    assert packets[2]["bytes"][22:38] == ipaddress.ip_address(DENIED6).packed


def tool(name):
    """Its path; a tool of the administrator's may not be on PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return path or pytest.skip(f"{name} is not installed")


def test_tcpdump_reads_the_capture(captured):
    shown = run(tool("tcpdump"), "-nn", "-r", captured).stdout
    assert shown.count(f"{DENIED}.") == 2 and shown.count("Flags [S]") == 4


def test_tshark_reads_the_capture(captured):
    shown = run(tool("tshark"), "-r", captured, "-T", "fields", "-e", "frame.comment", "-e",
                "frame.interface_name", "-e", "tcp.flags.syn", "-e", "_ws.malformed", timeout=60,
                env=dict(os.environ, HOME=str(captured.parent))).stdout.splitlines()
    rows = [line.split("\t") for line in shown]
    assert [row[1:3] for row in rows] == [["front0", "1"]] * 3 + [["front1", "1"]]
    assert rows[0][0] == "drop_acl: source denied by an ACL entry; listener echo"
    assert not any(row[3] for row in rows)


def read_pcapng(data):
    """The packets of a file of one section, each block's lengths checked."""
    packets, interfaces, at = [], [], 0
    while at < len(data):
        kind, length = (int.from_bytes(data[i:i + 4], "little") for i in (at, at + 4))
        assert length % 4 == 0 and data[at + length - 4:at + length] == data[at + 4:at + 8]
        body = data[at + 8:at + length - 4]
        if at == 0:
            assert kind == 0x0A0D0D0A and body[:4] == b"\x4d\x3c\x2b\x1a"
        elif kind == 1:
            options = read_options(body[8:])
            assert body[:2] == b"\x01\x00" and options[9] == b"\x09"
            interfaces.append(options[2].decode())
        elif kind == 6:
            number, high, low, kept, wire = (int.from_bytes(body[i:i + 4], "little")
                                             for i in range(0, 20, 4))
            assert kept <= wire
            packets.append({
                "interface": interfaces[number], "time": (high << 32 | low) / 1e9,
                "bytes": body[20:20 + kept],
                "comment": read_options(body[20 + (kept + 3) // 4 * 4:])[1].decode()})
        at += length
    assert at == len(data)
    return packets


def read_options(data):
    options, at = {}, 0
    while data[at:at + 2] != b"\0\0":
        code, length = (int.from_bytes(data[i:i + 2], "little") for i in (at, at + 2))
        options[code] = data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return options


def test_capture_to_a_pipe_and_to_what_cannot_be_written(lab, client, sluice, tmp_path):
    with open(tmp_path / "piped.pcapng", "wb") as file:
        listener = Listener(sluice, "capture", "-w", "-", "--count", "1", "--reason", "drop_acl",
                            stdout=file).ready()
    client.run(knock, (lab.world.lb.address, 443), DENIED)
    assert listener.end()[0] == 0
    assert len(read_pcapng((tmp_path / "piped.pcapng").read_bytes())) == 1
    done = sluice.ctl.raw("capture", "-w", str(tmp_path / "none" / "x"), "--for", "1s")
    assert done.returncode == 1 and "No such file" in done.stderr
    done = sluice.ctl.raw("capture", "-w", "/dev/full", "--for", "1ms")
    assert done.returncode == 1 and "No space left" in done.stderr


def test_killed_supervisor_leaves_no_gate_that_sends_to_nobody(lab, client, daemon, servers):
    config = lab.config(servers)
    config.setdefault("kernel", {})["acl"] = {"deny": [f"{DENIED}/32"]}
    config["listeners"][0]["address"] = config["listeners"][0]["address"].replace("443", "451")
    other = daemon(config, "native", healthy=False, start=False)
    # The module's daemon has the interfaces: this one does without.
    other.config["kernel"]["interfaces"] = []
    other.write()
    other.start()
    Listener(other, "events", "--follow").ready()
    children = other.children()
    other.process.kill()
    wait_for(lambda: mask(other) == 0, 5, "the workers take the mask away")
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in children), 10, "children end")
    other.start(healthy=False)
    other.stop()


def test_without_bpf_there_are_none_and_that_is_said(lab, daemon, servers):
    other = daemon(lab.config(servers), "off", healthy=False)
    done = other.ctl.raw("events", "--for", "1s")
    assert done.returncode == 1 and "kernel side is off" in done.stderr
