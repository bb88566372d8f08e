"""What ``check`` lists: all settings, whatever is added to them, and of secrets nothing."""

from dataclasses import fields, is_dataclass, replace

from proxy.check.settings import of_model, settings
from proxy.config import Config, Model
from proxy.config.secrets import Redactor
from proxy.config.settings import ApiKey, Quota

OUTSIDE = {"models", "demo", "otel", "left_out", "warnings", "origins", "files"}
PLANTED = {"master_key": "planted-master", "redis_url": "redis://:pl%40nted@h:1/0"}
MODEL = Model("m", "stackspot", "agent", client_secret="planted-secret", api_key="planted-key")
CONFIG = Config(
    models=(MODEL,),
    quota=Quota(),
    api_keys=(ApiKey("app", "planted-app"),),
    **PLANTED,  # type: ignore[arg-type]
)


def test_every_setting_is_listed() -> None:
    """A field that somebody adds is listed without more ado."""
    values = [getattr(CONFIG, field.name) for field in fields(CONFIG) if field.name not in OUTSIDE]
    inner = [value[0] if isinstance(value, tuple) and value else value for value in values]
    count = sum(len(fields(value)) if is_dataclass(value) else 1 for value in inner)
    assert count == len(list(settings(CONFIG, {})))
    listed = {setting.name for setting in of_model(CONFIG, MODEL)}
    assert {field.name for field in fields(MODEL)} - {"name", "provider", "target", "path", "collect"} <= listed


def test_no_secret_is_listed() -> None:
    listed = [*settings(CONFIG, {"HTTPS_PROXY": "http://u:planted@p:1"}), *of_model(CONFIG, MODEL)]
    text = repr(listed)
    assert "planted" not in text
    assert "pl%40nted" not in text
    assert 6 == text.count("********")


def test_opentelemetry_is_listed_by_its_variables() -> None:
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:planted@c:4318", "OTEL_EXPORTER_OTLP_HEADERS": "x=planted-header"}
    listed = {setting.name: setting.value for setting in settings(replace(CONFIG, otel=otel), {})}
    assert ("http://********@c:4318", "********") == tuple(listed[name] for name in otel)
    assert "to ********" == Redactor(replace(CONFIG, otel=otel))("to planted-header")


def test_secrets_are_taken_out_of_what_others_say() -> None:
    said = "key planted-key, password pl@nted or pl%40nted, planted-master!"
    assert "key ********, password ******** or ********, ********!" == Redactor(CONFIG)(said)
