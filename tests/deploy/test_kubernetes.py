"""The targets of deploy/kubernetes: built by kubectl, held against the schemas of several Kubernetes versions and of the
custom resources, and against what is promised of them."""

import copy
import json
import subprocess
from dataclasses import fields
from ipaddress import ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest
import yaml

from proxy.config import Config
from proxy.config.settings import Timeouts
from proxy.server.run import LAST_WORDS_S
from tests.bench import capacity
from tests.deploy import prometheus_rule
from tests.deploy.kubernetes import TARGETS, Resource, containers, of_kind, pod, proxy_of, target
from tests.deploy.shipped import KUBERNETES, PROMETHEUS, RULES
from tests.support.processes import CREDENTIALS, ROOT
from tests.support.tools import require

VERSIONS = ("1.30", "1.32", "1.33", "1.35", "1.37")  # 1.30 is the first with preStop.sleep
OWN_GROUPS = ("v1", "apps/", "autoscaling/", "networking.k8s.io/", "policy/")
CHECK = ROOT / "tests" / "clients" / "kubernetes" / "check.mjs"
GATEWAYS = tuple(name for name in TARGETS if name != "sidecar")
(DRAIN_S,) = [field.default for field in fields(Config) if field.name == "drain_timeout"]


def is_own(resource: Resource) -> bool:
    """One of Kubernetes itself."""
    return resource["apiVersion"].startswith(OWN_GROUPS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", TARGETS)
def test_kubernetes_knows_every_key(name: str, version: str) -> None:
    for resource in filter(is_own, target(name)):
        kubernetes_validate.validate(resource, version, strict=True)


def test_an_unknown_key_is_noticed() -> None:
    (deployment,) = of_kind("dev", "Deployment")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def checked(resources: list[Resource]) -> str:
    """What the custom resources' own definitions say against them."""
    require("node", "kubernetes packages")
    done = subprocess.run(["node", CHECK], input=json.dumps(resources), capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_custom_resources_fit_their_definitions() -> None:
    custom = {resource["kind"]: resource for name in TARGETS for resource in target(name) if not is_own(resource)}
    assert {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"} == custom.keys()
    assert "" == checked(list(custom.values()))
    route, scaled = copy.deepcopy(custom["HTTPRoute"]), copy.deepcopy(custom["ScaledObject"])
    route["spec"]["rules"][0]["timeouts"]["request"] = "for ever"
    scaled["spec"]["triggers"][0]["treshold"] = "1"
    found = checked([route, scaled])
    assert "timeouts/request must match pattern" in found
    assert "treshold" in found


def test_the_rules_are_those_that_promtool_tests() -> None:
    assert prometheus_rule.made() == prometheus_rule.FILE.read_text(encoding="utf-8"), "make rules"
    (rule,) = of_kind("prod", "PrometheusRule")
    files = [yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8")) for name in RULES]
    assert [group for file in files for group in file["groups"]] == rule["spec"]["groups"]


def test_the_config_is_the_shipped_one() -> None:
    assert (ROOT / "config.yaml").read_text() == (KUBERNETES / "components" / "config" / "config.yaml").read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_no_container_may_more_than_it_must(name: str) -> None:
    spec = pod(name)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert not spec.get(forbidden)
    for container in containers(spec):
        context = spec["securityContext"] | container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] >= 10000
        assert (True, False, {"drop": ["ALL"]}) == (
            context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"], context["capabilities"],
        )  # fmt: skip
        assert not context.get("privileged")
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} == container["resources"][kind].keys(), kind
    assert all("hostPath" not in volume for volume in spec["volumes"])


@pytest.mark.parametrize("name", TARGETS)
def test_probes_ask_what_they_are_for(name: str) -> None:
    proxy = proxy_of(name)
    asked = {kind: proxy[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {"startup": "/ready", "readiness": "/ready", "liveness": "/health"} == {
        k: v["path"] for k, v in asked.items()
    }
    assert {"proxy"} == {found["port"] for found in asked.values()}
    assert [{"name": "proxy", "containerPort": 4000}] == proxy["ports"]
    assert {"PROXY_PORT": "4000"}.items() <= variables(proxy).items()


@pytest.mark.parametrize("name", GATEWAYS)
def test_there_is_time_to_drain(name: str) -> None:
    spec = pod(name)["spec"]
    before = proxy_of(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    config = yaml.safe_load(config_of(name))
    drain = config["proxy"].get("drain_timeout", DRAIN_S)
    assert before >= 5, "endpoints take some seconds to be forgotten"
    assert spec["terminationGracePeriodSeconds"] >= before + drain + 3 * LAST_WORDS_S + 5
    readiness = proxy_of(name)["readinessProbe"]
    assert before + drain > readiness["periodSeconds"]


def test_a_sidecar_starts_before_its_app_and_ends_behind_it() -> None:
    proxy = proxy_of("sidecar")
    assert proxy in pod("sidecar")["spec"]["initContainers"]
    assert "Always" == proxy["restartPolicy"]
    assert "lifecycle" not in proxy, "it is told to end when nobody asks any more"
    (app,) = pod("sidecar")["spec"]["containers"]
    assert "http://127.0.0.1:4000/v1" == variables(app)["OPENAI_BASE_URL"]
    assert pod("sidecar")["spec"]["terminationGracePeriodSeconds"] >= DRAIN_S + 3 * LAST_WORDS_S + 5


def test_a_sidecar_is_the_same_container_but_for_its_place() -> None:
    beside, alone = proxy_of("sidecar"), proxy_of("with-hpa")
    differ = {key for key in beside.keys() | alone.keys() if beside.get(key) != alone.get(key)}
    assert {"lifecycle", "resources", "restartPolicy", "securityContext", "volumeMounts"} == differ
    assert beside["resources"]["limits"] == alone["resources"]["limits"]
    assert alone["securityContext"].items() <= beside["securityContext"].items()


@pytest.mark.parametrize("name", TARGETS)
def test_secrets_are_files_and_the_config_a_folder(name: str) -> None:
    proxy, spec = proxy_of(name), pod(name)["spec"]
    assert all("valueFrom" not in found for found in proxy["env"]), "a variable can be read in the pod's description"
    assert "envFrom" not in proxy
    assert all("subPath" not in mount for mount in proxy["volumeMounts"]), "such a mount never changes"
    assert all(mount["readOnly"] for mount in proxy["volumeMounts"])
    files = {key: value for key, value in variables(proxy).items() if key.endswith("_FILE")}
    wanted = {f"{key}_FILE" for key in CREDENTIALS} | (
        {"PROXY_API_KEY_FILE", "REDIS_URL_FILE"} if name == "prod" else set()
    )
    assert wanted == files.keys()
    mounts = {mount["mountPath"]: volumes(spec)[mount["name"]] for mount in proxy["volumeMounts"]}
    secret = mounts["/run/secrets/stackspot-proxy"]["secret"]
    assert 0o440 == secret["defaultMode"]
    assert spec["securityContext"]["fsGroup"] == 10001, "or the proxy may not read it"
    for key, file in files.items():
        assert f"/run/secrets/stackspot-proxy/{key.removesuffix('_FILE')}" == file
    assert "/etc/stackspot-proxy/config.yaml" == variables(proxy)["PROXY_CONFIG"]
    assert mounts["/etc/stackspot-proxy"]["configMap"]["name"] in [
        it["metadata"]["name"] for it in of_kind(name, "ConfigMap")
    ]
    assert name == "dev" or not of_kind(name, "Secret"), "no secret stands in this repository"


@pytest.mark.parametrize("name", GATEWAYS)
def test_replicas_are_spread_and_never_all_away(name: str) -> None:
    labels = pod(name)["metadata"]["labels"]
    (budget,) = of_kind(name, "PodDisruptionBudget")
    assert 1 == budget["spec"]["maxUnavailable"]
    spreads = pod(name)["spec"]["topologySpreadConstraints"]
    assert {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} == {spread["topologyKey"] for spread in spreads}
    for selector in (budget["spec"]["selector"], *(spread["labelSelector"] for spread in spreads)):
        assert selector["matchLabels"].items() <= labels.items()
    (deployment,) = of_kind(name, "Deployment")
    assert {"maxUnavailable": 0, "maxSurge": 1} == deployment["spec"]["strategy"]["rollingUpdate"]
    (service,) = of_kind(name, "Service")
    assert service["spec"]["selector"].items() <= labels.items()
    assert ["proxy"] == [port["targetPort"] for port in service["spec"]["ports"]]


def test_autoscalers_go_by_streams_as_the_sizing_says() -> None:
    sizing = capacity.Sizing(capacity.Measured(), capacity.LOADS[capacity.SHIPPED])
    assert capacity.document(capacity.Measured()) == capacity.FILE.read_text(encoding="utf-8"), "capacity --write"
    (hpa,) = of_kind("with-hpa", "HorizontalPodAutoscaler")
    (keda,) = of_kind("with-keda", "ScaledObject")
    (streams,) = [metric["pods"] for metric in hpa["spec"]["metrics"] if metric["type"] == "Pods"]
    (trigger,) = keda["spec"]["triggers"]
    assert "proxy_streams_in_flight" == streams["metric"]["name"]
    assert "sum(proxy_streams_in_flight{" in trigger["metadata"]["query"]
    assert [str(sizing.target)] * 2 == [streams["target"]["averageValue"], trigger["metadata"]["threshold"]]
    assert sizing.installed <= min(hpa["spec"]["maxReplicas"], keda["spec"]["maxReplicaCount"])
    for name in ("with-hpa", "with-keda"):
        assert "replicas" not in of_kind(name, "Deployment")[0]["spec"], "or each apply sets the number back"


@pytest.mark.parametrize("name", ["prod", "with-keda"])
def test_prometheus_finds_every_proxy_under_the_name_that_the_rules_know(name: str) -> None:
    (monitor,) = of_kind(name, "PodMonitor")
    (wanted,) = monitor["spec"]["selector"]["matchExpressions"]
    assert "Exists" == wanted["operator"]
    for each in (name, "sidecar"):
        assert wanted["key"] in pod(each)["metadata"]["labels"]
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in [port["name"] for port in proxy_of(each)["ports"]]
    (relabeling,) = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert {"targetLabel": "job", "replacement": "stackspot-proxy"} == relabeling
    (dashboard,) = [
        it for it in of_kind(name, "ConfigMap") if it["metadata"].get("labels", {}).get("grafana_dashboard")
    ]
    assert json.loads(dashboard["data"]["stackspot-proxy.json"])["uid"] == "stackspot-proxy"


CALLER = {"stackspot-proxy/caller": "true"}
INGRESS: dict[str, tuple[dict[str, Any], bool]] = {
    "a pod beside it": ({"pod": {"app": "app"}, "same": True}, True),
    "an ingress controller or Prometheus": ({"namespace": CALLER, "pod": {}}, True),
    "a pod of any other namespace": ({"namespace": {}, "pod": {}}, False),
}
EGRESS: dict[str, tuple[dict[str, Any], int, bool]] = {
    "DNS": ({"namespace": {}, "pod": {"k8s-app": "kube-dns"}}, 53, True),
    "StackSpot": ({"address": "104.18.0.1"}, 443, True),
    "a provider inside the company": ({"address": "10.1.2.3"}, 443, True),
    "StackSpot by IPv6": ({"address": "2606:4700::1"}, 443, True),
    "Redis": ({"pod": {"app.kubernetes.io/name": "redis"}, "same": True}, 6379, True),
    "a cloud's credentials": ({"address": "169.254.169.254"}, 443, False),
    "a cloud's credentials by IPv6": ({"address": "fd00:ec2::254"}, 443, False),
    "the cluster's API as plain text": ({"address": "10.0.0.1"}, 8080, False),
    "mail": ({"address": "104.18.0.1"}, 25, False),
}


def allows(rules: list[Resource], side: str, peer: dict[str, Any], port: int) -> bool:
    """Whether a network policy's rules let this through, as Kubernetes defines it."""

    def fits(selector: Resource | None, labels: dict[str, str] | None) -> bool:
        return labels is not None and selector is not None and selector.get("matchLabels", {}).items() <= labels.items()

    def matches(wanted: Resource) -> bool:
        if "ipBlock" in wanted:
            block = wanted["ipBlock"]
            address = peer.get("address")
            if address is None or ip_address(address).version != ip_network(block["cidr"]).version:
                return False
            inside = [ip_address(address) in ip_network(each) for each in (block["cidr"], *block.get("except", []))]
            return inside[0] and not any(inside[1:])
        if "namespaceSelector" in wanted:
            there = fits(wanted["namespaceSelector"], peer.get("namespace"))
        else:
            there = peer.get("same", False)
        return there and ("podSelector" not in wanted or fits(wanted["podSelector"], peer.get("pod")))

    return any(
        ("ports" not in rule or port in [each["port"] for each in rule["ports"]])
        and (side not in rule or any(matches(wanted) for wanted in rule[side]))
        for rule in rules
    )


@pytest.mark.parametrize("case", INGRESS)
def test_who_may_come_in(case: str) -> None:
    (policy,) = of_kind("prod", "NetworkPolicy")
    peer, expected = INGRESS[case]
    assert {"Ingress", "Egress"} == set(policy["spec"]["policyTypes"])
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod("prod")["metadata"]["labels"].items()
    assert expected == allows(policy["spec"]["ingress"], "from", peer, 4000)


@pytest.mark.parametrize("case", EGRESS)
def test_whom_it_may_ask(case: str) -> None:
    (policy,) = of_kind("prod", "NetworkPolicy")
    peer, port, expected = EGRESS[case]
    assert expected == allows(policy["spec"]["egress"], "to", peer, port)


def test_only_the_app_is_reached_from_outside_of_a_pod_with_a_sidecar() -> None:
    (policy,) = of_kind("sidecar", "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod("sidecar")["metadata"]["labels"].items()
    stranger = {"namespace": {}, "pod": {}}
    seen = {port: allows(policy["spec"]["ingress"], "from", stranger, port) for port in (8080, 4000)}
    assert {8080: True, 4000: False} == seen
    assert allows(policy["spec"]["ingress"], "from", {"namespace": CALLER, "pod": {}}, 4000)


def test_fronts_neither_buffer_nor_hurry_nor_repeat() -> None:
    (ingress,) = of_kind("with-hpa", "Ingress")
    said = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
    assert "off" == said["proxy-buffering"]
    assert float(said["proxy-read-timeout"]) > Timeouts().total
    assert "error timeout" == said["proxy-next-upstream"]
    (route,) = of_kind("with-hpa", "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert {"0s"} == set(rule["timeouts"].values())
    by_ingress = {path["path"] for it in ingress["spec"]["rules"] for path in it["http"]["paths"]}
    assert {"/v1", "/chat", "/models", "/openapi.json"} == by_ingress, "and /metrics is not among them"
    assert by_ingress == {match["path"]["value"] for match in rule["matches"]}
    assert [("stackspot-proxy", 4000)] == [(it["name"], it["port"]) for it in rule["backendRefs"]]


def variables(container: Resource) -> dict[str, str]:
    return {found["name"]: found["value"] for found in container["env"]}


def volumes(spec: Resource) -> dict[str, Resource]:
    return {volume["name"]: volume for volume in spec["volumes"]}


def config_of(name: str) -> str:
    (found,) = [it["data"]["config.yaml"] for it in of_kind(name, "ConfigMap") if "config.yaml" in it["data"]]
    assert isinstance(found, str)
    return found
