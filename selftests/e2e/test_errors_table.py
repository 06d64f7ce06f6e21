# SPDX-License-Identifier: MIT
"""Every row of docs/ERRORS.md, produced: its status, its message, and no address where
`errors: {addresses: false}`. Those that need an outage of memory are in selftests/unit/proxy."""
import os
import re
import time
import urllib.parse

import pytest

from harness import error_rows
from harness.lab import REPO
from harness.proc import wait_for
from peers import h2raw, rawserver
from peers.h2raw import message

pytestmark = pytest.mark.l7

ROWS = error_rows.read(os.path.join(REPO, "docs/ERRORS.md"))
HEADERS = rawserver.HEADERS
MANY = [(f"x-{i}", "v") for i in range(510)]

# Routes of the main listener by path /NAME: what they add to their group or route.
GROUPS = {"WEB": {"protocol": "http2"}, "DEAD": {}, "LARGE": {"connections": {"header_list": "2KiB"}},
          "GROUP_CALLS": {"circuit_breaker": {"calls": 1}},
          "BACKEND_CALLS": {"circuit_breaker": {"backend_calls": 1, "status": "RESOURCE_EXHAUSTED"}},
          "PENDING": {"connections": {"max": 1, "streams": 1}, "circuit_breaker": {"pending": 1}},
          "PENDING_TIMEOUT": {"connections": {"max": 1, "streams": 1},
                              "circuit_breaker": {"pending": 10, "pending_timeout": "200ms"}},
          "DRAINED": {}, "PLAIN": {}}
ROUTES = {"RATE_LIMITED": {"limits": {"calls": "1/m", "burst": 1}},
          "ROUTE_FULL": {"limits": {"concurrent": 1}},
          "EXPRESSIONS": {"match": {"path": "/EXPRESSIONS",
                                    "metadata": {"key": "x-many", "regex": "a"}}},
          "DEADLINE": {"timeouts": {"default": "200ms"}},
          "TRY_TIMEOUT": {"retry": {"per_try_timeout": "100ms", "codes": ["UNAVAILABLE"],
                                    "attempts": 2}},
          "IDLE": {"timeouts": {"idle": "200ms"}}, "AGE": {"timeouts": {"max_age": "200ms"}}}


@pytest.fixture(scope="module")
def raw(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-table")
    agent.address = f"{host.address}:{lab.world.port(50067)}"
    agent.run(rawserver.start, agent.address, "ok", window=1 << 20)
    yield agent
    agent.stop()


def _config(lab, raw, addresses):
    config = lab.config([], listeners=[], groups=[])
    config["workers"] = 1
    config["errors"] = {"addresses": addresses}
    config["drain"] = {"grace": "1s"}
    nobody = {"address": f"{raw.address.rpartition(':')[0]}:{lab.world.port(50099)}"}
    listener = lab.add_listener(config, 443, "PLAIN", [{"address": raw.address}])
    listener["timeouts"] = {"stall": "1s"}
    listener["limits"] = {"header_list": "256KiB"}
    for name, changes in GROUPS.items():
        if name != "PLAIN":
            config["groups"].append({"name": name, **changes, "backends": [
                nobody if name == "DEAD" else {"address": raw.address}]})
    del listener["group"]
    listener["routes"] = [
        {"name": name, "match": {"path": f"/{name}"},
         "group": name if name in GROUPS else "PLAIN", **ROUTES.get(name, {})}
        for name in {**GROUPS, **ROUTES}]
    short = lab.add_listener(config, 444, "short", [{"address": raw.address}])
    short["limits"] = {"header_list": "2KiB"}
    short["timeouts"] = {"max_age": "1s", "age_grace": "100ms"}
    lab.add_listener(config, 445, "web", [{"address": raw.address}], protocol="http2")
    return config


@pytest.fixture(scope="module", params=[True, False], ids=["with addresses", "without"])
def sluice(request, lab, daemons, raw):
    sluice = daemons(_config(lab, raw, request.param), "off", healthy=False)
    sluice.addresses = request.param
    yield sluice
    raw.run(rawserver.script, "ok")
    daemons.stop()


def _answers(address, calls, settings=()):
    """Each call begins in turn on one connection: (method or None for gRPC, path, fields, body: a
    list of pieces, or None to go on without its end). The answer to the last of them."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello(**dict(settings))
    for i, (method, path, fields, body) in enumerate(calls):
        stream = 1 + 2 * i
        if method == "CONNECT":
            connection.headers(stream, [(":method", method), (":authority", "x:1")], end=True)
        elif method:
            connection.headers(stream, [(":method", method), (":scheme", "https"),
                                        (":path", path), (":authority", "x")], end=True)
        else:
            connection.request(stream, replace={":path": path}, add=fields)
            for piece in body or []:
                connection.data(stream, piece)
                time.sleep(0.01)
            if body is not None:
                connection.data(stream, b"", end=True)
        time.sleep(0.05)
    answer = connection.answer(2 * len(calls) - 1, 8)
    connection.close()
    return {**answer, "frames": None}


def grpc(path, fields=(), body=(message(b""),)):
    return (None, path, list(fields), body and list(body))


@pytest.fixture
def produce(lab, client, sluice, raw):
    """produce(script, *calls, port=…): the answer to the last call."""
    def run(script, *calls, port=443, **settings):
        raw.run(rawserver.script, *script)
        return client.run(_answers, (lab.world.lb.address, lab.world.port(port)), calls,
                          tuple(settings.items()))
    return run


def check(name, answer, sluice):
    """The row holds for a gRPC answer; its message."""
    row = ROWS[name]
    assert answer["trailers"], answer
    text = urllib.parse.unquote(answer["trailers"]["grpc-message"])
    assert row.status in ("*", answer["trailers"]["grpc-status"])
    assert re.fullmatch(error_rows.pattern(row), text), text
    check_addresses(row, text, sluice)
    return text


def check_addresses(row, text, sluice):
    if not sluice.addresses:
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|:\d{4,5}\b", text)
        assert "BACKEND" not in row.message or "a backend" in text
    elif "BACKEND" in row.message:
        assert re.search(r"\d+\.\d+\.\d+\.\d+:\d+", text)
    assert text.startswith("sluice: ") and len(text) < 512


def check_text(name, answer, sluice):
    """The row holds for an answer to what is not gRPC."""
    row = ROWS[name]
    text = answer["data"].decode().rstrip("\n")
    assert answer["headers"][":status"] == row.http
    assert answer["headers"]["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(error_rows.pattern(row), text), text
    check_addresses(row, text, sluice)


CASES = {
    "BAD_TIMEOUT": (("ok",), grpc("/PLAIN", [("grpc-timeout", "1x")])),
    "NO_ROUTE": (("ok",), grpc("/nowhere")),
    "EXPRESSIONS": (("ok",), grpc("/EXPRESSIONS", [("x-many", "b")] * 70)),
    "RATE_LIMITED": (("ok",), grpc("/RATE_LIMITED"), grpc("/RATE_LIMITED")),
    "ROUTE_FULL": (("hang",), grpc("/ROUTE_FULL"), grpc("/ROUTE_FULL")),
    "NO_BACKEND": (("ok",), grpc("/DEAD")),
    "NO_REPLAY": (("reset_after_bytes", "REFUSED_STREAM", 150000),
                  grpc("/PLAIN", body=[bytes(16384)] * 12)),
    "GROUP_CALLS": (("hang",), grpc("/GROUP_CALLS"), grpc("/GROUP_CALLS")),
    "BACKEND_CALLS": (("hang",), grpc("/BACKEND_CALLS"), grpc("/BACKEND_CALLS")),
    "PENDING": (("hang",), *[grpc("/PENDING")] * 3),
    "PENDING_TIMEOUT": (("hang",), *[grpc("/PENDING_TIMEOUT")] * 2),
    "DEADLINE": (("hang",), grpc("/DEADLINE")),
    "TRY_TIMEOUT": (("hang",), grpc("/TRY_TIMEOUT")),
    "IDLE": (("hang",), grpc("/IDLE")),
    "AGE": (("headers_then_hang",), grpc("/AGE")),
    "BACKEND_LOST": (("die",), grpc("/PLAIN")),
    "BACKEND_RESET": (("reset", "ENHANCE_YOUR_CALM"), grpc("/PLAIN")),
    "BACKEND_BROKE": (("respond", [("content-type", "application/grpc")]), grpc("/PLAIN")),
    "BACKEND_HTTP": (("http", 502), grpc("/PLAIN")),
    "NO_TRAILERS": (("no_status",), grpc("/PLAIN")),
    "NO_STATUS": (("respond", HEADERS, message(b"x"), [("x", "1")]), grpc("/PLAIN")),
    "RESPONSE_HEADERS": (("respond", [*HEADERS, ("x", "v" * 4000)]), grpc("/LARGE")),
}
STATUS = {"GROUP_CALLS": "14", "BACKEND_CALLS": "8", "PENDING": "14", "PENDING_TIMEOUT": "14",
          "BACKEND_RESET": "8", "BACKEND_BROKE": "13", "BACKEND_HTTP": "14"}


@pytest.mark.parametrize("name", CASES)
def test_error(produce, sluice, name):
    script, *calls = CASES[name]
    answer = produce(script, *calls)
    check(name, answer, sluice)
    assert answer["headers"][":status"] == "200"
    assert answer["trailers"]["grpc-status"] == STATUS.get(name, ROWS[name].status)
    if name == "RATE_LIMITED":
        assert int(answer["trailers"]["grpc-retry-pushback-ms"]) > 50000


def test_the_message_of_an_unreachable_backend_in_full(produce, sluice, lab, raw):
    text = check("NO_BACKEND", produce(*CASES["NO_BACKEND"]), sluice)
    nobody = f"{raw.address.rpartition(':')[0]}:{lab.world.port(50099)}"
    assert text == (f'sluice: group "DEAD": connect to {nobody if sluice.addresses else "a backend"}'
                    ": connection refused (0 of 1 backends down)")


TEXT_CASES = {
    "NOT_GRPC": (("ok",), ("GET", "/PLAIN", [], None)),
    "BACKEND_RESET": (("reset", "CANCEL"), ("GET", "/WEB", [], None)),
    "BACKEND_LOST": (("die",), ("GET", "/WEB", [], None)),
    "BACKEND_BROKE": (("respond", [("x", "1")]), ("GET", "/WEB", [], None)),
    "NO_ROUTE": (("ok",), ("GET", "/nowhere", [], None)),
}


@pytest.mark.parametrize("name", TEXT_CASES)
def test_error_to_what_is_not_grpc(produce, sluice, name):
    script, *calls = TEXT_CASES[name]
    check_text(name, produce(script, *calls), sluice)


def test_request_headers(produce, sluice):
    check("REQUEST_HEADERS", produce(("ok",), grpc("/", [("x", "v" * 3000)]), port=444), sluice)
    check("REQUEST_HEADERS", produce(("ok",), grpc("/PLAIN", MANY)), sluice)


def test_connect(produce, sluice):
    check_text("CONNECT", produce(("ok",), ("CONNECT", "", [], None), port=445), sluice)


def test_connection_age(produce, sluice):
    check("CONNECTION_AGE", produce(("hang",), grpc("/"), port=444), sluice)


def test_client_stalled(produce, sluice):
    answer = produce(("flood", 200000), grpc("/PLAIN"), window=1000)
    check("CLIENT_STALLED", answer, sluice)


def _pings(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request(replace={":path": "/PLAIN"})
    connection.data(1, message(b""), end=True)
    for _ in range(8):
        connection.ping()
    seen = connection.until(lambda f: f["kind"] == "HeadersFrame")
    return {"trailers": next((dict(f["headers"]) for f in seen if "headers" in f), None)}


def test_too_many_pings(lab, client, sluice, raw):
    raw.run(rawserver.script, "hang")
    answer = client.run(_pings, (lab.world.lb.address, lab.world.port(443)))
    check("PINGS", answer, sluice)


def _hang(address, path):
    return _answers(address, [grpc(path)])


def wait_until_asked(raw, path):
    wait_for(lambda: path in [dict(r)[":path"] for r in raw.run(rawserver.requests)], 5,
             f"{path} is at the backend")


def test_drained(lab, client, sluice, raw):
    raw.run(rawserver.script, "hang")
    future = client.start(_hang, (lab.world.lb.address, lab.world.port(443)), "/DRAINED")
    wait_until_asked(raw, "/DRAINED")
    done = sluice.ctl.raw("drain", "DRAINED", raw.address, "--for", "300ms")
    assert done.returncode == 0, done.stderr
    check("DRAINED", future.result(10), sluice)


def test_shutdown(lab, client, sluice, raw):
    """The last one: it stops the daemon."""
    raw.run(rawserver.script, "hang")
    future = client.start(_hang, (lab.world.lb.address, lab.world.port(443)), "/PLAIN")
    wait_until_asked(raw, "/PLAIN")
    sluice.stop()
    check("SHUTDOWN", future.result(10), sluice)
