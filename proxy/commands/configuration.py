"""The configuration that the command line, the environment and ``.env`` lead to."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import dotenv

from proxy.config import Config, ConfigError, load
from proxy.config.environment import Environment
from proxy.config.files import digest


def environment() -> Environment:
    try:
        return Environment(os.environ, dotenv.dotenv_values(".env", interpolate=False))
    except UnicodeDecodeError as error:
        raise ConfigError(f".env: cannot be read: {error}") from None


def configuration(file: Path | None, **flags: Any) -> Config:
    """``file`` is what ``--config`` says; ``flags`` are those that win over everything else."""
    files = {".env": digest(".env")}
    given = environment()
    named = given("PROXY_CONFIG")
    config = load(file or (Path(named) if named else None), given, **flags)
    source = "flag" if file else given.origin("PROXY_CONFIG")
    return replace(config, origins={**config.origins, "source": source}, files={**files, **config.files})
