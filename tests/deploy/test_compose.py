"""The compose files: against the schema of the format, and against what is promised of them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.server.run import LAST_WORDS_S
from tests.deploy.front import SHIPPED
from tests.deploy.test_kubernetes import DRAIN_S
from tests.support.processes import ROOT

FILES = {"one": ROOT / "docker-compose.yml", "replicas": ROOT / "deploy" / "docker-compose.replicas.yml"}
SERVICES = [(file, name) for file, path in FILES.items() for name in yaml.safe_load(path.read_text())["services"]]
REPLICAS = ["proxy-1", "proxy-2", "proxy-3"]


def content(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILES[file].read_text(encoding="utf-8"))
    return found


def for_stackspot(tmp_path: Path) -> Path:
    """docker-compose.yml after its own first lines were followed."""
    text = FILES["one"].read_text(encoding="utf-8")
    text = re.sub(r'(?m)^    command: \["--demo"\]\n', "", text)
    text = re.sub(r"(?m)^(\s+)# (\w+_FILE: .*|secrets: \[.*)$", r"\1\2", text)
    file = tmp_path / "docker-compose.yml"
    file.write_text(text, encoding="utf-8")
    return file


def test_compose_knows_every_key(tmp_path: Path) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", *FILES.values(), for_stackspot(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert 0 == done.returncode, done.stdout


def test_secrets_are_files(tmp_path: Path) -> None:
    found = yaml.safe_load(for_stackspot(tmp_path).read_text(encoding="utf-8"))
    proxy = found["services"]["proxy"]
    assert "command" not in proxy
    files = {key: value for key, value in proxy["environment"].items() if key.endswith("_FILE")}
    assert {"CLIENT_ID_FILE", "CLIENT_SECRET_FILE", "REALM_FILE", "GENAI_AGENT_ID_FILE"} == files.keys()
    assert {f"/run/secrets/{name}" for name in proxy["secrets"]} == set(files.values())
    assert set(proxy["secrets"]) == found["secrets"].keys()
    ignored = (ROOT / ".gitignore").read_text().split()
    assert all(it["file"].startswith("./secrets/") for it in found["secrets"].values())
    assert "/secrets/" in ignored


@pytest.mark.parametrize(("file", "name"), SERVICES)
def test_no_service_may_more_than_it_must(file: str, name: str) -> None:
    service = content(file)["services"][name]
    assert (["ALL"], ["no-new-privileges:true"]) == (service["cap_drop"], service["security_opt"])
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()
    assert service.get("read_only") or name == "grafana", "which keeps things beside its data"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "privileged" not in service


@pytest.mark.parametrize(("file", "name"), [("one", "proxy"), *(("replicas", name) for name in REPLICAS)])
def test_there_is_time_to_drain(file: str, name: str) -> None:
    service = content(file)["services"][name]
    assert float(service["stop_grace_period"].removesuffix("s")) >= DRAIN_S + 3 * LAST_WORDS_S + 5


def test_who_waits_for_whom() -> None:
    one, many = content("one")["services"], content("replicas")["services"]
    assert {"proxy": {"condition": "service_healthy"}} == one["app"]["depends_on"]
    assert {"condition": "service_healthy"} == many["proxy-1"]["depends_on"]["redis"]
    assert REPLICAS == list(many["nginx"]["depends_on"])
    assert {name for name, service in one.items() if service.get("profiles") == ["monitoring"]} == {
        "prometheus",
        "grafana",
    }


def test_nginx_knows_the_replicas() -> None:
    many = content("replicas")["services"]
    listed = re.findall(r"(?m)^server (\S+):4000 ", (SHIPPED / "replicas.conf").read_text(encoding="utf-8"))
    assert REPLICAS == listed == [name for name in many if name.startswith("proxy-")]
    assert "redis://redis:6379/0" == many["proxy-1"]["environment"]["REDIS_URL"]
    assert many["nginx"]["ports"][0].endswith(":8080")
    assert "listen 8080;" in (SHIPPED / "nginx.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
def test_images_are_pinned_to_a_version(file: str) -> None:
    images = {service["image"] for service in content(file)["services"].values()} - {"stackspot-proxy"}
    assert images
    assert not [image for image in images if not re.search(r":v?\d+\.\d+", image)]


@pytest.mark.parametrize("file", FILES)
def test_what_is_mounted_is_there(file: str) -> None:
    for service in content(file)["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (FILES[file].parent / source).is_dir(), source
