"""What an address stands for, whatever it is dressed up as; and who may have it."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridllm._core.policy.addresses import Reach, plainly_private, reach_of, refused_because
from policy.policy_text import GOOD, changed, load, problems_of

ADDRESSES = {
    Reach.PUBLIC: """
        1.1.1.1 8.8.8.8 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0 223.255.255.255
        2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2001:0:808:808::f7f7:f7f7
    """,
    Reach.PRIVATE: """
        127.0.0.1 127.255.255.254 10.0.0.7 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1
        100.127.255.255 198.18.0.1 192.0.2.1 ::1 fd12:3456::1 fc00::1 fec0::1 2001:db8::7
        ::ffff:127.0.0.1 ::ffff:10.0.0.7 ::127.0.0.1 64:ff9b::a00:7 64:ff9b:1::808:808 4000::1
        2002:a00:7::1
    """,
    Reach.METADATA: """
        169.254.169.254 169.254.0.1 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fe80::1
        fe80::a9fe:a9fe%eth0 febf::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 ::ffff:169.254.169.254
        ::ffff:a9fe:a9fe ::169.254.169.254 64:ff9b::169.254.169.254 64:ff9b::6464:64c8
        64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: 2001:0:a9fe:a9fe::f7f7:f7f7
    """,
    Reach.NOBODY: """
        0.0.0.0 0.1.2.3 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ff02::1
        ::ffff:0.0.0.0 64:ff9b::ffff:ffff
    """,
}
EACH = [
    pytest.param(text, reach, id=text)
    for reach, texts in ADDRESSES.items()
    for text in texts.split()
]


@pytest.mark.parametrize(("text", "reach"), EACH)
def test_an_address_is_what_it_leads_to(text: str, reach: Reach) -> None:
    """Mapped, translated and tunnelled ones are as bad as the address inside."""
    assert reach_of(ip_address(text)) is reach


@given(st.ip_addresses(v=4))
def test_no_disguise_makes_an_address_better(address: IPv4Address) -> None:
    """For every IPv4 address there is: what is not public is not public in IPv6 either."""
    own = reach_of(address)
    for prefix in ("::ffff:", "64:ff9b::"):
        assert reach_of(ip_address(f"{prefix}{address}")) is own
    assert reach_of(ip_address(f"64:ff9b:1::{address}")).value >= max(own.value, 1)
    sixtofour = ip_address((0x2002 << 112) | (int(address) << 80))
    assert reach_of(sixtofour) is own


def test_one_bad_address_refuses_the_name() -> None:
    """Whoever answers for the name chose all of them; the next connection could take the other."""
    mixed = ("8.8.8.8", "10.0.0.7")
    refused = refused_because(mixed, private_allowed=False)
    assert refused is not None
    assert "10.0.0.7" in refused
    assert "write private: true" in refused
    assert refused_because(mixed, private_allowed=True) is None
    for bad in ("169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:100.100.100.200"):
        for allowed in (True, False):
            assert refused_because(("8.8.8.8", bad), private_allowed=allowed) is not None
    assert refused_because(("no address",), private_allowed=True) is not None


PRIVATE_HOSTS = [
    "localhost",
    "llm",
    "llm.internal",
    "llm.corp",
    "a.b.local",
    "nas.home.arpa",
    "vllm.default.svc",
    "10.0.0.7",
    "[::1]",
    "::1",
]
OTHER_HOSTS = [
    "api.example.com",
    "internal.example.com",
    "8.8.8.8",
    "home.arpa.com",
    "169.254.169.254",
    "2606:4700::1",
]


@pytest.mark.parametrize("host", [*PRIVATE_HOSTS, *OTHER_HOSTS])
def test_a_host_that_no_public_server_knows_is_plainly_private(host: str) -> None:
    """Its writer cannot have meant anything else."""
    assert plainly_private(host) is (host in PRIVATE_HOSTS)


@pytest.mark.parametrize(
    ("backend", "allowed"),
    [
        pytest.param("{kind: api, base_url: 'https://api.example.com/v1'}", False, id="hosted"),
        pytest.param("{kind: vllm, base_url: 'https://gpu.example.com/v1'}", True, id="vllm"),
        pytest.param(
            "{kind: api, operator: self, base_url: 'https://gw.example.com/v1'}", True, id="own"
        ),
        pytest.param("{kind: api, base_url: 'https://10.0.0.7/v1'}", True, id="private-address"),
        pytest.param("{kind: api, base_url: 'http://localhost:8000/v1'}", True, id="localhost"),
        pytest.param("{kind: api, base_url: 'https://llm.internal/v1'}", True, id="internal"),
        pytest.param(
            "{kind: api, base_url: 'http://gw.example.com/v1', allow_plaintext: true}", True, id="plain"
        ),
        pytest.param(
            "{kind: api, base_url: 'https://api.example.com/v1', private: true}", True, id="said"
        ),
        pytest.param(
            "{kind: vllm, base_url: 'https://gpu.example.com/v1', private: false}", False, id="denied"
        ),
        pytest.param(
            "{kind: api, base_url: 'http://gw.example.com/v1', allow_plaintext: true, private: false}",
            False,
            id="plain-denied",
        ),
    ],
)  # fmt: skip
def test_who_may_be_in_a_private_network(backend: str, allowed: bool) -> None:
    """One's own servers and whatever plainly is there; a hosted API only if the policy says so."""
    policy = load(
        f"version: 1\nbackends: {{b: {backend}}}\nmodels: {{m: {{on: {{b: m}}}}}}\n"
        "routes: [{name: all, use: [m]}]\n"
    )
    assert policy.backends["b"].private is allowed


def test_a_private_address_that_the_policy_forbids_is_told() -> None:
    """A contradiction in the file is found when it is read, not when it is used."""
    old = "base_url: https://vllm.internal/v1"
    (problem,) = problems_of(changed(old, f"{old}\n    private: false"))
    assert problem.path == "backends.own-eu.base_url"
    assert "private: false forbids" in problem.message
    assert not problems_of(GOOD)
