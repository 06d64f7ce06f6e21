# SPDX-License-Identifier: MIT
"""`protocol: http2` groups: any HTTP/2 request goes to an h2c backend as it is and comes back as it
is; sluice's own errors are plain text there, and stay gRPC's for gRPC calls."""
import shutil
import subprocess

import pytest

from harness.proc import wait_for
from peers import calls, h2raw, rawserver
from peers.h2raw import message

pytestmark = pytest.mark.l7

OK = [(":status", "200"), ("content-type", "text/html"), ("etag", '"1"')]
GRPC = rawserver.HEADERS


@pytest.fixture(scope="module")
def raw(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-http2")
    agent.address = f"{host.address}:{lab.world.port(50065)}"
    agent.run(rawserver.start, agent.address, "ok", window=1 << 20)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw):
    """443: the scripted backend; 444: nobody; 445: real gRPC backends; 446: with a deadline, retries and
    limits; 447: by path, http2 or grpc."""
    nobody = {"address": f"{raw.address.rpartition(':')[0]}:{lab.world.port(50099)}"}
    entry = {"address": raw.address}
    config = lab.config([], listeners=[], groups=[])
    lab.add_listener(config, 443, "web", [entry], protocol="http2")
    lab.add_listener(config, 444, "nobody", [nobody], protocol="http2")
    lab.add_listener(config, 445, "greeter", backends, protocol="http2")
    listener = lab.add_listener(config, 446, "bounded", [entry], protocol="http2")
    del listener["group"]
    listener["routes"] = [
        {"match": {"path": "/limited"}, "group": "bounded", "limits": {"calls": "1/m", "burst": 1}},
        {"match": {"path": "/fixed"}, "status": {"code": "NOT_FOUND", "message": "no such thing"}},
        {"match": {"path": "/slow"}, "group": "bounded", "timeouts": {"default": "300ms"}},
        {"match": {"path": {"prefix": "/"}}, "group": "bounded",
         "retry": {"on_reset": True, "codes": ["UNAVAILABLE"], "attempts": 2}}]
    listener = lab.add_listener(config, 447, "plain", [entry])
    listener["routes"] = [{"match": {"path": {"prefix": "/web/"}}, "group": "web"}]
    yield daemons(config, "off", healthy=False)
    daemons.stop()


@pytest.fixture
def web(lab, sluice, raw):
    """web(script...) sets the script; returns the address in front of it."""
    def script(*script, port=443):
        raw.run(rawserver.script, *script)
        return lab.world.lb.address, lab.world.port(port)
    return script


def _request(address, method, path, body=None, fields=(), trailers=None, timeout=5):
    """(headers, body, trailers or None, reset or None, whether END_STREAM came with the headers)"""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.headers(1, [(":method", method), (":scheme", "https"), (":path", path),
                           (":authority", "sluice.test"), *fields],
                       end=body is None and trailers is None)
    if body is not None:
        connection.data(1, body, end=trailers is None)
    if trailers is not None:
        connection.headers(1, trailers, end=True)
    answer = connection.answer(1, timeout)
    connection.close()
    first = [f for f in answer["frames"] if f["kind"] == "HeadersFrame" and f["stream"] == 1]
    informational = [dict(f["headers"])[":status"] for f in first if not f["end"]][:-1]
    return {**answer, "frames": None, "informational": informational,
            "first_end": bool(first) and first[0]["end"]}


def frames(raw):
    return [(f["kind"], f["end"]) for _, f in raw.run(rawserver.events)
            if f["kind"] in ("HeadersFrame", "DataFrame")]


def test_get_ends_with_its_headers_and_the_page_comes_back(client, web, raw):
    answer = client.run(_request, web("respond", OK, b"<html>"), "GET", "/page?x=1",
                        fields=[("accept", "text/html"), ("grpc-timeout", "not ours")])
    assert answer["headers"] == dict(OK) and answer["data"] == b"<html>"
    assert frames(raw) == [("HeadersFrame", True)]
    seen = dict(raw.run(rawserver.requests)[0])
    assert (seen[":method"], seen[":path"], seen[":scheme"]) == ("GET", "/page?x=1", "http")
    assert seen["accept"] == "text/html" and seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"] and seen["grpc-timeout"] == "not ours"


def test_a_body_and_trailers_pass_both_ways(client, web, raw):
    address = web("respond", OK, b"y" * 60000, [("checksum", "2")])
    answer = client.run(_request, address, "PUT", "/file", b"x" * 50000,
                        [("content-type", "application/octet-stream")], [("checksum", "1")])
    assert answer["data"] == b"y" * 60000 and answer["trailers"] == {"checksum": "2"}
    sent = [f for _, f in raw.run(rawserver.events) if f["kind"] == "DataFrame"]
    assert sum(len(f["data"]) for f in sent) == 50000
    last = [f for _, f in raw.run(rawserver.events, "HeadersFrame")][-1]
    assert last["end"] and dict(last["headers"])["checksum"] == "1"


@pytest.mark.parametrize("status", ["301", "404", "418", "500", "503"])
def test_any_status_is_passed_on_as_it_is(client, web, status):
    answer = client.run(_request, web("respond", [(":status", status), ("x", "1")], b"why"), "GET",
                        "/")
    assert answer["headers"] == {":status": status, "x": "1"} and answer["data"] == b"why"


@pytest.mark.parametrize("method,status,length", [
    ("HEAD", "200", "5000"), ("GET", "204", None), ("GET", "304", "5000")])
def test_answers_without_a_body(client, web, method, status, length):
    headers = [(":status", status), *([("content-length", length)] if length else [])]
    answer = client.run(_request, web("respond", headers), method, "/")
    assert answer["headers"] == dict(headers)
    assert answer["data"] == b"" and answer["first_end"] and answer["reset"] is None


def test_informational_responses_pass(client, web):
    answer = client.run(_request, web("hints"), "GET", "/")
    assert answer["informational"] == ["103"] and answer["data"] == b"page"


def test_grpc_passes_too_with_a_data_frame_at_its_end(lab, client, sluice):
    for _ in range(4):
        assert client.run(calls.unary, lab.target(port=445), payload=b"1").reply["payload"] == b"1"
    outcome = client.run(calls.bidi, lab.target(port=445), [{"payload": b"x"}] * 5)
    assert outcome.code == 0 and len(outcome.replies) == 5
    outcome = client.run(calls.unary, lab.target(port=445), status=5, message="none",
                         fail_first=True)
    assert (outcome.code, outcome.details) == (5, "none")


def test_errors_are_plain_text_for_what_is_not_grpc(client, web):
    answer = client.run(_request, web("ok", port=444), "GET", "/")
    assert answer["headers"][":status"] == "503"
    assert answer["headers"]["content-type"].startswith("text/plain")
    assert answer["data"].startswith(b'sluice: group "nobody": connect to ')
    assert answer["data"].endswith(b"\n")
    assert int(answer["headers"]["content-length"]) == len(answer["data"])


def test_the_error_to_head_has_no_body(client, web):
    answer = client.run(_request, web("ok", port=444), "HEAD", "/")
    assert answer["headers"][":status"] == "503" and answer["data"] == b"" and answer["first_end"]


def test_errors_are_grpcs_for_grpc(lab, client, sluice):
    outcome = client.run(calls.unary, lab.target(port=444))
    assert outcome.code == 14 and "nobody" in outcome.details


@pytest.mark.parametrize("script,status,text", [
    (("reset", "INTERNAL_ERROR"), "502", b"reset the stream: INTERNAL_ERROR"),
    (("die",), "502", b"lost"),
    (("respond", [(":status", "200"), ("content-length", "7")]), "502", b"broke HTTP/2"),
    (("reset", "REFUSED_STREAM"), "503", b"refused the stream")])
def test_what_a_backend_does_wrong(client, web, script, status, text):
    answer = client.run(_request, web(*script), "GET", "/")
    assert answer["headers"][":status"] == status and text in answer["data"]


@pytest.mark.parametrize("script", [("fail_at", "halfway", "reset", "INTERNAL_ERROR"),
                                    ("fail_at", "answering", "close")])
def test_a_response_that_breaks_off_is_reset(client, web, script):
    answer = client.run(_request, web(*script), "POST", "/", b"x")
    assert answer["headers"][":status"] == "200" and answer["reset"] == "INTERNAL_ERROR"


def test_the_routes_words_hold(client, web):
    answer = client.run(_request, web("hang", port=446), "GET", "/slow")
    assert answer["headers"][":status"] == "504" and b"deadline" in answer["data"]
    answer = client.run(_request, web("ok", port=446), "GET", "/fixed")
    assert answer["headers"][":status"] == "404" and answer["data"] == b"no such thing\n"
    answers = [client.run(_request, web("respond", OK, port=446), "GET", "/limited")["headers"]
               for _ in range(3)]
    assert [a[":status"] for a in answers] == ["200", "429", "429"]
    assert 50 < int(answers[2]["retry-after"]) <= 60 and "grpc-retry-pushback-ms" not in answers[2]


def test_connect_is_not_served(client, web):
    answer = client.run(_connect, web("ok"))
    assert answer["headers"][":status"] == "501"


def _connect(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.headers(1, [(":method", "CONNECT"), (":authority", "sluice.test:443")], end=True)
    answer = connection.answer(1)
    connection.close()
    return {**answer, "frames": None}


def test_retries_by_code_are_for_grpc_only(client, web, raw):
    unavailable = [*GRPC, ("grpc-status", "14")]
    answer = client.run(_request, web("respond", unavailable, port=446), "GET", "/")
    assert answer["headers"]["grpc-status"] == "14" and len(raw.run(rawserver.requests)) == 1
    client.run(_request, web("respond", unavailable, port=446), "POST", "/", message(b""),
               [("content-type", "application/grpc"), ("te", "trailers")])
    assert len(raw.run(rawserver.requests)) == 2
    answer = client.run(_request, web("in_turn", ("reset", "INTERNAL_ERROR"),
                                      ("respond", OK, b"2nd"), port=446), "GET", "/")
    assert answer["data"] == b"2nd"


def test_a_grpc_group_still_wants_grpc(client, web, raw):
    answer = client.run(_request, web("respond", OK, port=447), "GET", "/other")
    assert answer["headers"][":status"] == "415" and b'group "plain"' in answer["data"]
    assert raw.run(rawserver.requests) == []
    answer = client.run(_request, web("respond", OK, b"1", port=447), "GET", "/web/1")
    assert answer["headers"][":status"] == "200"


def test_a_client_that_cancels_cancels_at_the_backend(client, web, raw):
    client.run(_cancel, web("headers_then_hang"))
    wait_for(lambda: [f["code"] for _, f in raw.run(rawserver.events, "RstStreamFrame")] ==
             ["CANCEL"], 3, "the backend's stream is cancelled")


def _cancel(address):
    """Once the backend has the request, which its response headers show."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.headers(1, [(":method", "GET"), (":scheme", "https"), (":path", "/"),
                           (":authority", "x")], end=True)
    connection.until(lambda f: f["kind"] == "HeadersFrame")
    connection.reset(1)
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & h2raw.ACK)


def test_curl_and_nghttpd(lab, client, daemon, tmp_path):
    """Other people's client and server."""
    tools = {t: shutil.which(t) for t in ("curl", "nghttpd")}
    if not all(tools.values()):
        pytest.skip(f"not installed: {[t for t, path in tools.items() if not path]}")
    if "HTTP2" not in subprocess.run(["curl", "-V"], capture_output=True, text=True,
                                     check=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    host = lab.world.backends[1]
    port = lab.world.port(50066)
    (tmp_path / "page").write_bytes(b"p" * 300000)
    server = subprocess.Popen([*host.enter(), "nghttpd", "--no-tls", "-a", host.address, "-d",
                               str(tmp_path), str(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        config = lab.config([], listeners=[], groups=[])
        lab.add_listener(config, 448, "files", [{"address": f"{host.address}:{port}"}],
                         protocol="http2")
        daemon(config, "off", healthy=False)
        url = f"https://{lab.world.lb.address}:{lab.world.port(448)}"
        curl = [*lab.world.client.enter(), "curl", "-sk", "--http2", "--max-time", "10"]
        wait_for(lambda: subprocess.run([*curl, "-o", "/dev/null", "-w", "%{http_code}",
                                         f"{url}/page"], capture_output=True, text=True,
                                        check=False).stdout == "200", 10, "nghttpd answers")
        got = subprocess.run([*curl, f"{url}/page"], capture_output=True, check=True).stdout
        assert got == b"p" * 300000
        head = subprocess.run([*curl, "-I", f"{url}/page"], capture_output=True, text=True,
                              check=True).stdout.lower()
        assert "content-length: 300000" in head and "http/2 200" in head
        assert "http/2 404" in subprocess.run([*curl, "-i", f"{url}/none"], capture_output=True,
                                              text=True, check=True).stdout.lower()
    finally:
        server.terminate()
        server.wait(10)
