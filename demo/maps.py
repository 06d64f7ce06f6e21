#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The groups and backends maps as bpftool prints them, entries in use only: demo.sh shows it.

usage: maps.py PIN_PATH groups|backends
       maps.py PIN_PATH assert LIVE DOWN
"""
import json
import subprocess
import sys

SHOWN = {"groups": ("name", "live", "total", "on_all_down"),
         "backends": ("address", "port", "weight", "health", "checks", "checks_failed", "calls")}


def entries(pins, name):
    used = {"groups": "used", "backends": "generation"}[name]
    for key in range(64):
        key_bytes = key.to_bytes(4, sys.byteorder)
        out = subprocess.run(["bpftool", "-j", "map", "lookup", "pinned", f"{pins}/{name}", "key",
                              *[str(b) for b in key_bytes]], stdout=subprocess.PIPE, check=True)
        entry = json.loads(out.stdout)
        value = entry.get("formatted", entry)["value"]
        if not value[used]:
            break
        yield key, value


def main():
    pins, what = sys.argv[1:3]
    if what == "assert":
        live = sum(group["live"] for _, group in entries(pins, "groups"))
        down = sum(backend["health"] == 2 for _, backend in entries(pins, "backends"))
        sys.exit(0 if [str(live), str(down)] == sys.argv[3:5] else 1)
    for key, value in entries(pins, what):
        fields = {}
        for name in SHOWN[what]:
            shown = value[name]
            if name == "address":
                shown = ".".join(str(int(str(byte), 0)) for byte in shown[12:])
            fields[name] = shown
        print(f"{key}: " + json.dumps(fields))


if __name__ == "__main__":
    main()
