# SPDX-License-Identifier: MIT
"""A DNS server for one zone of the tests: UDP, answers A and AAAA from a table, or refuses, or is
silent. For the agent."""
import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
_state = {"names": {}, "ttl": 5, "mode": "answer", "queries": 0}


def answer(names, ttl=5):
    """names: addresses by name. Names that are not in it do not exist."""
    _state.update(names=dict(names), ttl=ttl, mode="answer")


def fail(mode):
    """mode: servfail, or silent."""
    _state["mode"] = mode


def queries():
    return _state["queries"]


def start(address, port=53):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()


def _serve(server):
    while True:
        query, peer = server.recvfrom(4096)
        _state["queries"] += 1
        if _state["mode"] != "silent":
            server.sendto(_reply(query), peer)


def _reply(query):
    number, = struct.unpack_from("!H", query)
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind, = struct.unpack_from("!H", query, at + 1)
    question = query[12:at + 5]
    name = ".".join(labels).lower()
    records, code = [], 0
    if _state["mode"] == "servfail":
        code = 2
    elif name not in _state["names"]:
        code = 3
    else:
        for text in _state["names"][name]:
            address = ipaddress.ip_address(text)
            if kind == (A if address.version == 4 else AAAA):
                records.append(struct.pack("!HHHIH", 0xc00c, kind, 1, _state["ttl"],
                                           len(address.packed)) + address.packed)
    return struct.pack("!HHHHHH", number, 0x8180 | code, 1, len(records), 0, 0) + question + \
        b"".join(records)
