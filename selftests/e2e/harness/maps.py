# SPDX-License-Identifier: MIT
"""Pinned maps through bpftool, as a person at a terminal would look at them."""
import json
import os

from .proc import run

BPFTOOL = next((t for t in ("/usr/sbin/bpftool", "/sbin/bpftool") if os.path.exists(t)), "bpftool")


def dump(path):
    """[{"key": ..., "value": ...}] with the names that BTF gives."""
    entries = json.loads(run(BPFTOOL, "-j", "map", "dump", "pinned", path).stdout)
    return [e.get("formatted", e) for e in entries]


def dump_inner(path):
    """The entries of every map that a map of maps holds."""
    entries = []
    for row in dump(path):
        number = int.from_bytes(bytes(int(b, 16) for b in row["value"]), "little")
        entries += json.loads(run(BPFTOOL, "-j", "map", "dump", "id", number).stdout)
    return [e.get("formatted", e) for e in entries]


def raw(path, key):
    """The bytes of one entry; key is an index."""
    entry = json.loads(run(BPFTOOL, "-j", "map", "lookup", "pinned", path, "key",
                           *_bytes(key.to_bytes(4, "little"))).stdout)
    return bytearray(int(b, 16) for b in entry["value"])


def update(path, key, value):
    """Writes one entry's bytes; key: an index or bytes."""
    key = key.to_bytes(4, "little") if isinstance(key, int) else key
    run(BPFTOOL, "map", "update", "pinned", path, "key", *_bytes(key), "value", *_bytes(value))


def _bytes(data):
    return ["hex", *(f"{b:02x}" for b in data)]
