# SPDX-License-Identifier: MIT
"""h2specd_call.py HOST OFFSET FILE URL - what h2specd runs for each of its cases: one GET through the
balancer's listener at the URL's port plus OFFSET. Appends what came of it to FILE, a line of JSON."""
import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from peers import h2raw  # noqa: E402

LIMIT = 2.5  # h2specd gives up after 3 s


def main():
    host, offset, path, url = sys.argv[1:]
    port = urllib.parse.urlsplit(url).port
    began = time.monotonic()
    outcome = {"port": port, "status": None, "reset": None, "hang": False}
    connection = h2raw.Client((host, port + int(offset)), h2raw.tls_context()).hello()
    try:
        connection.request(replace={":method": "GET", ":path": "/", "content-type": "text/plain"},
                           drop=["te"], end=True)
        answer = connection.answer(1, LIMIT)
        outcome.update(status=(answer["headers"] or {}).get(":status"), reset=answer["reset"])
    except TimeoutError:
        outcome["hang"] = True
    outcome["seconds"] = round(time.monotonic() - began, 3)
    with open(path, "a", encoding="ascii") as file:
        file.write(json.dumps(outcome) + "\n")


main()
