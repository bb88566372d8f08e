"""Whose fault a failure is: the first question of whoever is on call."""

from proxy.errors import CreditSpent, KeyLimitExceeded, ProxyError, QuotaExceeded, UpstreamRateLimited

SOURCES = ("caller", "proxy", "quota", "upstream")


def fault(error: ProxyError) -> str:
    """One of ``SOURCES``. An account that was asked for more than it may is nobody's failure but the quota's."""
    if isinstance(error, QuotaExceeded | UpstreamRateLimited | CreditSpent):
        return "quota"
    return "caller" if isinstance(error, KeyLimitExceeded) else error.source
