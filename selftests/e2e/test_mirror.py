# SPDX-License-Identifier: MIT
"""Mirrors: copies of calls for another group. Whatever that group does, the calls themselves go on as
if it were not there: same bytes, same order, same status, no slower."""
import pytest

from harness.proc import wait_for
from peers import calls, load, rawserver

pytestmark = pytest.mark.l7

ALL, HALF, DEAD, HASHED, JUDGED = 443, 444, 445, 446, 447
MIB = 1 << 20
BEHAVIOURS = [("ok",), ("hang",), ("headers_then_hang",), ("reset", "INTERNAL_ERROR"),
              ("reset", "REFUSED_STREAM"), ("die",), ("goaway", 0), ("http", 500), ("no_status",),
              ("early_end", 0)]


@pytest.fixture(scope="module")
def shadow(lab):
    """The scripted backend of the mirror group."""
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-mirror")
    agent.address = f"{host.address}:{lab.world.port(50074)}"
    agent.run(rawserver.start, agent.address, "ok")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, shadow, mode):
    config = lab.config(backends)
    nobody = f"{lab.world.backends[2].address}:{lab.world.port(50075)}"
    config["groups"].append({"name": "shadow", "backends": [{"address": shadow.address}],
                             "connections": {"connect_timeout": "500ms"}})
    config["groups"].append({"name": "nobody", "backends": [{"address": nobody}]})
    config["groups"].append({"name": "hashed", "balance": "consistent_hash", "hash": "metadata:x-user",
                             "backends": [b.entry() for b in backends]})
    config["groups"].append({"name": "judged", "backends": [{"address": shadow.address},
                                                            backends[0].entry()],
                             "outlier_detection": {
                                 "consecutive_failures": 3,
                                 "ejection": {"base": "300ms", "share": "50%"}}})
    for port, mirror in ((ALL, {"group": "shadow", "share": "100%"}),
                         (HALF, {"group": "shadow", "share": "50%"}),
                         (DEAD, {"group": "nobody", "share": "100%"}),
                         (HASHED, {"group": "hashed", "share": "100%"}),
                         (JUDGED, {"group": "judged", "share": "100%"})):
        listener = config["listeners"][0] if port == ALL else \
            lab.add_listener(config, port, f"mirror-{port}", backends)
        listener["routes"] = [{"name": f"to-{port}", "group": listener.pop("group"),
                               "mirror": mirror}]
    config["workers"] = 1
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture(autouse=True)
def quiet(sluice, shadow):
    shadow.run(rawserver.script, "ok")
    yield
    shadow.run(rawserver.script, "ok")


def counters(sluice):
    worker = sluice.workers()[0]
    return worker["mirrored"], worker["mirror_dropped"]


def copies_under_way(sluice):
    return sum(r["active_rpcs"] for r in sluice.backends("shadow"))


def test_copy_is_whole_and_marked(lab, client, sluice, shadow, backends):
    mirrored, dropped = counters(sluice)
    payload = bytes(range(256)) * 100
    reply = client.run(calls.unary, lab.target(), payload=payload, timeout=20,
                       metadata=(("x-note", "kept"), ("sluice-mirror", "forged"))).reply
    assert reply["payload"] == payload
    assert "sluice-mirror" not in dict(reply["metadata"])
    wait_for(lambda: any(f.get("end") for _, f in shadow.run(rawserver.events)), 5, "it is whole")
    headers = shadow.run(rawserver.requests)
    assert len(headers) == 1
    assert [v for k, v in headers[0] if k == "sluice-mirror"] == ["1"]
    headers = dict(headers[0])
    assert headers["x-note"] == "kept" and headers[":path"] == "/sluice.test.Echo/Unary"
    assert headers[":authority"] and headers["grpc-timeout"]
    data = b"".join(f["data"] for _, f in shadow.run(rawserver.events, "DataFrame"))
    assert payload in data
    assert counters(sluice) == (mirrored + 1, dropped)


def all_kinds(client, target):
    """A call of each kind, with what must come of it whatever the mirror does."""
    payload = b"p" * 30000
    outcome = client.run(calls.unary, target, payload=payload)
    assert outcome.reply["payload"] == payload and outcome.seconds < 3, outcome
    requests = [{"payload": bytes([i]) * 5000} for i in range(20)]
    outcome = client.run(calls.client_stream, target, requests)
    assert outcome.reply["received"] == 20 and outcome.reply["received_bytes"] == 100000
    outcome = client.run(calls.server_stream, target, reply_count=20, payload=b"q" * 5000)
    assert outcome.code == 0 and [r["received"] for r in outcome.replies] == list(range(1, 21))
    outcome = client.run(calls.bidi, target, requests)
    assert outcome.code == 0
    assert [r["payload"] for r in outcome.replies] == [r["payload"] for r in requests]
    outcome = client.run(calls.unary, target, status=5, message="not here", fail_first=True)
    assert (outcome.code, outcome.details) == (5, "not here")
    assert client.run(calls.unary, target, sleep_ms=2000, timeout=0.2).code == 4


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda b: "-".join(map(str, b)))
def test_call_does_not_notice_what_its_mirror_does(lab, client, sluice, shadow, behaviour):
    shadow.run(rawserver.script, *behaviour)
    all_kinds(client, lab.target())


def test_call_does_not_notice_a_mirror_that_is_not_there(lab, client, sluice):
    before = counters(sluice)
    all_kinds(client, lab.target(port=DEAD))
    mirrored, dropped = counters(sluice)
    assert mirrored > before[0] and dropped > before[1]


def test_load_beside_a_hanging_mirror(lab, client, sluice, shadow):
    """Copies that hang are bounded: the calls are as fast as ever."""
    shadow.run(rawserver.script, "hang")
    client.run(load.start, "mirrored", lab.target(), threads=6, pause=0, timeout=5,
               payload=b"x" * 10000)
    wait_for(lambda: client.run(load.done, "mirrored") > 2000, 30, "load runs")
    assert copies_under_way(sluice) <= 1024
    report = client.run(load.finish, "mirrored")
    assert report.failures == []


def test_copy_over_its_bounds_is_given_up_and_counted(lab, client, sluice, shadow):
    """The mirror takes one window of it, and no more."""
    shadow.run(rawserver.script, "hang")
    _, dropped = counters(sluice)
    payload = b"z" * (2 * MIB)
    assert client.run(calls.unary, lab.target(), payload=payload).reply["payload"] == payload
    wait_for(lambda: counters(sluice)[1] == dropped + 1, 5, "the copy is given up")
    assert client.run(calls.unary, lab.target(), payload=b"after").reply["payload"] == b"after"


def test_copy_ends_with_its_original(lab, client, sluice, shadow):
    target = lab.target()
    wait_for(lambda: shadow.run(rawserver.drop_connections) or copies_under_way(sluice) == 0, 15,
             "earlier copies are over")
    shadow.run(rawserver.script, "hang")
    number = client.run(calls.open_bidi, target)
    client.run(calls.exchange, number, payload=b"x")
    wait_for(lambda: copies_under_way(sluice) == 1, 5, "the copy runs")
    client.run(calls.cancel, number)
    wait_for(lambda: [f["code"] for _, f in shadow.run(rawserver.events, "RstStreamFrame")] ==
             ["CANCEL"], 5, "the copy is cancelled")
    # A whole request may be answered a while longer, but not beyond its deadline.
    assert client.run(calls.unary, target, timeout=1).code == 0
    assert copies_under_way(sluice) == 1
    wait_for(lambda: copies_under_way(sluice) == 0, 4, "the copy is over")


def test_share_of_the_calls(lab, client, sluice, shadow):
    before = counters(sluice)[0]
    outcomes = client.run(calls.many, lab.target(port=HALF), 200)
    assert {o.code for o in outcomes} == {0}
    assert 60 <= counters(sluice)[0] - before <= 140
    rows = {r["name"]: r for r in sluice.ctl.json("routes")["routes"]}
    assert 60 <= rows[f"to-{HALF}"]["mirrored"] <= 140


def test_copies_go_by_the_key_of_their_own_group(lab, client, sluice):
    def copies(users):
        before = {r["address"]: r["calls"] for r in sluice.backends("hashed")}
        for user in users:
            assert client.run(calls.unary, lab.target(port=HASHED),
                              metadata=[("x-user", user)]).code == 0
        return sorted(r["calls"] - before[r["address"]] for r in sluice.backends("hashed"))

    few, many = copies([f"user-{i}" for i in range(40)])
    assert few > 5 and few + many == 40
    assert copies(["always-me"] * 10) == [0, 10]


@pytest.mark.parametrize("behaviour", [("respond", [*rawserver.HEADERS, ("grpc-status", "14")]),
                                       ("reset", "INTERNAL_ERROR"), ("http", 503), ("no_status",)],
                         ids=["status", "reset", "HTTP error", "no status"])
def test_what_copies_come_to_counts_in_their_group(lab, client, sluice, shadow, behaviour):
    """A mirror's backend is ejected like any other, and one copy that goes well brings it back."""
    target = lab.target(port=JUDGED)

    def is_out():
        assert client.run(calls.unary, target).code == 0
        return next(r["ejected"] for r in sluice.backends("judged")
                    if r["address"] == shadow.address) != ""

    shadow.run(rawserver.script, *behaviour)
    wait_for(is_out, 10, "it is ejected")
    shadow.run(rawserver.script, "ok")
    wait_for(lambda: not is_out(), 10, "it is back")
