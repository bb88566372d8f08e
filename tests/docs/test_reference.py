"""The reference is complete and true: every key of the file with its default, every variable, error and route that the
code knows stands in it, and nothing else does. What the proxy tells of itself is in test_observing.py."""

import copy
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.environment import Environment
from proxy.config.load import load
from proxy.config.providers import OPENAI_COMPATIBLE
from proxy.config.settings import Config, ConfigError
from proxy.errors import ProxyError
from tests.docs.documents import blocks, codes, sections, table
from tests.support.processes import CREDENTIALS, ROOT, Proxy

UNKNOWN = "zzzzzzzz"
OF_THE_FILE = {"models", "source", "left_out", "origins", "files"}
KEYED = CREDENTIALS | {"PROXY_API_KEY": "planted-key"}
"""With the key that the reference names: it must be set where it is named."""
READ_ELSEWHERE = {"PROXY_CONFIG", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}


class Recorder(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def reference() -> str:
    """The block that shows every key of the file."""
    [block] = [block for block in blocks("yaml", sections()["The file"]) if "model_list:" in block]
    return block


def loaded(document: object, folder: Path, environment: dict[str, str] = CREDENTIALS) -> Config:
    file = folder / "config.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document), "utf-8")
    return load(file, Environment(environment))


def mappings(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document there are mappings."""
    if isinstance(node, dict):
        yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from mappings(value, (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def test_every_key_of_the_file(tmp_path: Path) -> None:
    """Asked for a key that does not exist, each part of the file names those that do: the reference shows them all.
    What has no default stands in a comment."""
    document = yaml.safe_load(reference())
    optional = {key: yaml.safe_load(value) for key, value in re.findall(r"(?m)^  # (\w+): (\{.*?\})", reference())}
    whole = document | {"proxy": document["proxy"] | optional}
    for path in mappings(whole):
        spoilt = copy.deepcopy(document)
        if path[1:2] and path[1] in optional:
            spoilt["proxy"][path[1]] = {}
        at(spoilt, path)[UNKNOWN] = []
        with pytest.raises(ConfigError, match="known here: ") as raised:
            loaded(spoilt, tmp_path, KEYED)
        known = set(str(raised.value).partition("known here: ")[2].split(", "))
        elsewhere = set() if path else {"aliases", "litellm_settings"}  # told of in words
        assert known - elsewhere == set(at(whole, path)), path


def test_every_value_shown_is_the_default(tmp_path: Path) -> None:
    """But for the names in ``model_list``."""
    shown = loaded(reference(), tmp_path, KEYED)
    plain = loaded("model_list: [{model_name: m, litellm_params: {model: stackspot/agent}}]", tmp_path, KEYED)
    for field in fields(Config):
        if field.name not in OF_THE_FILE:
            assert getattr(shown, field.name) == getattr(plain, field.name), field.name


def test_every_variable(tmp_path: Path) -> None:
    """The table has what the configuration asks the environment for."""
    environment = Recorder(CREDENTIALS | {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": "http://e/v1"})
    environment |= {"LLM_API_KEY": "planted-key", "LLM_MODEL": "m"}
    environment |= {provider.key_variable: "planted-key" for provider in OPENAI_COMPATIBLE.values()}
    others = [{"model_name": name, "litellm_params": {"model": f"{name}/m"}} for name in OPENAI_COMPATIBLE]
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))["model_list"]
    loaded({"model_list": shipped + others}, tmp_path, environment)
    asked = {name for name in environment.asked if not name.endswith("_FILE")}
    told = {name for row in table("Environment") for name in codes(row[0]) if not name.endswith("_FILE")}
    assert asked - told == set()
    assert {name for name in told - asked - READ_ELSEWHERE if not name.startswith("OTEL_")} == set()


def failures(of: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    """The classes that stand for a failure, not for a kind of them."""
    below = of.__subclasses__()
    if not below:
        yield of
    for one in below:
        yield from failures(one)


def test_every_error() -> None:
    """With its status."""
    told: dict[str, set[str]] = {}
    for status, code, *_ in table("Errors"):
        for name in codes(code):
            told.setdefault(name, set()).update(status.split(", "))
    found = {(one.code, one.status) for one in failures() if one.code and one.status != 499}
    assert len(found) > 20
    for code, status in found:
        assert str(status) in told.get(code, ()), f"{status} {code}"
    assert set(told) <= {code for code, _ in found}


def test_every_route(proxy: Proxy) -> None:
    """Those of the OpenAPI document, which the proxy makes of its own routes."""
    told = {name.split()[-1] for row in table("What it answers") for name in codes(row[0]) if "/" in name}
    document = proxy.client.get("/openapi.json").json()
    assert set(document["paths"]) <= told | {"/openapi.json"}
