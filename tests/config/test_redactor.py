"""What is masked in texts that others have written: secrets in the forms that they are written in, hosts of upstreams."""

import base64
from dataclasses import replace

import pytest

from proxy.config import Config, Model
from proxy.config.addresses import MASK
from proxy.config.secrets import ISSUED, IssuedTokens, Redactor, UpstreamRedactor

SECRET = 'planted "key" of/ours+'
CONFIG = Config(
    models=(Model("m", "openai", "gpt", api_key=SECRET, api_base="https://LLM.example.internal:8443/v1"),),
    api_url="http://agents:8080",
    idm_url="http://[fd00::7]:81",
)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@gate.example:3128")


@pytest.mark.parametrize("written", [SECRET, 'planted \\"key\\" of/ours+', "planted%20%22key%22%20of%2Fours%2B"])
def test_written_forms(written: str) -> None:
    assert f"a {MASK} b" == Redactor(CONFIG)(f"a {written} b") == UpstreamRedactor(CONFIG)(f"a {written} b")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("length", range(6, 24))
def test_base64_wherever_a_secret_begins(encode: object, length: int) -> None:
    assert callable(encode)
    secret = "pl?nt~d>k/y+of_ours-and.m"[:length]
    redact = UpstreamRedactor(replace(CONFIG, master_key=secret))
    for before in range(6):
        for after in range(6):
            text = encode(b"#" * before + secret.encode() + b"#" * after).decode()
            assert MASK in redact(text), (before, after)


HOSTS: dict[str, tuple[str, str]] = {
    "a name": ("at llm.example.internal", f"at {MASK}"),
    "with a port": ("at llm.example.internal:8443.", f"at {MASK}."),
    "upper case": ("LLM.EXAMPLE.INTERNAL", MASK),
    "in a URL": ("https://llm.example.internal:8443/v1", f"https://{MASK}/v1"),
    "another": ("api.example.com", "api.example.com"),
    "a word in a URL": ("http://agents/v1", f"http://{MASK}/v1"),
    "a word with a port": ("agents:8080 refused", f"{MASK} refused"),
    "the same as a word": ("the agents refused; subagents:1", "the agents refused; subagents:1"),
    "IPv6": ("[fd00::7]:81 refused", f"{MASK} refused"),
    "an HTTP proxy": ("gate.example:3128 refused", f"{MASK} refused"),
}


@pytest.mark.parametrize(("said", "expected"), HOSTS.values(), ids=HOSTS)
def test_hosts(said: str, expected: str) -> None:
    assert (expected, said) == (UpstreamRedactor(CONFIG)(said), Redactor(CONFIG)(said))


class Login:
    pass


def test_the_tokens_of_a_login_and_the_ones_before() -> None:
    login, redact = Login(), Redactor(CONFIG)
    for token in ("planted.first", "planted.second", "planted.third"):
        ISSUED.remember(login, token)
    assert f"{MASK}, {MASK}" == redact("planted.second, planted.third")
    assert UpstreamRedactor(CONFIG)(base64.b64encode(b"planted.third").decode()).startswith(MASK)


def test_a_token_that_begins_another() -> None:
    login = Login()
    for token in ("planted.a", "planted.a.longer", "planted.a.l"):
        ISSUED.remember(login, token)
    assert f"{MASK}." == Redactor(CONFIG)("planted.a.longer.")


def test_tokens_are_not_remembered_for_ever() -> None:
    issued, login = IssuedTokens(), Login()
    for number in range(100):
        issued.remember(login, f"planted.{number}")
    issued.remember(login, "short")
    assert ("planted.97", "planted.98", "planted.99") == tuple(sorted(issued.written))
    del login
    another = Login()
    issued.remember(another, "planted.last")
    assert ("planted.last",) == issued.written
