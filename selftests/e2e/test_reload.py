# SPDX-License-Identifier: MIT
"""Reload swaps everything in place, all or nothing, and no running call notices."""
import copy
import shutil
import signal
import ssl
import time

import pytest

from harness import certs
from harness.lab import Backend
from harness.proc import wait_for
from peers import calls, h2raw, load

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def third(lab):
    backend = Backend(lab, lab.world.backends[2])
    yield backend
    backend.kill()


@pytest.fixture(scope="module")
def original(lab, backends):
    return lab.config(backends)


@pytest.fixture(scope="module")
def shared(lab, daemons, original, mode):
    yield daemons(original, mode)
    daemons.stop()


@pytest.fixture
def sluice(shared, original):
    """The file's daemon, with the config it began with."""
    yield shared
    for part in ("listeners", "groups"):
        shared.config[part] = copy.deepcopy(original[part])
    shared.reload()
    shared.wait_healthy()


@pytest.fixture
def target(lab, request):
    return lab.target(tag=request.node.nodeid)


def revision(sluice):
    return sluice.ctl.json("status")["revision"]


def sighup(sluice):
    """A reload by signal, waited for."""
    before = revision(sluice)
    sluice.write()
    sluice.signal(signal.SIGHUP)
    wait_for(lambda: revision(sluice) > before, 5, lambda: f"reloaded: {sluice.log()[-1500:]}")


def _names(target, how_many=30):
    return {calls.unary(target).reply["backend"] for _ in range(how_many)}


def test_backends_come_go_and_change_weight_under_load_without_a_failed_call(
        lab, client, sluice, target, backends, third):
    held = client.run(calls.open_bidi, target)
    client.run(calls.exchange, held, payload=b"x")
    client.run(load.start, "hup", target)
    entries = {b.name: b.entry() for b in (*backends, third)}
    steps = [["be1", "be2", "be3"], ["be1", "be3"], ["be3"], ["be2"], ["be1", "be2"],
             ["be2", "be1"], ["be1", "be2", "be3"]]
    for number, step in enumerate(steps):
        sluice.group()["backends"] = [dict(entries[n], weight=(number * 37 + i * 11) % 100 + 1)
                                      for i, n in enumerate(step)]
        sighup(sluice)
        done = client.run(load.done, "hup")
        wait_for(lambda: client.run(load.done, "hup") > done + 50, 10, "load goes on")
        assert client.run(_names, lab.target(tag=f"step-{number}")) <= set(step)
    report = client.run(load.finish, "hup")
    assert not report.failures, report.failures[:5]
    assert set(report.by_backend) == {"be1", "be2", "be3"}
    assert client.run(calls.exchange, held, payload=b"y")["received"] == 2
    assert client.run(calls.end, held).code == 0


def test_new_weights_hold_for_the_next_calls(lab, client, sluice, target, backends):
    sluice.group()["backends"] = [backends[0].entry(90), backends[1].entry(10)]
    sluice.reload()
    names = [o.reply["backend"] for o in client.run(calls.many, target, 100)]
    assert names.count("be1") == 90


def test_running_stream_keeps_the_backend_that_is_removed(lab, client, sluice, target, backends):
    held = client.run(calls.open_bidi, target)
    name = client.run(calls.exchange, held, payload=b"x")["backend"]
    sluice.group()["backends"] = [b.entry() for b in backends if b.name != name]
    sluice.reload()
    for i in range(20):
        reply = client.run(calls.exchange, held, payload=b"y")
        assert (reply["backend"], reply["received"]) == (name, i + 2)
    assert client.run(_names, target).isdisjoint({name})
    assert client.run(calls.end, held).code == 0


@pytest.mark.parametrize("broken", [
    "listeners: [", "listeners:\n- {name: x, adress: 1}\n", "", "\xff\xfe"])
def test_refused_reload_leaves_everything(client, sluice, target, broken):
    before = revision(sluice)
    pids = {w["pid"] for w in sluice.workers()}
    sluice.config_path.write_bytes(broken.encode("latin-1"))
    done = sluice.ctl.raw("reload")
    assert done.returncode == 1
    assert "sluice.yaml" in done.stdout + done.stderr
    assert revision(sluice) == before
    assert client.run(calls.unary, target).code == 0
    assert {w["pid"] for w in sluice.workers()} == pids
    sluice.write()


def test_reload_that_cannot_listen_is_refused_whole(lab, client, sluice, target, backends):
    """The new listener's address is not ours, so nothing of the new file holds."""
    listener = lab.add_listener(sluice.config, 447, "elsewhere", backends)
    listener["address"] = "198.18.77.77:447"
    sluice.group()["backends"] = [backends[0].entry()]
    sluice.write()
    assert sluice.ctl.raw("reload").returncode == 1
    assert [r["name"] for r in sluice.ctl.json("listeners")["listeners"]] == ["echo"]
    assert client.run(_names, target) == {"be1", "be2"}


def test_listener_added_and_removed(lab, client, sluice, backends):
    assert client.run(calls.unary, lab.target(port=447, tag="early"), timeout=2).code == 14
    target = lab.target(port=447, tag="added")
    lab.add_listener(sluice.config, 447, "added", [backends[1]])
    sluice.reload()
    assert client.run(_names, target) == {"be2"}
    held = client.run(calls.open_bidi, target)
    client.run(calls.exchange, held, payload=b"x")
    sluice.config["listeners"].pop()
    sluice.config["groups"].pop()
    sluice.reload()
    assert client.run(calls.exchange, held, payload=b"still")["received"] == 2
    assert client.run(calls.end, held).code == 0
    assert client.run(_refused, (lab.world.lb.address, lab.world.port(447)))
    assert client.run(calls.unary, lab.target(tag="still")).code == 0


def test_listener_that_goes_under_load_fails_no_call_it_took(lab, client, sluice, backends):
    """Between the removal and the moment the client knows (GOAWAY), calls are on their way."""
    target = lab.target(port=448, tag="goes")
    alive = copy.deepcopy(sluice.config)
    lab.add_listener(alive, 448, "goes", backends)
    without = copy.deepcopy(sluice.config)
    for round_ in range(4):
        sluice.config = copy.deepcopy(alive)
        sluice.reload()
        client.run(load.start, f"goes{round_}", target, pause=0)
        wait_for(lambda: client.run(load.done, f"goes{round_}") > 30, 10, "load runs")
        sluice.config = copy.deepcopy(without)
        sluice.reload()
        failures = client.run(load.finish, f"goes{round_}").failures
        # Afterwards nobody listens there: the client's own words, not sluice's.
        assert not [f for f in failures if "sluice" in f[3]], failures[:5]


def _refused(address):
    import socket
    try:
        socket.create_connection(address, 3).close()
    except ConnectionRefusedError:
        return True
    return False


def _common_name(address):
    from cryptography import x509
    connection = h2raw.Client(address, h2raw.tls_context())
    der = connection.sock.getpeercert(binary_form=True)
    connection.close()
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


def test_certificate_is_swapped_for_new_connections(lab, client, sluice, target):
    address = (lab.world.lb.address, lab.world.port(443))
    held = client.run(calls.open_bidi, target)
    client.run(calls.exchange, held, payload=b"x")
    files = sluice.folder / "swapped"
    files.mkdir(exist_ok=True)
    certificate = certs.make(files, common_name="second")
    sluice.config["listeners"][0]["certificate"] = certificate._asdict()
    sluice.reload()
    assert client.run(_common_name, address) == "CN=second"
    # The same files with other contents: the paths need not change.
    for new, old in zip(certs.make(files, "rsa", name="third", common_name="third"), certificate):
        shutil.copy(new, old)
    sluice.reload()
    assert client.run(_common_name, address) == "CN=third"
    assert client.run(calls.exchange, held, payload=b"y")["received"] == 2
    assert client.run(calls.end, held).code == 0


def test_key_that_does_not_match_is_refused_and_the_old_pair_stays(lab, client, sluice):
    address = (lab.world.lb.address, lab.world.port(443))
    before = client.run(_common_name, address)
    sluice.config["listeners"][0]["certificate"] = {
        "chain": lab.certificate.chain, "key": lab.rsa_certificate.key}
    sluice.write()
    done = sluice.ctl.raw("reload")
    assert done.returncode == 1 and "key" in done.stdout + done.stderr
    assert client.run(_common_name, address) == before
    sluice.config["listeners"][0]["certificate"] = lab.certificate._asdict()
    sluice.write()


def test_sessions_resume_after_a_reload(lab, client, sluice):
    address = (lab.world.lb.address, lab.world.port(443))
    client.run(_keep_session, address)
    sluice.reload()
    assert client.run(_resume, address)


_kept = {}


def _keep_session(address):
    _kept["context"] = h2raw.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
    connection = h2raw.Client(address, _kept["context"]).hello()
    connection.call()
    _kept["session"] = connection.sock.session


def _resume(address):
    connection = h2raw.Client(address, _kept["context"], session=_kept["session"])
    return connection.sock.session_reused


def test_limits_change_for_new_connections(lab, client, sluice):
    address = (lab.world.lb.address, lab.world.port(443))
    assert client.run(_announced_streams, address) == 128
    sluice.config["listeners"][0]["limits"] = {"streams": 7}
    sluice.reload()
    assert client.run(_announced_streams, address) == 7


def _announced_streams(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    seen = connection.until(lambda f: f["kind"] == "SettingsFrame" and not f["flags"] & 1)
    return seen[-1]["values"].get(3)


def test_twenty_reloads_in_a_row_settle_on_the_last(lab, client, sluice, target, backends):
    before = revision(sluice)
    for i in range(20):
        sluice.group()["backends"] = [backends[i % 2].entry()]
        sluice.write()
        sluice.signal(signal.SIGHUP)
        time.sleep(0.01)  # a burst, as from a tool that writes the file again and again
    wait_for(lambda: revision(sluice) > before and len(sluice.backends()) == 1 and
             sluice.backends()[0]["address"] == backends[1].address, 10,
             lambda: f"the last config holds: {sluice.backends()}")
    assert client.run(_names, target) == {"be2"}
    assert len(sluice.workers()) == 2


def test_no_descriptor_is_left_by_reloads(lab, client, sluice, backends):
    def descriptors():
        import os
        return [len(os.listdir(f"/proc/{pid}/fd"))
                for pid in (sluice.process.pid, *sorted(sluice.children()))]

    sluice.reload()
    before = descriptors()
    for _ in range(10):
        lab.add_listener(sluice.config, 448, "more", backends)
        sluice.reload()
        sluice.config["listeners"].pop()
        sluice.config["groups"].pop()
        sluice.reload()
    wait_for(lambda: all(now <= was + 1 for now, was in zip(descriptors(), before)), 5,
             lambda: f"descriptors go back: {before} then {descriptors()}")
