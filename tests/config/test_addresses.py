"""Addresses: which can be used, and how they are shown."""

import pytest

from proxy.config.addresses import fault_of_http, fault_of_redis, masked

SHOWN = {
    "https://api.example/v1": "https://api.example/v1",
    "redis://:planted@h:6379/0": "redis://********@h:6379/0",
    "redis://user:planted@h": "redis://********@h",
    "redis://planted@h": "redis://********@h",
    "redis://:planted/a@planted@h:1/0": "redis://********@h:1/0",
    "redis://:planted#a?planted@h": "redis://********@h",
    "rediss://h/0?password=planted": "rediss://h/0?********",
    "unix://user:planted@/run/redis.sock?db=1": "unix://********@/run/redis.sock?********",
    "http://user:planted@proxy:3128": "http://********@proxy:3128",
    "localhost,.example": "localhost,.example",
}


@pytest.mark.parametrize("url", SHOWN)
def test_nothing_secret_is_shown(url: str) -> None:
    assert SHOWN[url] == masked(url)


@pytest.mark.parametrize(
    "url", ["https://api.example/v1", "http://127.0.0.1:8080", "http://[::1]:1/v1/", "https://a.example/v1/projects/x"]
)
def test_addresses_of_upstreams(url: str) -> None:
    assert fault_of_http(url) is None


UNUSABLE = {
    "planted": "begins with",
    "ftp://planted": "begins with",
    "https://planted host/v1": "begins with",
    "https://": "host",
    "https:///planted": "host",
    "https://planted:port": "host",
    "https://[planted": "host",
    "https://h/v1?key=planted": "without ?",
    "https://user:planted@h/v1": "a key goes into api_key",
}


@pytest.mark.parametrize("url", UNUSABLE)
def test_what_is_wrong_with_an_address_is_said_without_quoting_it(url: str) -> None:
    fault = fault_of_http(url)
    assert fault is not None
    assert (True, False) == (UNUSABLE[url] in fault, "planted" in fault)


@pytest.mark.parametrize(
    ("url", "usable"),
    {
        "redis://h": True, "redis://:p%2Fw@h:1/0": True, "rediss://u:p@h:6380/2?x=a@b": False, "unix:///run/r.sock": True,
        "unix://u:p@/run/r.sock": True, "redis://:p/w@h": False, "redis://:p#w@h": False, "redis://:p?w@h": False,
        "redis://": False, "redis://h:port": False, "http://h": False,
    }.items(),
)  # fmt: skip
def test_addresses_of_redis(url: str, usable: bool) -> None:
    assert usable == (fault_of_redis(url) is None)
