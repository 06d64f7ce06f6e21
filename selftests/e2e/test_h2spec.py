# SPDX-License-Identifier: MIT
"""h2spec against a listener whose group speaks plain HTTP/2, and h2specd's misbehaving servers as
backends: the HTTP/2 conformance suite, both sides."""
import json
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from harness import languages
from harness.lab import HERE

pytestmark = [pytest.mark.l7, pytest.mark.interop]

SERVER_CASES = 145
CLIENT_CASES = 57
CLIENT_PORTS = 30000  # h2specd's, one a case
LISTENER_PORTS = 31000
SOON = 2.5  # seconds
# Frames on streams that are over: the suite wants the connection ended, which would take the other
# calls with it; here they are answered with RST_STREAM.
BORNE = {"closed: Sends a DATA frame", "closed: Sends a HEADERS frame"}


@pytest.fixture(scope="module")
def tools(lab):
    try:
        return languages.language("go", lab.build).folder
    except languages.Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def nghttpd(lab, tools):
    """A backend that answers GET and POST on / with a body: its address."""
    host, root = lab.world.backends[0], lab.folder / "h2spec-root"
    root.mkdir()
    (root / "index.html").write_text("x" * 1000 + "\n", encoding="ascii")
    port = lab.world.port(8080)
    with open(lab.folder / "nghttpd.log", "ab") as log:
        process = subprocess.Popen(
            [*host.enter(), "setpriv", "--pdeathsig", "KILL", "nghttpd", "--no-tls",
             f"--address={host.address}", "-d", root, str(port)], stdout=log, stderr=log)
    yield f"{host.address}:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def sluice(lab, daemons, nghttpd):
    """443: h2spec's; from LISTENER_PORTS on: one for each of h2specd's servers."""
    config = lab.config([], workers=1, log={"level": "error"}, listeners=[], groups=[])
    lab.add_listener(config, 443, "plain", [{"address": nghttpd}], protocol="http2")
    host = lab.world.backends[0].address
    for i in range(CLIENT_CASES if lab.world.isolated else 0):
        lab.add_listener(config, LISTENER_PORTS + i, f"case-{i}",
                         [{"address": f"{host}:{CLIENT_PORTS + i}"}], protocol="http2")
    yield daemons(config, "off")
    daemons.stop()


def test_h2spec(lab, tools, sluice):
    """Every case of the suite for servers, by name."""
    report = lab.folder / "h2spec.xml"
    done = lab.world.client.run(
        tools / "h2spec", "-t", "-k", "-h", lab.world.lb.address, "-p", lab.world.port(443), "-o", 2,
        "-j", report, timeout=300, check=False)
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    bad = [f"{c.get('package')} {c.get('classname')}" for c in cases if len(c)]
    assert not bad, done.stdout[-6000:]
    assert len(cases) == SERVER_CASES


def _h2specd(lab, tools):
    """One run: (mark, case) of each verdict, what became of each call, the whole output."""
    outcomes = lab.folder / "h2specd.outcomes"
    outcomes.write_text("")
    call = [*lab.world.client.enter(), sys.executable, HERE / "peers" / "h2specd_call.py",
            lab.world.lb.address, LISTENER_PORTS - CLIENT_PORTS, outcomes]
    host = lab.world.backends[0]
    done = host.run(tools / "h2specd", "-h", host.address, "-o", 2, "-f", CLIENT_PORTS,
                    "-e", " ".join(map(str, call)), timeout=300, check=False)
    text = re.sub(r"\x1b\[[0-9;]*m|accept tcp .*\n", "", done.stdout)
    verdicts = re.findall(r"^ +([✔×]) \d+: (.*)$", text.partition("Failures:")[0], re.M)
    seen = [json.loads(line) for line in outcomes.read_text(encoding="ascii").splitlines()]
    return verdicts, seen, text


def test_h2specd(lab, tools, sluice):
    """Every case of the suite for clients: a call through sluice to each of its servers, none of
    which may hang it; and what h2specd thinks of how it was treated, the better of two runs, as
    it waits two seconds at most."""
    if not lab.world.isolated:
        pytest.skip("h2specd's ports are fixed: only in namespaces")
    pids = {w["pid"] for w in sluice.workers()}
    wrong = None
    for _ in range(2):
        verdicts, seen, text = _h2specd(lab, tools)
        assert [o for o in seen if o["hang"] or o["seconds"] > SOON] == []
        assert [o for o in seen if o["status"] not in ("200", "502", "503")] == []
        assert {w["pid"] for w in sluice.workers()} == pids
        wrong = {name for mark, name in verdicts if mark == "×"} - BORNE
        if not wrong and len(seen) == len(verdicts) == CLIENT_CASES:
            return
    assert not wrong and len(seen) == len(verdicts) == CLIENT_CASES, text[-4000:]
