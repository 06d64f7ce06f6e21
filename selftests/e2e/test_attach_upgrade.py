# SPDX-License-Identifier: MIT
"""One sluiced follows another: its programs take the places of the old ones under load, with not one
packet between them unguarded and no flow lost."""
import json
import os
import signal
import socket
import struct
import threading
import time

import pytest

from harness.proc import run, wait_for
from peers import calls

pytestmark = pytest.mark.kernel

DENIED4, DENIED6 = "198.18.0.99", "fd00:198:18::99"
PAUSE = 0.002
AT_ONCE = 8


def _sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def _syn(source, destination, port):
    """A SYN's IP packet, whole and well-formed."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    tcp = struct.pack("!HHIIBBHHH", port, 443, 1, 0, 0x50, 2, 65535, 0, 0)
    check = _sum16(ends + struct.pack("!II", len(tcp), socket.IPPROTO_TCP) + tcp)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    if family == socket.AF_INET6:
        return struct.pack("!IHBB", 6 << 28, len(tcp), socket.IPPROTO_TCP, 64) + ends + tcp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0) + ends
    return head[:10] + struct.pack("!H", _sum16(head)) + head[12:] + tcp


class _Flood:
    """SYNs of two denied sources, until told to stop; counts what was really sent."""

    def __init__(self, device, to_mac, to4, to6):
        self.sent, self._stop = 0, threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((device, 0))
        mac = bytes.fromhex(to_mac.replace(":", ""))
        ethernet = mac + bytes.fromhex("020000000001")
        self._frames = [ethernet + kind + _syn(source, destination, port)
                        for port in range(20000, 20064)
                        for kind, source, destination in ((b"\x08\0", DENIED4, to4),
                                                          (b"\x86\xdd", DENIED6, to6))]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(PAUSE):
            for _ in range(AT_ONCE):
                try:
                    self._socket.send(self._frames[self.sent % len(self._frames)])
                    self.sent += 1
                except OSError:
                    break  # its queue is full: not sent

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return self.sent


_flood = []


def flood_start(*where):
    _flood.append(_Flood(*where))


def flood_sent():
    return _flood[0].sent


def flood_stop():
    return _flood.pop().stop()


def _link(host, name):
    (shown,) = json.loads(host.run("ip", "-j", "-s", "-d", "link", "show", name).stdout)
    return shown


def _program(lab):
    return _link(lab.world.lb, "front0")["xdp"]["prog"]["id"]


def _pinned_link(sluice):
    shown = json.loads(run("bpftool", "-j", "link", "show", "pinned",
                           f"{sluice.pin_path}/links/xdp_front0").stdout)
    return shown["id"]


def test_not_one_packet_unguarded_and_no_flow_lost(lab, client, daemon, backends):
    """Every denied SYN that was sent is counted as dropped by one program or the other: killed and
    started anew (twice), ended with kernel.keep and started anew."""
    config = lab.config(backends, drain={"grace": "1m"})
    config["kernel"] = {"keep": True, "acl": {"deny": [DENIED4, DENIED6]}}
    sluice = daemon(config, "native")
    lb = lab.world.lb
    stream = client.run(calls.open_bidi, lab.target(tag="upgrade-flow"))
    exchanged = 0

    def goes_on():
        nonlocal exchanged
        exchanged += 1
        got = client.run(calls.exchange, stream, payload=b"on")["received"]
        assert got == exchanged

    goes_on()
    unsent = _link(lab.world.client, "c0")["stats64"]["tx"]["dropped"]
    before = sluice.verdicts()["drop_acl"]
    assert before == 0
    programs, dropped, link = [_program(lab)], [], _pinned_link(sluice)
    client.run(flood_start, "c0", _link(lb, "front0")["address"], lb.address, lb.address6)
    for how in ("kill", "kill", "end"):
        wait_for(lambda: sluice.verdicts()["drop_acl"] > before + 100, 5, "the program drops")
        if how == "kill":
            os.kill(sluice.process.pid, signal.SIGKILL)
            sluice.process.popen.wait()
            goes_on()
        else:
            client.run(calls.end, stream)  # or it would wait for that
            sluice.stop()
        sent = client.run(flood_sent)
        wait_for(lambda: client.run(flood_sent) > sent + 100, 5, "meanwhile the old one is alone")
        sluice.start()
        programs.append(_program(lab))
        before = sluice.verdicts()["drop_acl"]
        dropped.append(before)
        if how == "kill":
            goes_on()
        assert client.run(calls.unary, lab.target(tag=f"upgrade-{len(programs)}")).code == 0
        assert _pinned_link(sluice) == link  # never taken off: the program in it was changed
    wait_for(lambda: sluice.verdicts()["drop_acl"] > before + 100, 5, "the last program drops")
    sent = client.run(flood_stop)
    sent -= _link(lab.world.client, "c0")["stats64"]["tx"]["dropped"] - unsent
    wait_for(lambda: sluice.verdicts()["drop_acl"] >= sent, 2,
             lambda: f"all are counted: {sluice.verdicts()['drop_acl']} of {sent}")
    time.sleep(0.05)
    assert sluice.verdicts()["drop_acl"] == sent
    assert len(set(programs)) == 4 and dropped == sorted(set(dropped))
    sluice.config["kernel"]["keep"] = False
    sluice.reload()
