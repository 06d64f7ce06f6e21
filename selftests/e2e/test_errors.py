# SPDX-License-Identifier: MIT
"""What a client is told when a backend refuses, resets, goes away, or is none; and what is replayed
on another backend."""
import pytest

from harness.proc import wait_for
from peers import calls, h2raw, rawserver

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def raw(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-errors")
    agent.address = f"{host.address}:{lab.world.port(50052)}"
    agent.run(rawserver.start, agent.address, "ok")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, mode):
    """443: scripted backend only; 444: scripted and good; 445: nobody listens there; 446: nobody
    and good."""
    nobody = {"address": f"{raw.address.rpartition(':')[0]}:{lab.world.port(50099)}"}
    groups = {443: ("raw", [{"address": raw.address}]),
              444: ("mixed", [{"address": raw.address}, backends[0].entry()]),
              445: ("nobody", [nobody]),
              446: ("half", [nobody, backends[0].entry()])}
    config = lab.config(backends, listeners=[], groups=[])
    for port, (name, members) in groups.items():
        lab.add_listener(config, port, name, members)
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def scripted(lab, sluice, raw):
    """Sets the script and returns the address of the listener in front of it alone."""
    raw.run(rawserver.script, "ok")
    return lab.world.lb.address, lab.world.port(443)


def _call(address, **changes):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    answer = connection.call(**changes)
    answer.pop("frames")
    connection.close()
    return answer


def status_of(answer):
    return answer["trailers"] and answer["trailers"].get("grpc-status")


MAPPING = {"NO_ERROR": 13, "PROTOCOL_ERROR": 13, "INTERNAL_ERROR": 13, "FLOW_CONTROL_ERROR": 13,
           "SETTINGS_TIMEOUT": 13, "FRAME_SIZE_ERROR": 13, "CANCEL": 1, "COMPRESSION_ERROR": 13,
           "CONNECT_ERROR": 13, "ENHANCE_YOUR_CALM": 8, "INADEQUATE_SECURITY": 7}


@pytest.mark.parametrize("code", MAPPING)
def test_backend_reset_is_answered_with_the_mapped_status(client, scripted, raw, code):
    raw.run(rawserver.script, "reset", code)
    answer = client.run(_call, scripted)
    assert answer["headers"][":status"] == "200"
    assert answer["headers"]["content-type"].startswith("application/grpc")
    assert status_of(answer) == str(MAPPING[code])
    assert answer["trailers"]["grpc-message"]


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "CANCEL", "ENHANCE_YOUR_CALM"])
def test_backend_reset_after_headers_keeps_what_came_and_maps(client, scripted, raw, code):
    raw.run(rawserver.script, "reset_after_headers", code)
    answer = client.run(_call, scripted)
    assert answer["headers"][":status"] == "200"
    if answer["reset"]:
        assert answer["reset"] == code
    else:
        assert status_of(answer) == str(MAPPING[code])


def test_a_call_that_was_reset_is_not_sent_again(lab, client, sluice, raw, backends):
    raw.run(rawserver.script, "reset", "INTERNAL_ERROR")
    before = backends[0].count().get("calls", 0)
    statuses = [status_of(client.run(_call, (lab.world.lb.address, lab.world.port(444))))
                for _ in range(10)]
    seen = len(raw.run(rawserver.requests))
    assert statuses.count("13") == seen > 0
    assert backends[0].count()["calls"] - before == 10 - seen


def test_refused_stream_is_replayed_on_another_backend(lab, client, sluice, raw, backends):
    raw.run(rawserver.script, "reset", "REFUSED_STREAM")
    before = backends[0].count().get("calls", 0)
    outcomes = client.run(_several, lab.target(port=444), 20)
    assert outcomes == [(0, b"replayed")] * 20
    assert backends[0].count()["calls"] - before == 20
    assert len(raw.run(rawserver.requests)) >= 1


def _several(target, how_many):
    outcomes = [calls.unary(target, payload=b"replayed") for _ in range(how_many)]
    return [(o.code, o.replies[0]["payload"] if o.replies else o.details) for o in outcomes]


def test_refused_everywhere_is_unavailable(client, scripted, raw):
    raw.run(rawserver.script, "reset", "REFUSED_STREAM")
    assert status_of(client.run(_call, scripted)) == "14"


def test_streams_above_goaways_last_id_are_replayed(lab, client, sluice, raw):
    raw.run(rawserver.script, "goaway", 3)
    outcomes = client.run(_several, lab.target(port=444), 40)
    assert outcomes == [(0, b"replayed")] * 40 or \
        {o[0] for o in outcomes} == {0}


def test_a_call_that_goaway_covers_is_finished(client, scripted, raw):
    raw.run(rawserver.script, "goaway_then_finish")
    assert [status_of(client.run(_call, scripted)) for _ in range(3)] == ["0"] * 3


def test_connection_lost_in_the_middle_is_unavailable_once(client, scripted, raw):
    raw.run(rawserver.script, "die")
    answer = client.run(_call, scripted)
    assert status_of(answer) == "14"
    assert len(raw.run(rawserver.requests)) == 1  # it may have been processed: never sent again


def test_no_backend_is_unavailable_and_names_the_group(lab, client, sluice):
    outcome = client.run(calls.unary, lab.target(port=445), timeout=10)
    assert outcome.code == 14
    assert "nobody" in outcome.details
    assert outcome.seconds < 5


def test_refused_connect_is_replayed_on_another_backend(lab, client, sluice):
    outcomes = client.run(_several, lab.target(port=446), 30)
    assert outcomes == [(0, b"replayed")] * 30


def test_big_streaming_call_survives_a_refused_connect(lab, client, sluice):
    target = lab.target(port=446)
    for _ in range(4):
        outcome = client.run(calls.client_stream, target, [{"payload": bytes(100000)}] * 20)
        assert outcome.code == 0 and outcome.reply["received"] == 20


@pytest.mark.parametrize("changes", [
    {"replace": {"content-type": "application/json"}}, {"drop": ["content-type"]},
    {"replace": {"content-type": "application/grpc-web"}},
    {"replace": {":method": "GET"}, "drop": ["content-type"]}])
def test_what_is_not_grpc_gets_415(client, scripted, raw, changes):
    answer = client.run(_call, scripted, **changes)
    assert answer["headers"][":status"] == "415"
    assert raw.run(rawserver.requests) == []


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto",
                                          "application/grpc;charset=utf-8"])
def test_every_form_of_grpcs_content_type_passes(client, scripted, raw, content_type):
    answer = client.run(_call, scripted, replace={"content-type": content_type})
    assert status_of(answer) == "0"
    (request,) = raw.run(rawserver.requests)
    assert dict(request)["content-type"] == content_type


@pytest.mark.parametrize("http,grpc", [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14),
                                       (502, 14), (503, 14), (504, 14), (500, 2), (418, 2)])
def test_http_error_of_a_backend_becomes_a_grpc_status(client, scripted, raw, http, grpc):
    raw.run(rawserver.script, "http", http)
    answer = client.run(_call, scripted)
    assert answer["headers"][":status"] == "200"
    assert status_of(answer) == str(grpc)
    assert b"html" not in answer["data"]


def test_answer_without_a_status_is_unknown(client, scripted, raw):
    raw.run(rawserver.script, "no_status")
    assert status_of(client.run(_call, scripted)) in ("2", "13")


def test_trailers_only_stays_trailers_only(client, scripted, raw):
    raw.run(rawserver.script, "trailers_only", 7, "not%20you")
    answer = client.run(_call, scripted)
    assert answer["headers"] == answer["trailers"]
    assert (status_of(answer), answer["trailers"]["grpc-message"]) == ("7", "not%20you")


def _still_sending(address):
    """Sends messages without end until the answer is here."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request()
    connection.data(1, h2raw.message(b"first"))
    answer = connection.answer(1)
    answer["after"] = [f["code"] for f in connection.until(
        lambda f: f["kind"] == "RstStreamFrame", 2) if f["kind"] == "RstStreamFrame"]
    answer.pop("frames")
    return answer


def test_early_end_reaches_the_client_whole(client, scripted, raw):
    raw.run(rawserver.script, "early_end", 8)
    answer = client.run(_still_sending, scripted)
    assert answer["trailers"]["grpc-status"] == "8"
    assert answer["trailers"]["grpc-message"] == "enough"
    assert answer["trailers"]["trail-end"] == "whole"
    assert answer["after"] == ["NO_ERROR"]


def _slow_reader(address):
    """Still sending, and reads 10 kB at a time."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello(window=10000)
    connection.request()
    connection.data(1, h2raw.message(b"first"))
    got, trailers = 0, None
    while trailers is None:
        frame = connection.next()
        assert frame is not None and frame["kind"] != "RstStreamFrame", frame
        if frame["kind"] == "DataFrame" and frame["data"]:
            got += len(frame["data"])
            connection.credit(1, len(frame["data"]))
            connection.credit(0, len(frame["data"]))
        elif frame["kind"] == "HeadersFrame" and frame["end"]:
            trailers = dict(frame["headers"])
    connection.close()
    return got, trailers


def test_early_end_reaches_a_slow_reader_whole(client, scripted, raw):
    """All of what the backend sent before its RST_STREAM NO_ERROR, long after that came."""
    raw.run(rawserver.script, "early_end", 0, 60000)
    got, trailers = client.run(_slow_reader, scripted)
    assert got == 60005 and trailers["trail-end"] == "whole" and trailers["grpc-status"] == "0"


def test_request_headers_as_the_backend_sees_them(lab, client, scripted, raw):
    client.run(_call, scripted, add=[("x-forwarded-for", "203.0.113.9"), ("a", "1"), ("a", "2"),
                                     ("grpc-encoding", "identity"), ("b-bin", "AAE=")])
    (request,) = raw.run(rawserver.requests)
    seen = dict(request)
    assert seen[":authority"] == "sluice.test"
    assert seen[":method"] == "POST" and seen[":path"] == "/sluice.test.Echo/Unary"
    assert seen["te"] == "trailers"
    assert [v for k, v in request if k == "a"] == ["1", "2"]
    assert seen["b-bin"] == "AAE=" and seen["grpc-encoding"] == "identity"
    assert seen["x-forwarded-proto"] == "https"
    # No proxy in front is trusted, so what the client says of others is not passed on.
    assert [v for k, v in request if k == "x-forwarded-for"] == [lab.world.client.address]


def test_backend_that_vanishes_while_idle_costs_no_call(client, scripted, raw):
    assert status_of(client.run(_call, scripted)) == "0"
    raw.run(rawserver.drop_connections)
    wait_for(lambda: raw.run(rawserver.open_connections) == 0, 3, "connections are closed")
    assert [status_of(client.run(_call, scripted)) for _ in range(5)] == ["0"] * 5


def _no_message(address, in_headers):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request(end=in_headers)
    if not in_headers:
        connection.data(1, b"", end=True)
    answer = connection.answer(1)
    answer.pop("frames")
    return answer


@pytest.mark.parametrize("in_headers", [True, False])
def test_request_without_a_message_ends_with_an_empty_data_frame(client, scripted, raw,
                                                                  in_headers):
    """As gRPC demands; grpc-go's server waits for ever for it."""
    for _ in range(5):
        raw.run(rawserver.script, "ok")
        raw.run(rawserver.drop_connections)
        assert status_of(client.run(_no_message, scripted, in_headers)) == "0"
        frames = [f for _, f in raw.run(rawserver.events)
                  if f["kind"] in ("HeadersFrame", "DataFrame")]
        assert [(f["kind"], f["end"]) for f in frames] == [("HeadersFrame", False),
                                                           ("DataFrame", True)]
