# SPDX-License-Identifier: MIT
"""sluiced --check and sluicectl check: what they print, how they exit, and that they change nothing."""
import json
import os
import re
import resource
import stat
import subprocess

import pytest

from harness import certs
from harness.lab import build_folder
from harness.proc import run

pytestmark = pytest.mark.l7

GOOD = """\
kernel: {{mode: off}}
control: {{socket: {folder}/control.sock}}
listeners:
- name: grpc
  address: "[::]:443"
  certificate: {{chain: ecdsa.pem, key: ecdsa.key}}
  group: greeter
groups:
- name: greeter
  backends: [{{address: 192.0.2.1:50051}}]
"""
LINE = re.compile(r"(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (warning: )?\S.*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    certs.make(folder)
    certs.make(folder, "rsa")
    return folder


def check(path, *options):
    return run(os.path.join(build_folder(), "sluiced"), "--check", path, *options, check=False)


def write(folder, text, name="sluice.yaml"):
    path = folder / name
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text.format(folder=folder))
    return path


def refused(path, *expected):
    """Exit 1 and exactly these lines after the file's name, each of the promised form."""
    done = check(path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == ""
    for line in lines:
        assert LINE.fullmatch(line), line
    assert [line.removeprefix(f"{path}:") for line in lines] == list(expected)


def test_a_good_file_is_taken_in_silence(folder):
    done = check(write(folder, GOOD))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_error_of_a_file_comes_in_one_run_in_order(folder):
    text = GOOD.replace("group: greeter", "group: greter").replace("50051", "0") + \
        "workers: 0\ndrain: {{grace: 30}}\ncolour: red\nlog: {{level: info, level: warn}}\n"
    refused(write(folder, text),
            '7:10: group "greter" is not defined under groups, did you mean "greeter"?',
            '10:24: address "192.0.2.1:0" has port 0, want 1 to 65535',
            '11:10: workers "0" is out of range, want auto, or a whole number 1 to 128',
            '12:16: grace "30" has no unit, want ms, s, m or h: a duration such as 2s',
            '13:1: unknown key "colour" in the config file, want one of: listeners, groups, '
            'workers, runtime, control, log, drain, errors, limits, kernel',
            '14:20: duplicate key "level", it is on line 14 already: keep one')


def test_hostile_files_are_refused_with_a_message_of_their_own(folder):
    refused(write(folder, "", "empty"), "1:1: nothing in the file, want listeners and groups")
    refused(folder, "1:1: a directory, want a file")
    refused(folder / "none", "1:1: cannot be read (No such file or directory), want a readable file")
    refused(write(folder, b"workers: 1\nlog: \xff\n", "latin"),
            "2:6: byte 0xff is not UTF-8, want a file in UTF-8")


def test_brackets_and_noise_are_refused_at_once(folder):
    limit = 1.0 if "san-" in build_folder() else 0.1
    files = (write(folder, b"[" * 100_000, "brackets"), write(folder, os.urandom(10 << 20), "noise"))
    for path, words in zip(files, ("1:33: nested deeper than 32 levels, want fewer",
                                   "1:1: larger than 4 MiB, want a smaller file")):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        refused(path, words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert used < limit, f"{path.name} took {used} s of CPU"


def test_certificates_are_looked_into(folder):
    refused(write(folder, GOOD.replace("ecdsa.pem", "none.pem")),
            f'6:24: chain file "{folder}/none.pem" does not exist, want a PEM file')
    refused(write(folder, GOOD.replace("ecdsa.key", "rsa.key")),
            f'6:40: key "{folder}/rsa.key" does not match the certificate, want the key it was made '
            'with')
    refused(write(folder, GOOD.replace("ecdsa.key", "sluice.yaml")),
            f'6:40: key "{folder}/sluice.yaml" holds no private key, want PEM (-----BEGIN PRIVATE '
            'KEY-----)')


def test_an_interface_that_does_not_exist_is_warned_of(folder):
    done = check(write(folder, GOOD.replace("mode: off", "interfaces: [{{name: none0}}]")))
    assert done.returncode == 0
    assert done.stdout.endswith('1:30: warning: interface "none0" does not exist, XDP is attached '
                                'when it appears\n')


def test_a_warning_alone_is_exit_0(folder):
    done = check(write(folder, GOOD.replace("mode: off", "mode: off, acl: {{deny: []}}")))
    assert done.returncode == 0
    assert done.stdout.endswith(":1:21: warning: acl has no effect with kernel mode off\n")


def test_nothing_is_changed(folder):
    path = write(folder, GOOD)

    def state():
        names = sorted(os.listdir(folder))
        return [(n, os.stat(folder / n).st_mtime_ns, stat.S_IMODE(os.stat(folder / n).st_mode))
                for n in names]

    before = state()
    check(path)
    assert state() == before
    assert not (folder / "control.sock").exists()


def test_a_pipe_is_not_waited_for(folder):
    path = folder / "pipe"
    os.mkfifo(path)
    refused(path, "1:1: no plain file, want one")


def test_a_start_prints_the_same_errors_and_exits_1(folder):
    path = write(folder, GOOD.replace("group: greeter", "group: other"))
    done = subprocess.run([os.path.join(build_folder(), "sluiced"), "--config", path], timeout=20,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'{path}:7:10: group "other" is not defined, want a name given under groups' in \
        done.stdout + done.stderr


def test_sluicectl_check_says_the_same_without_a_daemon(folder):
    ctl = os.path.join(build_folder(), "sluicectl")
    path = write(folder, GOOD)
    assert run(ctl, "check", path, check=False).returncode == 0
    path = write(folder, GOOD.replace("50051", "0"))
    done = run(ctl, "check", path, check=False)
    assert done.returncode == 1 and done.stdout == check(path).stdout
    report = json.loads(run(ctl, "--json", "check", path, check=False).stdout)
    assert report["errors"] == 1 and report["report"] == done.stdout.splitlines()
