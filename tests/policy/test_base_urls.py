"""Where prompts and keys may go: only to a URL that reads the same to everybody."""

from __future__ import annotations

import re

import pytest

from hybridllm._core.policy.base_url import checked_base_url
from policy.policy_text import changed, problems_of

GOOD_URLS = [
    ("https://api.example.com/v1", "https://api.example.com/v1"),
    ("https://api.example.com/v1/", "https://api.example.com/v1"),
    ("HTTPS://API.Example.COM./v1", "https://api.example.com/v1"),
    ("https://api.example.com", "https://api.example.com"),
    ("https://api.example.com:8443/openai/v1", "https://api.example.com:8443/openai/v1"),
    ("https://api.example.com:0443/v1", "https://api.example.com:443/v1"),
    ("https://10.0.0.7/v1", "https://10.0.0.7/v1"),
    ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1"),
    ("https://vllm_0.internal/v1", "https://vllm_0.internal/v1"),
    ("https://[2001:db8::7]:8000/v1", "https://[2001:db8::7]:8000/v1"),
    ("http://localhost:8000/v1", "http://localhost:8000/v1"),
    ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    ("http://127.8.9.1/v1", "http://127.8.9.1/v1"),
    ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
]

BAD_URLS = [
    ("http://api.example.com/v1", "in plain text"),
    ("http://10.0.0.7/v1", "in plain text"),
    ("http://localhost.example.com/v1", "in plain text"),
    ("ftp://api.example.com/v1", "is not a base URL"),
    ("file:///etc/passwd", "is not a base URL"),
    ("unix:///run/vllm.sock", "is not a base URL"),
    ("api.example.com/v1", "is not a base URL"),
    ("//api.example.com/v1", "is not a base URL"),
    ("https:api.example.com/v1", "is not a base URL"),
    ("https:///v1", "has no host"),
    ("https://:443/v1", "has no host"),
    ("https://./v1", "neither a name nor an address"),
    ("", "is not a base URL"),
    ("https://user:pw@api.example.com/v1", "no user name or password"),
    ("https://api.example.com@evil.example/v1", "no user name or password"),
    (r"https://api.example.com\@evil.example/v1", "a backslash"),
    ("https://api.example.com/v1?key=1", "no query"),
    ("https://api.example.com/v1#a", "no fragment"),
    ("https://api.example.com#@evil.example/v1", "no fragment"),
    ("https://api.example.com /v1", "a space"),
    ("https://api.example.com/v1\r\nHost: evil", "control character"),
    ("https://api.exaмple.com/v1", "not ASCII"),
    ("https://api.example。com/v1", "not ASCII"),
    ("https://api.example.com:0/v1", "1 to 65535"),
    ("https://api.example.com:65536/v1", "1 to 65535"),
    ("https://api.example.com:http/v1", "has no host, or a port"),
    ("https://api.example.com:/v1", "has no host, or a port"),
    ("https://0x7f000001/v1", "host of digits"),
    ("https://2130706433/v1", "host of digits"),
    ("https://127.1/v1", "host of digits"),
    ("https://0177.0.0.1/v1", "host of digits"),
    ("https://127.0.0.0x1/v1", "host of digits"),
    ("https://1.2.3.256/v1", "host of digits"),
    ("https://api.example.1/v1", "host of digits"),
    ("http://169.254.169.254/v1", "link-local or metadata"),
    ("https://169.254.0.1/v1", "link-local or metadata"),
    ("https://168.63.129.16/v1", "link-local or metadata"),
    ("https://100.100.100.200/v1", "link-local or metadata"),
    ("https://[fe80::1]/v1", "link-local or metadata"),
    ("https://[fd00:ec2::254]/v1", "link-local or metadata"),
    ("https://[fe80::1%25eth0]/v1", "hides another address"),
    ("https://[::ffff:169.254.169.254]/v1", "hides another address"),
    ("https://[::ffff:127.0.0.1]/v1", "hides another address"),
    ("https://[64:ff9b::a9fe:a9fe]/v1", "hides another address"),
    ("https://[2002:a9fe:a9fe::]/v1", "hides another address"),
    ("https://[::]/v1", "not the address of one machine"),
    ("https://0.0.0.0/v1", "not the address of one machine"),
    ("https://224.0.0.1/v1", "not the address of one machine"),
    ("https://255.255.255.255/v1", "not the address of one machine"),
    ("https://[not-v6]/v1", "no IPv6 address"),
    ("https://metadata.google.internal/v1", "metadata service"),
    ("https://metadata.google.internal./v1", "metadata service"),
    ("https://169.254.169.254.nip.io/v1", "stands for any address"),
    ("https://a9fea9fe.sslip.io/v1", "stands for any address"),
    ("https://-a.example/v1", "neither a name nor an address"),
    ("https://a..example/v1", "neither a name nor an address"),
    ("https://a.example../v1", "neither a name nor an address"),
    ("https://%61pi.example.com/v1", "neither a name nor an address"),
    ("https://" + "a" * 64 + ".example/v1", "neither a name nor an address"),
    ("https://api.example.com/../v1", "with . or .."),
    ("https://api.example.com//v1", "read differently"),
    ("https://api.example.com/v1;a", "read differently"),
    ("https://api.example.com/%2e%2e/v1", "read differently"),
    ("https://api.example.com/v1/chat/completions", "goes too far"),
    ("https://api.example.com/" + "a" * 2_048, "longer than"),
]


@pytest.mark.parametrize(("url", "spelling"), GOOD_URLS)
def test_a_plain_url_has_one_spelling(url: str, spelling: str) -> None:
    """Case, a dot after the host and a slash at the end make no other backend."""
    assert checked_base_url(url, allow_plaintext=False) == spelling


@pytest.mark.parametrize(("url", "message"), BAD_URLS)
def test_a_url_that_could_be_read_two_ways_is_refused(url: str, message: str) -> None:
    """Hosts in disguise, other schemes, credentials: none is repaired, each is refused."""
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_base_url(url, allow_plaintext=False)


@pytest.mark.parametrize(("url", "message"), [bad for bad in BAD_URLS if bad[1] != "in plain text"])
def test_allowing_plaintext_allows_nothing_else(url: str, message: str) -> None:
    """`allow_plaintext` is about http://, not about what is behind it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_base_url(url, allow_plaintext=True)


def test_http_needs_leave_in_the_policy() -> None:
    """Without it the problem says how to give it."""
    old, plain = "base_url: https://vllm.internal/v1", "base_url: http://vllm.internal/v1"
    (problem,) = problems_of(changed(old, plain))
    assert problem.path == "backends.own-eu.base_url"
    assert "write allow_plaintext: true" in problem.message
    assert not problems_of(changed(old, f"{plain}\n    allow_plaintext: true"))


def test_a_password_in_a_url_is_not_told() -> None:
    """The message shows where, not what."""
    old = "base_url: https://vllm.internal/v1"
    (problem,) = problems_of(changed(old, "base_url: https://me:hunter2@vllm.internal/v1"))
    assert "hunter2" not in str(problem)
