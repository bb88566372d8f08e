"""Fixtures for tests that need Redis."""

from tests.support.redis_server import start_redis as start_redis
