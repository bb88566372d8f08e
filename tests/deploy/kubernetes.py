"""The targets of deploy/kubernetes as kubectl builds them, and what they hold."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.shipped import KUBERNETES
from tests.support.tools import require

OVERLAYS = ("dev", "prod", "sidecar")
EVERYTHING = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
components: [{components}]
"""
"""Each scaler on its own, since they exclude each other."""
SETS = {
    "with-hpa": ("hpa", "monitoring", "network-policy", "ingress", "gateway"),
    "with-keda": ("keda", "monitoring", "network-policy", "ingress", "gateway"),
}
TARGETS = (*OVERLAYS, *SETS)
Resource = dict[str, Any]


def build(folder: Path) -> list[Resource]:
    require("kubectl")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr, "kustomize warns of what will stop working"
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def target(name: str) -> list[Resource]:
    """An overlay, or the base with a set of components."""
    if name in OVERLAYS:
        return build(KUBERNETES / "overlays" / name)
    components = ", ".join(f"../components/{component}" for component in SETS[name])
    folder = KUBERNETES / f".{name}-{os.getpid()}"  # kustomize takes nothing from another tree
    folder.mkdir()
    try:
        (folder / "kustomization.yaml").write_text(EVERYTHING.format(components=components), encoding="utf-8")
        return build(folder)
    finally:
        shutil.rmtree(folder)


def of_kind(name: str, kind: str) -> list[Resource]:
    return [resource for resource in target(name) if resource["kind"] == kind]


def pod(name: str) -> Resource:
    """The pod that the proxy is in."""
    (deployment,) = of_kind(name, "Deployment")
    template: Resource = deployment["spec"]["template"]
    return template


def proxy_of(name: str) -> Resource:
    """The proxy's container."""
    spec = pod(name)["spec"]
    (container,) = [each for each in containers(spec) if each["name"] == "proxy"]
    return container


def containers(spec: Resource) -> list[Resource]:
    return [*spec.get("initContainers", []), *spec["containers"]]
