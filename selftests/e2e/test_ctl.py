# SPDX-License-Identifier: MIT
"""sluicectl and sluiced's command lines: every command, tables and JSON, exit codes."""
import grp
import json
import os
import pathlib
import pwd
import re
import signal
import subprocess
import time

import pytest

from harness.lab import REPO
from harness.proc import run, wait_for
from peers import calls, load

pytestmark = pytest.mark.l7

COMMANDS = ["status", "listeners", "routes", "groups", "backends", "workers", "verdicts"]


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    yield daemons(lab.config(backends), mode)
    daemons.stop()


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path + "[]")
    else:
        yield path, value


@pytest.mark.parametrize("command", COMMANDS)
def test_json_parses_and_numbers_are_numbers(sluice, command):
    document = sluice.ctl.json(command)
    assert isinstance(document, dict)
    for path, value in leaves(document):
        assert not (isinstance(value, str) and value.isdigit()), (path, value)


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_are_for_people(sluice, command):
    done = sluice.ctl.raw(command)
    assert done.returncode == 0
    assert (done.stdout + done.stderr).strip() and not done.stdout.startswith("{")
    assert all(len(line) < 200 for line in done.stdout.splitlines())


def test_options_may_stand_after_the_command(sluice):
    done = run(sluice.ctl.path, "status", "--json", "--socket", sluice.socket)
    assert json.loads(done.stdout)["state"] == "running"


def test_status_counts_connections_and_calls(lab, client, sluice, mode):
    before = sluice.ctl.json("status")
    assert client.run(calls.unary, lab.target(tag="status")).code == 0
    client.run(load.start, "status", lab.target(tag="load"))
    wait_for(lambda: sluice.ctl.json("status")["calls_per_second"] > 5, 10, "calls a second")
    report = client.run(load.finish, "status")
    after = sluice.ctl.json("status")
    assert after["calls"] - before["calls"] == report.done + 1
    assert after["connections_accepted"] > before["connections_accepted"]
    assert after["connections"] >= 1
    (group,) = after["groups"]
    assert (group["live"], group["total"]) == (2, 2)
    assert after["kernel"]["mode"] == ("off" if mode == "off" else "on")
    table = sluice.ctl.raw("status").stdout
    assert "echo" in table and ("front0" in table) == (mode != "off")


def test_verdicts_count_what_passed(client, lab, sluice, mode):
    if mode == "off":
        assert sluice.ctl.json("verdicts")["verdicts"] == []
        assert "kernel side is off" in sluice.ctl.raw("verdicts").stderr
        return
    before = sluice.verdicts()["pass_new"]
    assert client.run(calls.unary, lab.target(tag="verdicts")).code == 0
    assert sluice.verdicts()["pass_new"] == before + 1
    assert sluice.verdicts()["pass_established"] > 0


@pytest.mark.parametrize("arguments,status", [
    ([], 2), (["nonsense"], 2), (["--nonsense"], 2), (["status", "extra"], 2), (["check"], 2),
    (["--help"], 0), (["--version"], 0), (["check", "/nonexistent/sluice.yaml"], 1)])
def test_exit_codes(lab, sluice, arguments, status):
    done = sluice.ctl.raw(*arguments)
    assert done.returncode == status, done
    assert (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_cannot_be_written_is_a_failure(sluice, options):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([sluice.ctl.path, "--socket", sluice.socket, *options, "status"],
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=20,
                              check=False)
    assert done.returncode == 1 and "cannot write" in done.stderr, done


def test_stuck_daemon_is_not_waited_for_without_end(sluice):
    sluice.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = sluice.ctl.raw("status")
        assert done.returncode == 1 and "stuck" in done.stderr, done
        assert time.monotonic() - began < 10
    finally:
        sluice.signal(signal.SIGCONT)


@pytest.mark.parametrize("command", [*COMMANDS, "reload"])
def test_daemon_that_is_not_running_is_said_clearly(lab, command):
    path = os.path.join(lab.build, "sluicectl")
    for options in ([], ["--json"]):
        done = run(path, "--socket", lab.folder / "nobody.sock", *options, command, check=False)
        assert done.returncode == 1
        assert "not running" in done.stderr and "nobody.sock" in done.stderr


def test_socket_is_for_root_and_the_group(lab, daemon, sluice, backends, mode):
    assert os.stat(sluice.socket).st_mode & 0o777 in (0o600, 0o660)  # as there is a group sluice
    if os.geteuid() != 0:
        return
    config = lab.config(backends, runtime={"user": "daemon", "group": "daemon"})
    config["listeners"][0]["address"] = f"127.0.0.1:{lab.world.port(9443)}"
    named = daemon(config, "off")
    status = os.stat(named.socket)
    assert (status.st_mode & 0o777, grp.getgrgid(status.st_gid).gr_name) == (0o660, "daemon")
    for pid in named.children():
        assert os.stat(f"/proc/{pid}").st_uid in (0, pwd.getpwnam("daemon").pw_uid)


def test_reload_says_what_happened(sluice):
    done = sluice.ctl.raw("reload")
    assert done.returncode == 0 and done.stdout.strip()
    before = sluice.ctl.json("status")["revision"]
    assert sluice.ctl.json("reload")["revision"] == before + 1
    sluice.write("workers: many\n")
    done = sluice.ctl.raw("--json", "reload")
    assert done.returncode == 1
    assert ":1:10:" in done.stdout + done.stderr
    sluice.write()


BROKEN = [
    ("workers: 2\nlistners: []\n", ":2:1:", "listeners"),
    ("workers: [1\n", ":2:", ""),
    ("", ":1:1:", "nothing in the file"),
    ("workers: 0x\n", ":1:10:", "workers"),
]


@pytest.mark.parametrize("text,place,word", BROKEN)
def test_check_says_where_and_what(lab, sluice, text, place, word):
    path = sluice.folder / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    for argv in ([os.path.join(lab.build, "sluiced"), "--check", path],
                 [sluice.ctl.path, "check", path]):
        done = run(*argv, check=False)
        assert done.returncode == 1
        output = done.stdout + done.stderr
        assert f"broken.yaml{place}" in output and word in output


def test_check_accepts_what_runs_and_changes_nothing(lab, sluice):
    before = sluice.ctl.json("status")["revision"]
    for argv in ([os.path.join(lab.build, "sluiced"), "--check", sluice.config_path],
                 [sluice.ctl.path, "check", sluice.config_path]):
        assert lab.world.lb.run(*argv, check=False).returncode == 0
    assert sluice.ctl.json("status")["revision"] == before


def test_start_with_a_broken_config_prints_every_error_and_exits_1(lab, sluice):
    path = sluice.folder / "broken.yaml"
    path.write_text("workers: many\nlisteners: 5\ngroups: []\n", encoding="utf-8")
    done = run(os.path.join(lab.build, "sluiced"), "--config", path, check=False)
    assert done.returncode == 1
    assert all(f"broken.yaml:{line}:" in done.stderr for line in (1, 2, 3)), done.stderr


def test_json_logs_are_json_from_the_first_line(lab, daemon, backends):
    config = lab.config(backends, log={"format": "json"})
    config["listeners"][0]["new_connections"] = "5/s"  # a warning: no effect without the kernel
    records = [json.loads(line) for line in daemon(config, "off").log().splitlines()]
    assert any("no effect" in r.get("report", "") and r["level"] == "warn" for r in records)


@pytest.mark.parametrize("noise", [
    pytest.param("[" * 100000, id="brackets"), pytest.param("{a: " * 100000, id="braces"),
    pytest.param("\0" * 1000, id="zeros"), pytest.param("- " * 100000, id="dashes")])
def test_hostile_files_are_refused_quickly(lab, sluice, noise):
    path = sluice.folder / "noise.yaml"
    path.write_text(noise, encoding="utf-8")
    began = time.monotonic()
    done = run(os.path.join(lab.build, "sluiced"), "--check", path, check=False)
    assert done.returncode == 1 and "noise.yaml:1:" in done.stdout
    assert time.monotonic() - began < (5 if lab.sanitized else 0.5)


def test_a_second_daemon_on_the_same_socket_is_refused(lab, sluice, client):
    done = run(*sluice.argv("--config", sluice.config_path), check=False)
    assert done.returncode == 1
    assert "control.sock" in done.stderr or "443" in done.stderr
    assert sluice.ctl.json("status")["state"] == "running"
    assert client.run(calls.unary, lab.target(tag="second")).code == 0


@pytest.mark.parametrize("name", sorted(p.name for p in (REPO / "examples").glob("*.yaml")))
def test_examples_are_accepted(lab, sluice, name):
    """As they stand, but for certificates, interfaces and lists, which are this machine's."""
    text = (pathlib.Path(REPO) / "examples" / name).read_text(encoding="utf-8")
    for key, path, name_there in re.findall(r"(\w+): ([\w/]*tls/([\w.-]+))", text):
        certificate = lab.rsa_certificate if name_there.startswith("rsa") else lab.certificate
        here = certificate.key if key == "key" else certificate.chain
        text = text.replace(f"{key}: {path}", f"{key}: {here}")
    text = text.replace("eth0", "lo").replace("eth1", "lo")
    (sluice.folder / "deny.txt").write_text("192.0.2.99\n", encoding="ascii")
    text = text.replace("/etc/sluice/acl/", "")
    path = sluice.folder / name
    path.write_text(text, encoding="utf-8")
    done = run(os.path.join(lab.build, "sluiced"), "--check", path, check=False)
    assert done.returncode == 0, done.stderr
