# SPDX-License-Identifier: MIT
"""docs/COMING-FROM-ALB.md, done as it stands there: its file is checked and run, its commands are
given, with addresses and certificates of the lab."""
import re
import shlex
import subprocess
import time

import pytest

from harness import certs, languages
from harness.lab import REPO
from harness.proc import run, wait_for
from peers import calls

pytestmark = pytest.mark.l7

NAME = "greeter.example.com"
PAGE = (REPO / "docs" / "COMING-FROM-ALB.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def text(lab):
    """The page's file, with a certificate that is there."""
    certificate = certs.make(lab.folder, "ecdsa", "alb", NAME, names=(NAME,))
    return "".join(blocks("yaml")).replace("/etc/sluice/tls/chain.pem", certificate.chain) \
        .replace("/etc/sluice/tls/key.pem", certificate.key), certificate


def test_the_pages_file_is_accepted_without_a_warning(lab, text):
    path = lab.folder / "alb.yaml"
    path.write_text(text[0], encoding="utf-8")
    done = run(lab.build + "/sluiced", "--check", path, check=False)
    assert done.returncode == 0 and "warning" not in done.stdout + done.stderr, done.stdout


@pytest.fixture(scope="module")
def sluice(lab, daemons, text):
    """The page's file with grpc-go servers at its addresses, which are the lab's too."""
    if not lab.world.isolated:
        pytest.skip("the page's addresses are there in namespaces only")
    try:
        go = languages.language("go", lab.build)
    except languages.Unavailable as why:
        pytest.skip(str(why))
    servers = [subprocess.Popen([*host.enter(), *go.server(f"{host.address}:50051")],
                                stdin=subprocess.PIPE) for host in lab.world.backends]
    assert all(f"{host.address}:50051" in text[0] for host in lab.world.backends)
    sluice = daemons(lab.config([]), "off", start=False)
    own = "kernel: {mode: off}\ncontrol: {socket: %s}\n" % sluice.socket
    sluice.write(text[0] + own)
    sluice.start()
    sluice.grpcurl = go.folder / "grpcurl"
    yield sluice
    daemons.stop()
    for server in servers:
        server.stdin.close()
        server.wait(10)


@pytest.fixture
def give(lab, sluice, text):
    """Gives a command of the page, and returns what it printed."""
    def command(line):
        words = shlex.split(line.replace("/etc/sluice/sluice.yaml", str(sluice.config_path)))
        if words[0] == "sluiced":
            return run(lab.build + "/sluiced", *words[1:]).stdout
        if words[0] == "sluicectl":
            done = sluice.ctl.raw(*words[1:])
            assert done.returncode == 0, done.stderr
            return done.stdout
        assert words[0] == "grpcurl"
        words = [f"{lab.world.lb.address}:443" if w == f"{NAME}:443" else w for w in words[1:]]
        return lab.world.client.run(sluice.grpcurl, "-cacert", text[1].chain, "-authority", NAME,
                                    *words).stdout
    return command


def served(sluice, group):
    return sum(row["calls"] for row in sluice.backends(group))


@pytest.mark.interop
def test_the_pages_commands_do_what_it_says(sluice, give):
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    route = re.search(r"`(sluicectl route.*?)`", PAGE, re.S).group(1).replace("\n", " ")
    printed = {}
    for command in [*commands, route]:
        before = served(sluice, "canary")
        printed[command] = give(command)
        if "x-canary" in command and command.startswith("grpcurl"):
            wait_for(lambda: served(sluice, "canary") > before, 3, "the canary was called")
    listed = next(v for k, v in printed.items() if k.endswith(" list"))
    assert "grpc.health.v1.Health" in listed
    verbose = next(v for k, v in printed.items() if " -v " in k)
    assert '"status": "SERVING"' in verbose
    assert re.search(r"x-served-by: (greeter|canary)", verbose)
    assert "198.18.1.12:50051" in printed["sluicectl backends"]
    assert "testers" in printed[route] and "canary" in printed[route]


@pytest.mark.interop
def test_the_pages_fixed_response(lab, client, sluice, text):
    target = calls.Target(f"{lab.world.lb.address}:443", text[1].chain, NAME)
    outcome = client.run(_channelz, target)
    assert (outcome.code, outcome.details) == (7, "not from here")


def _channelz(target):
    began = time.monotonic()
    call = calls.channel(target).unary_unary("/grpc.channelz.v1.Channelz/GetServers").future(
        b"", timeout=10)
    call.exception()
    return calls.finish(call, began, [])
