"""Secrets: from variables, from ``.env``, from mounted files; each says where it came from."""

from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.config.environment import Environment
from proxy.dispatch.credentials import stackspot_key
from tests.config.test_load import STACKSPOT, from_text
from tests.support.processes import CREDENTIALS

FIELDS = {"CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret", "REALM": "realm", "GENAI_AGENT_ID": "agent_id"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_any_variable_that_the_config_refers_to() -> None:
    Path("mounted").write_text("second")
    text = STACKSPOT.replace("agent}", "agent, client_secret: os.environ/B_SECRET}")
    assert "second" == from_text(text, CREDENTIALS | {"B_SECRET_FILE": "mounted"}).models[0].client_secret


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("written", ["from-file", "from-file\n", "  from-file\r\n\n"], ids=repr)
def test_from_a_mounted_file(name: str, written: str) -> None:
    Path("mounted").write_bytes(written.encode())
    others = {key: value for key, value in CREDENTIALS.items() if key != name}
    config = from_text(STACKSPOT, others | {f"{name}_FILE": "mounted"})
    assert "from-file" == getattr(config.models[0], FIELDS[name])
    origin = config.origins[f"model_list[0].litellm_params.{FIELDS[name]}"]
    assert f"environment {name}_FILE" == origin


def test_from_a_file_that_the_config_refers_to() -> None:
    Path("mounted").write_text("from-file")
    text = STACKSPOT.replace("agent}", "agent, client_secret: os.environ/CLIENT_SECRET}")
    config = from_text(text, CREDENTIALS | {"CLIENT_SECRET": "", "CLIENT_SECRET_FILE": "mounted"})
    assert ("from-file", ()) == (config.models[0].client_secret, config.warnings)


def test_which_wins() -> None:
    Path("mounted").write_text("file")
    real, dotted = {"REALM_FILE": "mounted"}, {"REALM": "dotted"}
    assert "dotted" == Environment(real, dotted)("REALM"), "a variable, wherever it stands, before a file"
    assert "real" == Environment({"REALM": "real"} | real)("REALM")
    assert ".env REALM_FILE" == Environment({}, {"REALM_FILE": "mounted"}).origin("REALM")
    assert "environment REALM_FILE" == Environment(real, {"REALM_FILE": "other"}).origin("REALM")


@pytest.mark.parametrize(
    ("written", "message"),
    [(b"two\nlines", "a line break"), (b"\xff", "cannot be read"), (b"\n", "CLIENT_SECRET_FILE: mounted is empty")],
    ids=["two lines", "no text", "nothing"],
)
def test_files_that_hold_no_secret(written: bytes, message: str) -> None:
    Path("mounted").write_bytes(written)
    with pytest.raises(ConfigError, match=message) as refused:
        from_text(STACKSPOT, CREDENTIALS | {"CLIENT_SECRET": "", "CLIENT_SECRET_FILE": "mounted"})
    assert "CLIENT_SECRET" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "sent"),
    [("abc", "sk-abc"), ("sk-abc", "sk-abc"), ("eyJh.eyJz.c2ln", "eyJh.eyJz.c2ln"), ("eyes", "sk-eyes"), ("a.b.c", "sk-a.b.c")],
)  # fmt: skip
def test_a_ready_key_as_it_is_sent(key: str, sent: str) -> None:
    assert sent == stackspot_key(key)
