"""The lock file holds what every Python that is served needs, not only the one that it was made with."""

import re
from collections.abc import Iterator
from importlib.metadata import requires

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT

LOCKED = frozenset(re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8")))
"""Distributions by their canonical names."""


def needed(python: str, platform: str, system: str) -> Iterator[tuple[str, str]]:
    """Each distribution that a locked one asks for there, and who asks for it."""
    here = dict(default_environment())
    there = here | {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": platform,
        "platform_system": system,
        "extra": "",
    }
    for name in LOCKED:
        for line in requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(there):
                yield canonicalize_name(requirement.name), name


@pytest.mark.parametrize("platform", [("linux", "Linux"), ("darwin", "Darwin")], ids=["Linux", "macOS"])
@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0"])
def test_what_is_locked_is_all_that_is_needed(python: str, platform: tuple[str, str]) -> None:
    assert {pair for pair in needed(python, *platform) if pair[0] not in LOCKED} == set()
