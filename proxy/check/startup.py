"""The same pings before the proxy serves, where ``validate_on_start`` asks for them."""

import structlog

from proxy.check.pings import ping_all
from proxy.config import Config
from proxy.config.secrets import Redactor

log = structlog.get_logger()


async def validate(config: Config) -> bool:
    """Whether everything is reached. Logs a line for each failure, and one that names them all."""
    failed = [outcome async for outcome in ping_all(config) if outcome.failed]
    for outcome in failed:
        log.error("check.failed", what=outcome.what, reason=Redactor(config)(outcome.note))
    if failed:
        log.error("start.failed", reason=f"these checks failed: {'; '.join(outcome.what for outcome in failed)}")
    return not failed
