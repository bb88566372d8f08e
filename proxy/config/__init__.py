"""Configuration: files, environment and flags become frozen dataclasses, each value with its origin."""

from proxy.config.load import load
from proxy.config.settings import Config, ConfigError, Model

__all__ = ["Config", "ConfigError", "Model", "load"]
