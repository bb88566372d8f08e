"""What switches records, captures and traces on."""

from pathlib import Path

import pytest

from proxy.check.ask import apart
from proxy.config import ConfigError, load
from proxy.config.environment import Environment
from tests.config.test_load import STACKSPOT, elsewhere, from_text  # noqa: F401 - the fixture works in a folder of its own
from tests.support.processes import CREDENTIALS

FOLDERS: dict[str, tuple[str, str | None]] = {
    "a folder": ("runs/", "runs/"),
    "none": ("null", None),
    "nothing": ("", None),
    "of a variable": ("os.environ/FOLDER", "from-variable"),
    "of a variable that is unset": ("os.environ/NOWHERE", None),
}


@pytest.mark.parametrize("key", ["run_records", "capture"])
@pytest.mark.parametrize(("written", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_folders(key: str, written: str, expected: str | None) -> None:
    config = from_text(f"{STACKSPOT}proxy: {{{key}: {written}}}\n", CREDENTIALS | {"FOLDER": "from-variable"})
    assert expected == getattr(config, key)


@pytest.mark.parametrize("key", ["run_records", "capture"])
def test_a_folder_is_a_text(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"given.yaml:4: proxy.{key}: a text is expected here"):
        from_text(f"{STACKSPOT}proxy: {{{key}: true}}\n")


def test_they_are_off() -> None:
    config = from_text(STACKSPOT)
    assert (None, None, {}) == (config.run_records, config.capture, config.otel)


def test_the_variables_of_opentelemetry() -> None:
    real = {"OTEL_SERVICE_NAME": "real", "OTEL_EMPTY": "", "OTHER": "x"}
    dotenv = {"OTEL_SERVICE_NAME": "dotenv", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    Path("given.yaml").write_text(STACKSPOT)
    config = load(Path("given.yaml"), Environment(CREDENTIALS | real, dotenv))
    assert {"OTEL_SERVICE_NAME": "real", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} == config.otel
    assert ".env OTEL_EXPORTER_OTLP_ENDPOINT" == config.origins["OTEL_EXPORTER_OTLP_ENDPOINT"]


def test_the_models_are_asked_unobserved() -> None:
    config = from_text(f"{STACKSPOT}proxy: {{run_records: r, capture: c}}\n", CREDENTIALS | {"OTEL_X": "y"})
    alone = apart(config)
    assert (None, None, {}) == (alone.run_records, alone.capture, alone.otel)
