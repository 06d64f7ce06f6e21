# SPDX-License-Identifier: MIT
"""Packets to a listener's address that belong to no connection: limited for each source."""
import socket

import pytest

from harness.lab import Backend
from harness.proc import wait_for
from peers import calls

pytestmark = [pytest.mark.kernel, pytest.mark.emulated]


@pytest.fixture(scope="module")
def sluice(lab, daemons, kernel_allowed):
    server = Backend(lab, lab.world.backends[0])
    sluice = daemons(lab.config([server]), "native")
    yield sluice
    daemons.stop()
    server.kill()


def set_strays(sluice, **keys):
    if keys:
        sluice.config["kernel"]["strays"] = keys
    else:
        sluice.config["kernel"].pop("strays", None)
    sluice.reload()


def dropped(sluice):
    return sluice.verdicts()["drop_stray_limit"]


def send_datagrams(address, source, how_many):
    with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET,
                       socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for _ in range(how_many):
            sender.sendto(b"x" * 100, address)


def knock(address, source, timeout=0.3):
    try:
        socket.create_connection(address, timeout, (source, 0)).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except (TimeoutError, socket.timeout):
        return "silent"


@pytest.mark.parametrize("host", ["address", "address6"])
def test_each_source_has_its_share_and_connections_do_not_count(lab, client, sluice, host):
    vip = getattr(lab.world.lb, host)
    sources = lab.world.client_addresses6 if host == "address6" else lab.world.client_addresses
    number = client.run(calls.open_bidi, lab.target(tag=f"strays-{host}"))
    set_strays(sluice, rate="10/m", burst=20)
    # ipv6_prefix is 64: both addresses of IPv6 would be one source
    sluice.config["kernel"]["per_source"] = {"ipv6_prefix": 128}
    sluice.reload()
    before = dropped(sluice)
    client.run(send_datagrams, (vip, 9), sources[0], 200)
    wait_for(lambda: dropped(sluice) - before >= 170, 3, "datagrams over the limit are dropped")
    assert dropped(sluice) - before <= 182
    # So are SYNs to other ports, and segments of connections that nobody has.
    assert client.run(knock, (vip, 4444), sources[0]) == "silent"
    before = dropped(sluice)
    assert client.run(knock, (vip, 4444), sources[1]) == "refused"
    assert dropped(sluice) == before
    # Connections, old ones and new ones, are as they were.
    assert client.run(knock, (vip, 443), sources[0]) == "open"
    for i in range(30):
        assert client.run(calls.exchange, number, payload=b"x")["received"] == i + 1
    client.run(calls.end, number)
    assert client.run(calls.unary, lab.target(tag=f"strays-new-{host}")).code == 0
    set_strays(sluice)
    before = dropped(sluice)
    client.run(send_datagrams, (vip, 9), sources[0], 50)
    assert client.run(knock, (vip, 4444), sources[0]) == "refused"
    assert dropped(sluice) == before


def test_only_listeners_addresses_count_and_they_follow_the_config(lab, client, sluice):
    """443 is on [::], so every address is a listener's; then on one; then on none of the client's."""
    four, six = lab.world.client_addresses[0], lab.world.client_addresses6[0]
    v4, v6 = lab.world.lb.address, lab.world.lb.address6
    listener = sluice.config["listeners"][0]
    before_all = listener["address"]
    set_strays(sluice, rate="1/m", burst=5)

    def is_limited(address, source):
        before = dropped(sluice)
        client.run(send_datagrams, (address, 9), source, 40)
        client.run(knock, (address, 443), source)  # comes behind them
        if dropped(sluice) == before:
            return False
        wait_for(lambda: dropped(sluice) - before >= 30, 3, "those over the limit are dropped")
        return True

    try:
        assert is_limited(v4, four) and is_limited(v6, six)
        listener["address"] = f"{v4}:443"
        sluice.reload()
        assert is_limited(v4, four) and not is_limited(v6, six)
        listener["address"] = "127.0.0.1:443"
        sluice.reload()
        assert not is_limited(v4, four) and not is_limited(v6, six)
    finally:
        listener["address"] = before_all
        sluice.reload()
    assert is_limited(v6, six)
