"""Callers' connections: how many there may be, how long, and what happens when the system has no more."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from proxy.server import connection
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import PATH, ask, body
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.certificate import self_signed

pytestmark = pytest.mark.slow

FEW = STACKSPOT + "proxy: {limits: {max_connections: 3}}\n"
RESERVE = 16
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def connect(proxy: Proxy) -> socket.socket:
    url = httpx.URL(proxy.url)
    return socket.create_connection((url.host, url.port or 443), timeout=10)


def answered(caller: socket.socket, request: bytes = HEALTH) -> tuple[int, bytes]:
    """The status and all of the answer, whose body comes along with its head."""
    caller.sendall(request)
    got = caller.recv(65536)
    return int(got.split(b" ")[1]), got


def post(**fields: object) -> bytes:
    sent = json.dumps(body(**fields)).encode()
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncorrelation-id: x\r\ncontent-length: %d\r\n\r\n%s" % (
        PATH.encode(),
        len(sent),
        sent,
    )


def idle(proxy: Proxy, stack: ExitStack, count: int) -> list[socket.socket]:
    """Connections that have been answered once."""
    found = [stack.enter_context(connect(proxy)) for _ in range(count)]
    for caller in found:
        assert 200 == answered(caller)[0]
    return found


def closed_after(caller: socket.socket) -> float:
    started = time.monotonic()
    with suppress(ConnectionResetError):
        assert b"" == caller.recv(1000)
    return time.monotonic() - started


def test_idle_connection_is_closed(launch: Launch) -> None:
    proxy = launch(STACKSPOT, module="tests.faults.telling", env={"IDLE_S": "1"})
    with ExitStack() as stack:
        [caller] = idle(proxy, stack, 1)
        assert 0.9 < closed_after(caller) < 8
    assert 75 == connection.IDLE_S, "longer than the 60 s of the load balancers before it"


def test_only_probes_are_answered_above_the_limit(launch: Launch) -> None:
    proxy = launch(FEW)
    with ExitStack() as stack:
        first, *_ = idle(proxy, stack, 3)
        for path in (b"/health", b"/ready", b"/metrics"):
            with connect(proxy) as probe:
                status, got = answered(probe, b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path)
                assert (200, True) == (status, b"onnection: close" in got)
        with connect(proxy) as caller:
            status, got = answered(caller, post(model="chat"))
            assert 503 == status
            assert b"connection: close" in got.lower()
            assert b"retry-after: 1" in got.lower()
            assert b'"code":"too_many_connections"' in got
            assert 8 > closed_after(caller)
        assert 200 == answered(first)[0], "those within the limit go on"
        first.close()
        assert 200 == eventually(proxy, post(model="chat")), "and make room when they go"


def eventually(proxy: Proxy, request: bytes) -> int:
    """The status, once it is no longer 503: the proxy has to notice that another has gone."""
    deadline = time.monotonic() + 10
    while True:
        with connect(proxy) as caller:
            status, _ = answered(caller, request)
        if status != 503 or time.monotonic() > deadline:
            return status
        time.sleep(0.05)


def test_connections_above_the_reserve_are_closed_at_once(launch: Launch) -> None:
    proxy = launch(FEW)
    with ExitStack() as stack:
        callers = idle(proxy, stack, 3)
        silent = [stack.enter_context(connect(proxy)) for _ in range(RESERVE)]
        for _ in range(20):
            with connect(proxy) as refused:
                assert 1.5 > closed_after(refused)
        _, metrics = answered(callers[0], b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        while b'proxy_connections_refused_total{reason="limit"}' not in metrics:
            metrics += callers[0].recv(65536)
        assert b'\nproxy_connections_refused_total{reason="limit"} 20.0\n' in metrics
        assert b"\nproxy_connections 19.0\n" in metrics
        assert 1 == len(proxy.events(event="connections.refused")), "a flood does not fill the log"
        for caller in silent:
            closed_after(caller)
        with connect(proxy) as probe:
            assert 200 == answered(probe)[0], "those that say nothing do not keep probes out"


@pytest.fixture
def exhausted(launch: Launch) -> Iterator[tuple[Proxy, list[socket.socket]]]:
    """A proxy that has no descriptor left, with the connections that it has accepted."""
    proxy = launch(STACKSPOT)
    with ExitStack() as stack:
        [first] = idle(proxy, stack, 1)
        before = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
        used = psutil.Process(proxy.process.pid).num_fds()
        resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
        waiting = [stack.enter_context(connect(proxy)) for _ in range(12)]
        yield proxy, [first, *waiting]
        resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, before)
        for caller in waiting:
            assert 200 == answered(caller)[0], "they have only had to wait"


def test_failing_accept_is_reported_and_others_are_served(
    exhausted: tuple[Proxy, list[socket.socket]],
) -> None:
    proxy, (first, *_) = exhausted
    failed = proxy.wait_event(event="accept.failed")
    assert ("error", "Too many open files") == (failed["level"], failed["reason"])
    cpu = psutil.Process(proxy.process.pid).cpu_times().user
    time.sleep(2.5)  # the files of the configuration are looked at four times
    assert 1 > psutil.Process(proxy.process.pid).cpu_times().user - cpu, "it does not try again and again"
    assert 200 == answered(first)[0]
    assert [] == proxy.events(event="config.reload_failed"), "nothing has changed"
    assert 1 == len(proxy.events(event="accept.failed"))


def test_few_descriptors_bound_the_connections(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    few = ["prlimit", "--nofile=100:100"]
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, within=few)
    try:
        limited = proxy.wait_event(event="connections.limited")
        assert "warning" == limited["level"]
        most = limited["max_connections"]
        assert 2 <= most <= 30
        stand_in.script("few", {"text": "Hi", "repeat": True})
        with ExitStack() as stack:
            idle(proxy, stack, most)
            with connect(proxy) as caller:
                assert 503 == answered(caller, post(model="chat"))[0]
            with connect(proxy) as probe:
                assert 200 == answered(probe)[0]
        assert 200 == eventually(proxy, post(model="chat"))
        assert [] == proxy.events(event="accept.failed")
    finally:
        assert 0 == proxy.stop()


def test_soft_limit_of_descriptors_is_raised(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, within=["prlimit", "--nofile=256:8000"])
    try:
        assert 5000 < resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)[0] <= 8000
        assert [] == proxy.events(event="connections.limited")
    finally:
        assert 0 == proxy.stop()


HELLO = bytes.fromhex("16030100c8010000c40303")
"""The beginning of a ClientHello."""


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["nothing", "half a ClientHello"])
def test_tls_handshake_has_the_time_of_a_request_body(tmp_path: Path, stand_in: StandIn, sent: bytes) -> None:
    certificate = self_signed(tmp_path)
    (tmp_path / "config.yaml").write_text(
        STACKSPOT + "proxy:\n  tls: {cert: cert.pem, key: key.pem}\n  timeouts: {request_body: 1}\n"
    )
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, trust=certificate.cert)
    try:
        assert 200 == proxy.client.get("/health").status_code
        before = psutil.Process(proxy.process.pid).num_fds()
        with connect(proxy) as caller:
            caller.sendall(sent)
            assert 0.9 < closed_after(caller) < 8
        assert before >= psutil.Process(proxy.process.pid).num_fds()
        assert 1 == proxy.metric("proxy_connections"), "that of this client"
        assert [] == [event for event in proxy.events() if event["level"] in ("error", "warning")]
    finally:
        assert 0 == proxy.stop()


def test_tls_handshakes_count_as_connections(tmp_path: Path, stand_in: StandIn) -> None:
    certificate = self_signed(tmp_path)
    (tmp_path / "config.yaml").write_text(
        STACKSPOT + "proxy:\n  tls: {cert: cert.pem, key: key.pem}\n  limits: {max_connections: 3}\n"
    )
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, trust=certificate.cert)
    try:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connect(proxy))
            assert 503 == ask(proxy, "tls-limit", model="chat").status_code
            assert 200 == proxy.client.get("/health").status_code
    finally:
        assert 0 == proxy.stop()
