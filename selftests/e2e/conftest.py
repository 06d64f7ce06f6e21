# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests.

SLUICE_BUILD: the build tree (default: build); SLUICE_E2E_MODES: native,off (default: both);
SLUICE_E2E_LOOPBACK=1: no namespaces. Markers: l7 needs no kernel part and runs in every mode;
kernel needs namespaces, BPF and XDP.
"""
import os
import shutil

import pytest

from harness.daemon import Sluice
from harness.lab import Backend, Lab, build_folder, compile_protos, import_protos


def pytest_configure(config):
    for tool in ("protoc", "openssl"):
        if not shutil.which(tool):
            pytest.exit(f"SKIP end to end: {tool} is not installed", 0)
    # Of several processes (pytest -n) the first one compiles, before the others start.
    config.sluice_generated = (import_protos(config.workerinput["sluice_generated"])
                               if hasattr(config, "workerinput") else compile_protos())
    config.addinivalue_line("markers", "l7: needs no kernel part; runs with kernel.mode off too")
    config.addinivalue_line("markers", "kernel: needs namespaces, BPF and XDP")
    config.addinivalue_line("markers", "emulated: of these, for emulated machines too (vmtest)")
    config.addinivalue_line("markers", "interop: other people's stacks and suites; a suite of its own")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["sluice_generated"] = str(node.config.sluice_generated)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.usefixtures("kernel_allowed"))


@pytest.fixture(scope="session")
def lab(pytestconfig, tmp_path_factory):
    if not os.path.exists(os.path.join(build_folder(), "sluiced")):
        pytest.fail(f"{build_folder()}/sluiced is not built: run make first", pytrace=False)
    folder = tmp_path_factory.mktemp("sluice")
    for path in (folder, *folder.parents):  # workers without rights must reach it
        if path != path.parent and os.stat(path).st_uid == os.geteuid() and path.name != "tmp":
            path.chmod(path.stat().st_mode | 0o011)
    lab = Lab(folder, pytestconfig.sluice_generated)
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def kernel_allowed(lab):
    if lab.kernel_refused:
        pytest.skip(lab.kernel_refused)


def _modes():
    return os.environ.get("SLUICE_E2E_MODES", "native,off").split(",")


@pytest.fixture(scope="module", params=["native", "off"])
def mode(request, lab):
    """Each mode of the kernel part, for L7 tests."""
    if request.param not in _modes():
        pytest.skip(f"SLUICE_E2E_MODES leaves {request.param} out")
    if request.param == "native" and lab.kernel_refused:
        pytest.skip(lab.kernel_refused)
    return request.param


@pytest.fixture(scope="session")
def client(lab):
    """The agent in the client's host."""
    lab.client = lab.agent(lab.world.client, "client")
    return lab.client


@pytest.fixture(scope="module")
def backends(lab):
    """Two gRPC servers, fresh for each file."""
    servers = [Backend(lab, host) for host in lab.world.backends[:2]]
    yield servers
    for server in servers:
        server.kill()


class Daemons:
    """Starts daemons and sees to their end: in order, or killed where the test failed."""

    def __init__(self, lab):
        self.lab, self.started = lab, []

    def __call__(self, config, mode, healthy=True, start=True):
        sluice = Sluice(self.lab, config, mode)
        self.started.append(sluice)
        return sluice.start(healthy) if start else sluice

    def stop(self):
        if self.lab.client:
            from peers import calls  # generated code: there only after pytest_configure
            self.lab.client.run(calls.close_all)
        try:
            for sluice in self.started:
                sluice.stop()
        finally:
            for sluice in self.started:
                sluice.kill()


@pytest.fixture(scope="module")
def daemons(lab):
    """For daemons shared by a file."""
    daemons = Daemons(lab)
    yield daemons
    daemons.stop()


@pytest.fixture
def daemon(lab):
    """For daemons of one test."""
    daemons = Daemons(lab)
    yield daemons
    daemons.stop()
