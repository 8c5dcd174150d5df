"""Where webhooks may go: how a URL is read, what is public, what the settings open."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from flowdapt.domain.outbound import Allowed, is_public, read_url

NOTHING = Allowed()


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path", "authority"),
    [
        ("https://hooks.example.com", "https", "hooks.example.com", 443, "/", "hooks.example.com"),
        ("HTTPS://Hooks.Example.COM/A?b=C", "https", "hooks.example.com", 443, "/A?b=C", "hooks.example.com"),
        ("http://a.example:8080?x=1", "http", "a.example", 8080, "/?x=1", "a.example:8080"),
        ("http://1.2.3.4:80/", "http", "1.2.3.4", 80, "/", "1.2.3.4"),
        ("https://[2606:4700::0001]:8443/x", "https", "2606:4700::1", 8443, "/x", "[2606:4700::1]:8443"),
        ("https://a.example/x@y;z=(1)", "https", "a.example", 443, "/x@y;z=(1)", "a.example"),
    ],
)  # fmt: skip
def test_a_url_is_read(
    url: str, scheme: str, host: str, port: int, path: str, authority: str
) -> None:
    target = read_url(url)
    assert (target.scheme, target.host, target.port, target.path) == (scheme, host, port, path)
    assert target.authority == authority


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "begins with"),
        ("hooks.example.com", "begins with"),
        ("//hooks.example.com", "begins with"),
        ("http:/hooks.example.com", "begins with"),
        ("http:hooks.example.com", "begins with"),
        ("ftp://hooks.example.com", "begins with"),
        ("file:///etc/passwd", "begins with"),
        ("unix:/run/docker.sock", "begins with"),
        ("http+unix://%2Frun%2Fdocker.sock", "begins with"),
        ("gopher://127.0.0.1:6379/_", "begins with"),
        ("javascript:alert(1)", "begins with"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://user@hooks.example.com", "no login"),
        ("http://hooks.example.com:80@127.0.0.1/", "no login"),
        ("http://localhost.", "final dot"),
        ("http://1.2.3.4.", "final dot"),
        ("http://0xA9FEA9FE", "is a number"),
        ("http://2852039166", "is a number"),
        ("http://0251.0376.0251.0376", "is a number"),
        ("http://127.1", "is a number"),
        ("http://1.2.3.0x4", "is a number"),
        ("http://0x", "is a number"),
        ("http://a..b", "no host"),
        ("http://-a.example", "no host"),
        ("http://" + "a" * 64 + ".example", "no host"),
        ("http://[::1", "cannot be read"),
        ("http://[1.2.3.4]", "no IPv6"),
        ("http://[fe80::1%25eth0]/", "no IPv6"),
        ("http://[fe80::1%eth0]/", "no IPv6"),
        ("http://hooks.example.com:99999", "no port"),
        ("http://hooks.example.com:0", "no port"),
        ("http://hooks.example.com:8a", "cannot be read"),
        ("http://a.example/ HTTP/1.1", "percent-encoded"),
        ("http://a.example/\r\nHost: b", "percent-encoded"),
        ("http://a.example/\n", "percent-encoded"),
        ("http://a.example/\0", "percent-encoded"),
        ("http://a.example\\@127.0.0.1/", "percent-encoded"),
        ("http://a.example#@127.0.0.1/", "percent-encoded"),
        ("http://ex\u0430mple.com", "percent-encoded"),
        ("http://\uff11\uff12\uff17.0.0.1", "percent-encoded"),
        ("http://a.example/" + "x" * 3000, "characters"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "192.0.0.192",
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250",
        "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8",
        "::ffff:0:7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_what_is_not_public_is_closed(address: str) -> None:
    found = ip_address(address)
    assert not is_public(found)
    assert NOTHING.refusal("hooks.example.com", [found])


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_what_is_public_is_open(address: str) -> None:
    assert is_public(ip_address(address))
    assert NOTHING.refusal("hooks.example.com", [ip_address(address)]) is None


def test_one_closed_address_among_open_ones_closes_the_host() -> None:
    both = [ip_address("1.1.1.1"), ip_address("10.0.0.1")]
    assert "10.0.0.1" in (NOTHING.refusal("hooks.example.com", both) or "")


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("http://127.0.0.1/", True),
        ("http://[::ffff:169.254.169.254]/", True),
        ("http://localhost/", True),
        ("http://db.localhost/", True),
        ("http://1.1.1.1/", False),
        ("http://localhost.example.com/", False),
    ],
)
def test_what_is_closed_in_any_case_is_known_without_asking(url: str, known: bool) -> None:
    assert (NOTHING.early_refusal(read_url(url)) is not None) is known


def test_the_settings_open_networks_and_addresses() -> None:
    allowed = Allowed.of(["10.0.0.0/8", "192.168.1.7", "fd00::/16"])
    opened = ["10.1.2.3", "192.168.1.7", "fd00::1", "::ffff:10.0.0.1"]
    assert all(allowed.refusal("a", [ip_address(one)]) is None for one in opened)
    closed = ["192.168.1.8", "127.0.0.1", "fd01::1", "::ffff:192.168.1.8"]
    assert all(allowed.refusal("a", [ip_address(one)]) for one in closed)


def test_the_settings_open_hosts_by_their_exact_name() -> None:
    allowed, inside = Allowed.of(["Hooks.LAN", "localhost"]), [ip_address("127.0.0.1")]
    assert allowed.refusal("hooks.lan", inside) is None
    assert allowed.early_refusal(read_url("http://LOCALHOST:8000/")) is None
    for other in ("lan", "x.hooks.lan", "hooks.lan.example.com"):
        assert allowed.refusal(other, inside)


@pytest.mark.parametrize("entry", ["", "*", "*.lan", "10.0.0.1/8", "10.0.0.0/99", "http://a", "0x7f", "a b"])  # fmt: skip
def test_an_entry_that_opens_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Allowed.of([entry])
