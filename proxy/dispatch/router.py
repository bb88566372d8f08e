"""From a model's name to the deployments that serve it, and to those that stand in for them."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proxy.dispatch.deployment import Deployment
from proxy.errors import UnknownModel, safe_model


@dataclass(frozen=True, slots=True)
class Group:
    """The deployments that share a name."""

    name: str
    deployments: Sequence[Deployment]

    @property
    def provider(self) -> str:
        return self.deployments[0].provider

    @property
    def target(self) -> str:
        """The provider's own name for what answers, of the first that share the name."""
        return self.deployments[0].target

    async def choose(self, tried: Collection[Deployment] = ()) -> Deployment:
        """The deployment for a request that has ``tried`` some already: one that is fit and was not tried, of
        the shortest wait, by weight at random. A name is never empty: when none is fit, the first to become so."""
        fit = [deployment for deployment in self.deployments if deployment.health.fit()]
        candidates = [deployment for deployment in fit if deployment not in tried] or fit
        while candidates:
            chosen = await _lightest(candidates)
            if await chosen.health.claim():
                return chosen
            candidates.remove(chosen)
        return min(self.deployments, key=lambda deployment: deployment.health.cooling)

    async def delay(self) -> float:
        """The seconds that a request would wait for the quota of the account that is free first, where a fallback is
        better; else 0.0."""
        fit = [deployment for deployment in self.deployments if deployment.health.fit()] or self.deployments
        return min([await deployment.quota.delay() if deployment.quota else 0.0 for deployment in fit])

    def others(self, tried: Collection[Deployment]) -> bool:
        """There is a deployment that is fit and was not tried."""
        return any(deployment.health.fit() for deployment in self.deployments if deployment not in tried)


class Router:
    """Finds deployments by name. Aliases may hold ``*``; an exact name wins over them. ``fallbacks`` names the
    groups to turn to, in order, when all of one have failed."""

    def __init__(self, deployments: Iterable[Deployment], fallbacks: Mapping[str, Sequence[str]]) -> None:
        shared: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            shared.setdefault(deployment.name, []).append(deployment)
        self._groups = {name: Group(name, members) for name, members in shared.items()}
        self._fallbacks = fallbacks
        self._exact: dict[str, Group] = {}
        self._patterns: dict[str, Group] = {}
        for group in self._groups.values():
            for name in (group.name, *(alias for member in group.deployments for alias in member.aliases)):
                (self._patterns if "*" in name else self._exact)[name] = group

    @property
    def names(self) -> Mapping[str, Group]:
        """Every name and alias that can be sent as it is."""
        return self._exact

    def find(self, model: str) -> Group:
        """Raises ``UnknownModel``, which lists the names."""
        if found := self._exact.get(model):
            return found
        for pattern, group in self._patterns.items():
            if fnmatchcase(model, pattern):
                return group
        known = ", ".join([*self._exact, *self._patterns])
        raise UnknownModel(
            f"the model {model[:128]!r} is not configured; configured are: {known}",
            reason=f"the model {safe_model(model) or '***'} is not configured",
            param="model",
        )

    def way(self, group: Group) -> Sequence[Group]:
        """The group and its fallbacks, in order."""
        return [group, *(self._groups[name] for name in self._fallbacks.get(group.name, ()))]


async def _lightest(candidates: Sequence[Deployment]) -> Deployment:
    """Of those with the shortest wait one at random, by weight."""
    if len(candidates) == 1:
        return candidates[0]
    waits = [await candidate.quota.wait() if candidate.quota else 0.0 for candidate in candidates]
    shortest = min(waits)
    lightest = [candidate for candidate, wait in zip(candidates, waits, strict=True) if wait == shortest]
    weights = [candidate.weight for candidate in lightest]
    return random.choices(lightest, weights)[0]  # noqa: S311 - it spreads load, nothing depends on it being secret
