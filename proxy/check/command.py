"""The report of ``python -m proxy check``, in plain text, for a terminal as for a log."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from proxy.check import ask, pings, settings
from proxy.check.outcome import Outcome
from proxy.config import Config, ConfigError
from proxy.config.listeners import unprotected
from proxy.config.secrets import Redactor

VALUE_WIDTH = 48
Tell = Callable[[str], None]


async def check(
    config: Config, environ: Mapping[str, str], tell: Tell, *, network: bool, prompts: Sequence[ask.Prompt]
) -> int:
    """Tells the settings, then each outcome as it comes; the exit code. ``prompts`` are for every model."""
    _tell_settings(config, environ, tell)
    failures: list[str] = []
    done = 0

    async def follow(title: str, outcomes: AsyncIterator[Outcome]) -> None:
        nonlocal done
        tell(f"\n{title}")
        try:
            async for outcome in outcomes:
                done += 1
                tell(_line(config, outcome))
                if outcome.failed:
                    failures.append(outcome.what)
        except ConfigError as error:  # found out only when the proxy is made
            done += 1
            tell(f"  FAILED  {error}")
            failures.append(title)

    if network:
        await follow(f"network, {pings.time_limit(config):g} s at most", pings.ping_all(config))
    if prompts:
        several = f"{len(prompts)} prompts each" if len(prompts) > 1 else "one prompt each"
        each = "one short prompt each" if prompts == [ask.HELLO] else several
        await follow(f"models, {each}", ask.ask_all(config, prompts))
    tell("")
    if failures:
        tell(f"{len(failures)} of {done} checks failed: {'; '.join(failures)}")
        return 1
    tell(f"all {done} checks passed" if done else "the configuration can be used; nothing else was checked")
    return 0


def _tell_settings(config: Config, environ: Mapping[str, str], tell: Tell) -> None:
    parts = [("", list(settings.settings(config, environ)))]
    for name, model in zip(ask.names(config), config.models, strict=True):
        title = f"\nmodel {name} ({settings.origin(config, model, 'name')})"
        parts.append((title, list(settings.of_model(config, model))))
    everything = [row for _, rows in parts for row in rows]
    name_width = max(len(row.name) for row in everything)
    value_width = min(max(len(row.value) for row in everything), VALUE_WIDTH)
    for title, rows in parts:
        if title:
            tell(title)
        for row in rows:
            tell(f"  {row.name:<{name_width}}  {row.value:<{value_width}}  {row.origin}")
    warnings = [*config.warnings, *(f"{setting}: {reason}" for setting, reason in unprotected(config))]
    if warnings:
        tell("\nwarnings")
    for warning in warnings:
        tell(f"  {warning}")


def _line(config: Config, outcome: Outcome) -> str:
    note = Redactor(config)(outcome.note)
    return f"  {'FAILED' if outcome.failed else 'ok':<6}  {outcome.seconds:6.2f} s  {outcome.what}: {note}"
