# SPDX-License-Identifier: MIT
"""Backends given by name: all addresses, followed as they change, kept when DNS fails."""
import pytest

from harness.daemon import Sluice
from harness.lab import wait_for
from harness.proc import holds_for
from peers import calls, dns_server

pytestmark = pytest.mark.l7
NAME = "echo.sluice.test"
RESOLVER = "127.0.0.1"


class NamedSluice(Sluice):
    """Sees a resolv.conf and a hosts file of its own."""

    def argv(self, *args):
        etc = self.folder / "etc"
        if not etc.exists():
            etc.mkdir(mode=0o755)
            (etc / "resolv.conf").write_text(f"nameserver {RESOLVER}\n", encoding="ascii")
            (etc / "hosts").write_text("127.0.0.1 localhost\n198.18.1.11 hosts.sluice.test\n",
                                       encoding="ascii")
        enter = self.lab.world.lb.enter()
        binds = " && ".join(f"mount --bind {etc}/{n} /etc/{n}" for n in ("resolv.conf", "hosts"))
        return [*enter, "unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh",
                *super().argv(*args)[len(enter):]]


@pytest.fixture(scope="module")
def dns(lab):
    if not lab.world.isolated:
        pytest.skip(lab.world.why_not)
    agent = lab.agent(lab.world.lb, "dns")
    agent.run(dns_server.start, RESOLVER)
    yield agent
    agent.kill()


@pytest.fixture
def daemon(lab):
    started = []

    def start(config, **options):
        started.append(NamedSluice(lab, config, "off"))
        return started[-1].start(**options)

    yield start
    try:
        for sluice in started:
            sluice.stop()
    finally:
        for sluice in started:
            sluice.kill()


@pytest.fixture
def target(lab, request):
    """With a connection of its own: each test has its own daemon."""
    return lab.target(tag=request.node.nodeid)


def named(lab, *names):
    return lab.config([{"address": f"{n}:50051", "weight": 100} for n in names or (NAME,)])


def addresses(sluice):
    return sorted(r["address"] for r in sluice.backends())


def wait_addresses(sluice, wanted, timeout=20):
    wait_for(lambda: addresses(sluice) == sorted(wanted), timeout,
             lambda: f"backends {wanted}: {addresses(sluice)}\n{sluice.log()[-2000:]}", 0.05)


def test_all_addresses_of_a_name_are_backends_and_changes_are_followed(
        lab, dns, client, target, backends, daemon):
    first, second = backends
    dns.run(dns_server.answer, {NAME: [first.host.address, first.host.address6]})
    sluice = daemon(named(lab))
    both = [f"{first.host.address}:50051", f"[{first.host.address6}]:50051"]
    wait_addresses(sluice, both, 1)
    assert set(sluice.health().values()) == {"up"}
    assert client.run(calls.unary, target).reply["backend"] == first.name
    dns.run(dns_server.answer, {NAME: [first.host.address, second.host.address,
                                       first.host.address6]})
    wait_addresses(sluice, [*both, second.address])
    sluice.wait_health(second.address, "up")


def test_the_last_good_answer_stays_when_dns_fails(lab, dns, client, target, backends, daemon):
    dns.run(dns_server.answer, {NAME: [backends[0].host.address]})
    sluice = daemon(named(lab))
    for mode in ("servfail", "silent"):
        asked = dns.run(dns_server.queries)
        dns.run(dns_server.fail, mode)
        wait_for(lambda: dns.run(dns_server.queries) > asked, 15, "the name is asked for again")
        holds_for(lambda: addresses(sluice) == [backends[0].address], 3, "the old answer")
    dns.run(dns_server.answer, {})  # the name is gone
    holds_for(lambda: addresses(sluice) == [backends[0].address], 6, "the old answer")
    assert sluice.log().count("name does not resolve") >= 1
    assert client.run(calls.unary, target).code == 0
    dns.run(dns_server.answer, {NAME: [backends[1].host.address]})
    wait_addresses(sluice, [backends[1].address])


def test_an_answer_without_one_family_is_asked_for_once_more(lab, dns, backends, daemon):
    host = backends[0].host
    dns.run(dns_server.answer, {NAME: [host.address, host.address6]})
    sluice = daemon(named(lab))
    both = sorted([f"{host.address}:50051", f"[{host.address6}]:50051"])
    assert addresses(sluice) == both
    # Long enough for one look-up, and back before it is asked for again.
    asked = dns.run(dns_server.queries)
    dns.run(dns_server.answer, {NAME: [host.address]})
    wait_for(lambda: dns.run(dns_server.queries) >= asked + 2, 15, "the name is asked for again")
    dns.run(dns_server.answer, {NAME: [host.address, host.address6]})
    holds_for(lambda: addresses(sluice) == both, 3, "both families")
    dns.run(dns_server.answer, {NAME: [host.address]})
    wait_addresses(sluice, both[:1])


def test_a_name_that_never_resolved_comes_in_when_it_does(lab, dns, client, target, backends,
                                                          daemon):
    dns.run(dns_server.answer, {})
    sluice = daemon(named(lab), healthy=False)
    assert addresses(sluice) == []
    wait_for(sluice.workers, 10, "a worker is live")
    outcome = client.run(calls.unary, target)
    assert outcome.code == 14 and "echo" in outcome.details
    dns.run(dns_server.answer, {NAME: [backends[0].host.address]})
    wait_addresses(sluice, [backends[0].address])
    sluice.wait_health(backends[0].address, "up")
    assert client.run(calls.unary, target).code == 0


def test_the_hosts_file_counts_before_dns(lab, dns, client, target, backends, daemon):
    dns.run(dns_server.fail, "silent")
    sluice = daemon(named(lab, "hosts.sluice.test"))
    assert addresses(sluice) == [backends[0].address]
    assert client.run(calls.unary, target).code == 0


def test_a_name_added_by_reload_is_resolved(lab, dns, backends, daemon):
    dns.run(dns_server.answer, {NAME: [backends[1].host.address]})
    sluice = daemon(lab.config([backends[0]]))
    sluice.group()["backends"].append({"address": f"{NAME}:50051", "weight": 100})
    sluice.reload()
    wait_addresses(sluice, [b.address for b in backends])
    sluice.wait_health(backends[1].address, "up")
