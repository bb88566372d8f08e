"""The pods of deploy/kubernetes rehearsed: what a pod would mount, as files, and its container's variables and arguments,
given to a real process; then what the kubelet would do with it."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.kubernetes import of_kind, pod, proxy_of
from tests.support.chat import PATH, body
from tests.support.ports import free_port
from tests.support.processes import CREDENTIALS, Process, Proxy, StandIn
from tests.support.redis_server import RedisServer


def mounted(name: str, secret: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The container's variables, after its mounts were laid out in ``folder``."""
    maps = {it["metadata"]["name"]: it["data"] for it in of_kind(name, "ConfigMap")}
    volumes = {volume["name"]: volume for volume in pod(name)["spec"]["volumes"]}
    container = proxy_of(name)
    variables = {found["name"]: found["value"] for found in container["env"]}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        files = maps[volume["configMap"]["name"]] if "configMap" in volume else secret
        place = folder / mount["mountPath"].lstrip("/")
        place.mkdir(parents=True)
        for file, text in files.items():
            (place / file).write_text(text, encoding="utf-8")
        variables = {key: value.replace(mount["mountPath"], str(place)) for key, value in variables.items()}
    return variables | {"PROXY_PORT": str(free_port())}


@contextmanager
def running(name: str, secret: Mapping[str, str], folder: Path, **more: str) -> Iterator[Proxy]:
    (folder / "app").mkdir()
    env = mounted(name, secret, folder) | more
    proxy = Proxy(env=env, cwd=folder / "app", arguments=proxy_of(name).get("args", []))
    try:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert 200 == proxy.client.get(proxy_of(name)[probe]["httpGet"]["path"]).status_code, probe
        yield proxy
    finally:
        code = proxy.stop(signal.SIGTERM)
    assert 0 == code


def say(proxy: Proxy, **headers: str) -> int:
    return proxy.client.post(PATH, headers={"correlation-id": "pod-1"} | headers, json=body()).status_code


def test_dev_answers_without_credentials(tmp_path: Path) -> None:
    (secret,) = of_kind("dev", "Secret")
    with running("dev", secret["data"], tmp_path) as proxy:
        assert 200 == say(proxy)


def test_prod_reads_its_secrets_and_shares_by_redis(
    tmp_path: Path, stand_in: StandIn, start_redis: Callable[[], RedisServer]
) -> None:
    secret = CREDENTIALS | {"PROXY_API_KEY": "planted-key\n", "REDIS_URL": start_redis().url}
    with running("prod", secret, tmp_path, **stand_in.env) as proxy:
        assert [401, 200] == [say(proxy), say(proxy, authorization="Bearer planted-key")]
        assert 1 == proxy.metric("proxy_shared_state_up")
        assert "planted" not in proxy.output


def test_a_sidecar_serves_its_app(tmp_path: Path, stand_in: StandIn) -> None:
    with running("sidecar", CREDENTIALS, tmp_path, **stand_in.env) as proxy:
        assert 200 == say(proxy)


@pytest.mark.parametrize("missing", ["CLIENT_ID", "REDIS_URL"])
def test_a_secret_that_lacks_a_key_stops_the_start(tmp_path: Path, missing: str) -> None:
    """Which keeps the pods that are there, since the new one never gets ready."""
    secret = {key: "x" for key in (*CREDENTIALS, "PROXY_API_KEY", "REDIS_URL") if key != missing}
    process = Process([sys.executable, "-m", "proxy"], mounted("prod", secret, tmp_path), tmp_path)
    assert 0 != process.wait()
    assert f"{missing}_FILE" in process.output
