"""The OpenAPI document is valid, and requests made of it, right and wrong ones, get the answers that it declares."""

import subprocess
from pathlib import Path

from tests.clients.environments import environment, plain_environment
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.processes import Proxy, StandIn

HERE = Path(__file__).parent
KEY = "planted-caller-key"
CORRELATION = STACKSPOT + "proxy: {correlation: {header: x-conversation, required: false}}\n"
CHECKS = (
    "no_fault_of_its_own",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


def run(command: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [environment("schemathesis") / command, *arguments],
        env=plain_environment(SCHEMATHESIS_HOOKS=str(HERE / "hooks.py"), PYTHONDONTWRITEBYTECODE="1", COLUMNS="160"),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_requests_made_of_the_document(launch: Launch, stand_in: StandIn, tmp_path: Path) -> None:
    proxy = launch(env={"PROXY_API_KEY": KEY})
    stand_in.script("*", {"deltas": ["Hi"], "repeat": True})
    try:
        told = run(
            "st", "run", f"{proxy.url}/openapi.json", "--header", f"Authorization: Bearer {KEY}", "--seed", "1",
            "--max-examples", "12", "--no-shrink", "--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS),
            "--request-timeout", "20", cwd=tmp_path,
        )  # fmt: skip
    finally:
        stand_in.script("*")
    assert "13 selected / 13 total" in told
    for route in ("/v1/chat/completions", "/chat"):
        assert proxy.metric("proxy_requests_total", route=route, status="200"), "some got an answer"
    assert [] == proxy.events(event="request.failed")
    assert "Traceback" not in proxy.output


def test_the_document_is_one(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(CORRELATION, env={"PROXY_API_KEY": KEY})
    assert 401 == proxy.client.get("/openapi.json").status_code
    reply = proxy.client.get("/openapi.json", headers={"authorization": f"Bearer {KEY}"})
    assert (200, "application/json") == (reply.status_code, reply.headers["content-type"])
    (tmp_path / "openapi.json").write_bytes(reply.content)
    run("openapi-spec-validator", str(tmp_path / "openapi.json"), cwd=tmp_path)
    chat = reply.json()["paths"]["/v1/chat/completions"]["post"]
    assert ("x-conversation", False) == (chat["parameters"][0]["name"], chat["parameters"][0]["required"])
    assert [{"authorization": []}, {"x-api-key": []}, {"api-key": []}] == chat["security"]


def test_every_route_is_in_it(proxy: Proxy) -> None:
    """And it asks for no key where none is needed."""
    document = proxy.client.get("/openapi.json").json()
    assert [] == document["paths"]["/v1/models"]["get"]["security"]
    for path, methods in document["paths"].items():
        for method in methods:
            reply = proxy.client.request(method, path.replace("{id}", "stackspot"))
            assert reply.status_code in (200, 400), path
