"""Fixtures for tests that need Redis."""

from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import start_redis as start_redis
