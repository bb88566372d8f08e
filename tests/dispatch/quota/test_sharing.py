"""What replicas share through a real Redis, and how they do without it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from proxy.dispatch.cache.redis_store import RedisStore
from proxy.dispatch.cache.store import Bounds
from proxy.dispatch.quota.ledger import Allowance, Ledger, Reservation
from proxy.dispatch.quota.queue import Queue
from proxy.dispatch.quota.sharing import Sharing
from tests.dispatch.quota.support import Share, Shop, Told, Waits, until
from tests.support.redis_server import RedisServer

ShareMaker = Callable[..., Awaitable[Share]]
StartRedis = Callable[..., RedisServer]

NINE = Allowance(9, None)


async def started(ledger: Ledger, count: int, letter: str = "t") -> int:
    """How many of so many requests may start at once; the others do not wait."""
    starts = 0
    for number in range(count):
        given = await ledger.reserve(f"{letter}{number}", 0)
        starts += given.outcome == "started"
        if given.outcome == "waiting":
            ledger.cancel(f"{letter}{number}")
    return starts


def test_without_a_url_nothing_needs_redis() -> None:
    program = "import sys, proxy.server.app, proxy.dispatch.quota.queue; sys.exit('redis' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode


# One limit --------------------------------------------------------------------------------------------------------


async def test_replicas_have_one_limit(share: ShareMaker) -> None:
    replicas = [await share() for _ in range(3)]
    ledgers = [replica.sharing.ledger("acme", NINE) for replica in replicas]
    for replica in replicas:
        await replica.sharing.start()
    assert [4, 4, 1] == [await started(ledger, 4) for ledger in ledgers]
    assert 60 == pytest.approx(await ledgers[0].wait(), abs=1)
    other = replicas[0].sharing.ledger("other", NINE)
    assert 9 == await started(other, 10, "o"), "an account's limit is its own"


async def test_replicas_have_one_line(share: ShareMaker) -> None:
    """Who gives a slot back does not get the next one before those who came first elsewhere."""
    here, there = [await share() for _ in range(2)]
    one, two = [replica.sharing.ledger("acme", Allowance(None, 1)) for replica in (here, there)]
    await here.sharing.start()
    await there.sharing.start()
    assert "started" == (await one.reserve("a", 1)).outcome
    assert "waiting" == (await two.reserve("b", 1)).outcome
    assert "waiting" == (await one.reserve("c", 1)).outcome
    one.finish("a")
    assert [0.05, 0.0] == [await one.start("c"), await two.start("b")]


async def test_under_double_demand_the_limit_is_kept_and_used(share: ShareMaker) -> None:
    """Three replicas, each with two keys, together want twice what is allowed; the window is a second."""
    allowance, seconds = Allowance(20, None, 1.0), 2.5
    sent: list[tuple[float, str]] = []
    queues = []
    for _ in range(3):
        replica = await share()
        queues.append(Queue(replica.sharing.ledger("acme", allowance), 1.0, Waits()))
        await replica.sharing.start()

    async def call(queue: Queue, caller: str) -> None:
        async with queue.admit(caller):
            sent.append((time.monotonic(), caller))

    begin = time.monotonic()
    calls: list[asyncio.Task[None]] = []
    while (now := time.monotonic()) < begin + seconds:
        while len(calls) < 2 * allowance.requests * (now - begin):  # type: ignore[operator]
            calls.append(asyncio.create_task(call(queues[len(calls) % 3], "ab"[len(calls) // 3 % 2])))
        await asyncio.sleep(0.01)
    await asyncio.gather(*calls, return_exceptions=True)
    for queue in queues:
        await queue.close()

    times = [at for at, _ in sent]
    late = 0.1  # a busy machine sees late what was allowed in time
    assert not [later - at for at, later in zip(times, times[20:], strict=False) if later - at < 1.0 - late]
    assert len(sent) >= 0.9 * 20 * (times[-1] - times[0])
    shares = [[caller for _, caller in sent].count(key) for key in "ab"]
    assert max(shares) <= 1.2 * min(shares)


async def test_what_leaves_late_counts_from_then(share: ShareMaker) -> None:
    here, there = [await share() for _ in range(2)]
    one, two = [replica.sharing.ledger("acme", Allowance(1, None)) for replica in (here, there)]
    await here.sharing.start()
    await there.sharing.start()
    assert 1 == await started(one, 1)
    assert one.sent("t0") < 0.1
    await asyncio.sleep(0.5)
    assert 59.3 < await two.wait() < 59.7
    assert 0.5 < one.sent("t0")
    await one.settle()
    assert 60 == pytest.approx(await two.wait(), abs=0.2)


async def test_replicas_pause_together(share: ShareMaker) -> None:
    here, there = [await share() for _ in range(2)]
    one, two = [replica.sharing.ledger("acme", NINE) for replica in (here, there)]
    await here.sharing.start()
    await there.sharing.start()
    await one.limited()
    assert 5 == pytest.approx(await two.wait(), abs=0.5)


async def test_a_caller_that_leaves_gives_back_what_redis_kept_for_it(
    share: ShareMaker, redis_server: RedisServer, prefix: str
) -> None:
    """At whatever point of the command it leaves."""
    replica = await share()
    ledger = replica.sharing.ledger("acme", Allowance(1000, 1))
    queue = Queue(ledger, 10, Waits())
    await replica.sharing.start()
    holder = await queue.enter("a")
    for point in range(60):
        leaver = asyncio.create_task(queue.enter("b"))
        for _ in range(point):
            await asyncio.sleep(0 if point < 40 else 0.0005)
        leaver.cancel()
        await asyncio.wait([leaver])
        assert leaver.cancelled()
    queue.leave(holder)
    for point in range(40):
        leaver = asyncio.create_task(queue.enter("b"))
        for _ in range(point):
            await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait([leaver])
        if not leaver.cancelled():
            queue.leave(leaver.result())
    await queue.close()
    await replica.sharing.close()
    async with Redis.from_url(redis_server.url) as client:
        kept = [await client.zcard(f"{prefix}:{{acme}}:{book}") for book in ("waiting", "running", "leases")]
    assert [0, 0, 0] == kept
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_what_is_kept_ends_and_lies_together(share: ShareMaker, redis_server: RedisServer, prefix: str) -> None:
    """Every key expires, and the keys of a script have one hash tag, as a cluster wants it."""
    replica = await share()
    ledger = replica.sharing.ledger("acme:id", Allowance(1, 1))
    await replica.sharing.start()
    await started(ledger, 1)
    await ledger.reserve("w", 100)
    await ledger.limited()
    await replica.sharing.cool("d1", 30)
    await replica.sharing.claim_probe("d1", 30)
    async with Redis.from_url(redis_server.url) as client:
        keys = [key.decode() async for key in client.scan_iter(f"{prefix}:*")]
        assert not [key for key in keys if not 0 < await client.pttl(key) < 600_000]
    tag = f"{prefix}:{{acme:id}}:"
    assert 5 == len([key for key in keys if key.startswith(tag)])
    assert {"cooling", "probe:d1", "replicas"} == {
        key.removeprefix(f"{prefix}:{{deployments}}:") for key in keys if not key.startswith(tag)
    }


@pytest.mark.parametrize("shop", ["redis"], indirect=True)
async def test_a_clock_that_is_set_back_lets_nobody_overtake(shop: Shop) -> None:
    ledger = shop.open(Allowance(None, 1))
    assert 1 == await started(ledger, 1)
    assert "waiting" == (await ledger.reserve("b", 1)).outcome
    await shop.pass_time(-30)
    assert "waiting" == (await ledger.reserve("c", 1)).outcome
    ledger.finish("t0")
    assert [0.05, 0.0] == [await ledger.start("c"), await ledger.start("b")]


# Replicas that come and go ----------------------------------------------------------------------------------------


async def test_replicas_are_counted(share: ShareMaker) -> None:
    here, there = [await share() for _ in range(2)]
    await here.sharing.start()
    await there.sharing.start()
    await until(lambda: here.sharing.replicas == there.sharing.replicas == 2)
    await there.sharing.close()
    await until(lambda: here.sharing.replicas == 1)


def crash(replica: Share) -> None:
    """It does nothing any more, and told nobody."""
    replica.sharing._stop.set()
    replica.sharing._connection.up = False


async def test_what_a_crashed_replica_held_comes_back(share: ShareMaker) -> None:
    """Its slots and its places in line; those of one that lives are renewed."""
    here, there = [await share(lease=0.5) for _ in range(2)]
    one, two = [replica.sharing.ledger("acme", Allowance(None, 2)) for replica in (here, there)]
    await here.sharing.start()
    await there.sharing.start()
    assert 1 == await started(two, 1)
    assert 1 == await started(one, 1)
    assert "waiting" == (await one.reserve("w", 1)).outcome
    assert "waiting" == (await two.reserve("x", 1)).outcome
    crash(here)
    assert 0 < await two.start("x")
    began = time.monotonic()
    async with asyncio.timeout(10):
        while await two.start("x"):  # noqa: ASYNC110 - that is how it is asked for
            await asyncio.sleep(0.05)
    assert time.monotonic() - began > 0.2
    await asyncio.sleep(0.6)
    assert 0 == await started(two, 1, "y"), "the slot that it took at first is its own still"


async def test_a_killed_replica_blocks_the_account_for_ten_seconds_at_most(redis_server: RedisServer) -> None:
    """With the values that the proxy uses."""
    here, there = [Sharing(redis_server.url, Told(), prefix="killed") for _ in range(2)]
    try:
        one, two = [sharing.ledger("acme", Allowance(None, 1)) for sharing in (here, there)]
        await here.start()
        await there.start()
        assert 1 == await started(one, 1)
        here._stop.set()
        here._connection.up = False
        began = time.monotonic()
        async with asyncio.timeout(20):
            while await two.start("x"):  # noqa: ASYNC110 - that is how it is asked for
                await asyncio.sleep(0.1)
        assert time.monotonic() - began < 15
    finally:
        await here.close()
        await there.close()


# What Redis refuses -------------------------------------------------------------------------------------------------


async def test_an_error_reply_about_a_cached_answer_leaves_the_quota_shared(
    share: ShareMaker, redis_server: RedisServer
) -> None:
    here, there = [await share() for _ in range(2)]
    ledgers = [replica.sharing.ledger("acme", NINE) for replica in (here, there)]
    await here.sharing.start()
    await there.sharing.start()
    connection = here.sharing.connection
    store = RedisStore(connection)
    async with Redis.from_url(redis_server.url) as client:
        for key in connection.keys("cache", ("order", "total")):
            await client.rpush(key, "x")
        store.put("k", b"v", Bounds(10**6, 10, 60))
        await until(lambda: bool(here.told.refusals))
    assert "WRONGTYPE" in here.told.refusals[0]
    assert (True, []) == (here.sharing.up, here.told.events)
    assert [9, 0] == [await started(ledger, 9) for ledger in ledgers]


async def test_an_account_whose_book_is_refused_keeps_to_its_share(
    share: ShareMaker, redis_server: RedisServer
) -> None:
    here, there = [await share() for _ in range(2)]
    for replica in (here, there):
        await replica.sharing.start()
    await until(lambda: (here.sharing.replicas, there.sharing.replicas) == (2, 2))
    ledgers = [replica.sharing.ledger("acme", NINE) for replica in (here, there)]
    others = [replica.sharing.ledger("other", NINE) for replica in (here, there)]
    async with Redis.from_url(redis_server.url) as client:
        (key,) = here.sharing.connection.keys("acme", ["sent"])
        await client.rpush(key, "x")
    assert [4, 4] == [await started(ledger, 9) for ledger in ledgers]
    assert [9, 0] == [await started(ledger, 9, "o") for ledger in others]
    assert (True, True, []) == (here.sharing.up, there.sharing.up, here.told.events)
    assert 1 == len(here.told.refusals), "once a minute"


async def test_a_redis_that_refuses_all_writes_counts_as_away(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replica = await share(server.url)
    await replica.sharing.start()
    async with Redis.from_url(server.url) as client:
        await client.config_set("maxmemory", "1")
        await until(lambda: replica.told.events == ["lost"])
        await client.config_set("maxmemory", "0")
        await until(lambda: replica.told.events == ["lost", "restored"])


async def test_a_slow_redis_counts_as_away(start_redis: StartRedis) -> None:
    """Requests do not wait for one answer each: the first that is late decides for all."""
    server = start_redis()
    told = Told()
    sharing = Sharing(server.url, told, prefix="slow")
    try:
        ledger = sharing.ledger("acme", Allowance(100, None))
        await sharing.start()
        server.hang()
        began = time.monotonic()
        given = await asyncio.gather(*(ledger.reserve(f"s{number}", 0) for number in range(20)))
        assert time.monotonic() - began < 3, "20 time-outs would take 5 s"
        server.go_on()
        assert {"started"} == {one.outcome for one in given}
        assert ["lost"] == told.events
    finally:
        await sharing.close()


# Without Redis ----------------------------------------------------------------------------------------------------


async def test_it_starts_without_redis_and_shares_when_it_comes(
    share: ShareMaker, start_redis: StartRedis, unused_tcp_port: int
) -> None:
    replica = await share(f"redis://127.0.0.1:{unused_tcp_port}/0")
    ledger = replica.sharing.ledger("acme", NINE)
    await replica.sharing.start()
    assert (False, ["lost"]) == (replica.sharing.up, replica.told.events)
    assert 9 == await started(ledger, 10), "it knows of no other: the whole is its share"
    server = start_redis(port=unused_tcp_port)
    await until(lambda: replica.told.events == ["lost", "restored"])
    other = await share(server.url)
    two = other.sharing.ledger("acme", NINE)
    await other.sharing.start()
    assert 0 == await started(two, 1), "what was sent without Redis counts"


async def test_each_goes_on_with_its_share_of_what_is_left(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replicas = [await share(server.url) for _ in range(3)]
    ledgers = [replica.sharing.ledger("acme", Allowance(9, 6)) for replica in replicas]
    for replica in replicas:
        await replica.sharing.start()
    await until(lambda: [3, 3, 3] == [replica.sharing.replicas for replica in replicas])
    assert [2, 1] == [await started(ledger, count) for ledger, count in zip(ledgers, (2, 1), strict=False)]
    server.kill()
    await until(lambda: not any(replica.sharing.up for replica in replicas))
    ledgers[1].finish("t0")
    assert [0, 2, 2] == [await started(ledger, 5, "l") for ledger in ledgers], "2 slots each"
    for ledger in ledgers:
        for number in range(5):
            ledger.finish(f"t{number}")
            ledger.finish(f"l{number}")
    assert [1, 0, 1] == [await started(ledger, 5, "m") for ledger in ledgers], "3 requests a minute each"
    late = replicas[0].sharing.ledger("late", NINE)
    assert 3 == await started(late, 5)


async def test_a_redis_that_lost_everything_is_told(share: ShareMaker, start_redis: StartRedis) -> None:
    """It was restarted: what was sent, runs and waits is there again, in its order."""
    server = start_redis()
    replica = await share(server.url)
    ledger = replica.sharing.ledger("acme", Allowance(9, 4))
    await replica.sharing.start()
    assert 4 == await started(ledger, 5)
    for number in range(3):
        ledger.finish(f"t{number}")
    server.kill()
    await until(lambda: not replica.sharing.up)
    assert 3 == await started(ledger, 4, "alone")
    assert "waiting" == (await ledger.reserve("w1", 1)).outcome
    start_redis(port=server.port)
    await until(lambda: replica.told.events == ["lost", "restored"])
    other = await share(server.url)
    two = other.sharing.ledger("acme", Allowance(9, 4))
    await other.sharing.start()
    assert "waiting" == (await two.reserve("w2", 1)).outcome, "4 run, and one is ahead"
    ledger.finish("t3")
    assert [0.05, 0.0] == [await two.start("w2"), await ledger.start("w1")]
    for number in range(3):
        ledger.finish(f"alone{number}")
    await ledger.settle()
    assert [0.0, "refused"] == [await two.start("w2"), (await two.reserve("w3", 1)).outcome], "9 were sent"


async def test_a_redis_that_hangs_holds_nobody_for_longer_than_the_timeout(
    share: ShareMaker, start_redis: StartRedis
) -> None:
    server = start_redis()
    replica = await share(server.url, timeout=0.3, beat=30)
    ledger = replica.sharing.ledger("acme", Allowance(100, 30))
    queue = Queue(ledger, 10, Waits())
    await replica.sharing.start()
    server.hang()
    began = time.monotonic()
    tickets = await asyncio.gather(*(queue.enter("a") for _ in range(20)))
    assert 0.25 < time.monotonic() - began < 1.5, "all of them waited for one time-out"
    began = time.monotonic()
    tickets += [await queue.enter("a") for _ in range(10)]
    assert time.monotonic() - began < 0.25, "nobody waits for it again"
    assert ["lost"] == replica.told.events
    assert replica.told.reasons[0].startswith("TimeoutError: ")
    assert 10 / 30 == await queue.wait()
    for ticket in tickets:
        queue.leave(ticket)
    await queue.close()


async def test_one_command_at_a_time(share: ShareMaker, start_redis: StartRedis) -> None:
    """So they keep their order, and one that hangs does not make those behind it wait for a time-out of their own."""
    server = start_redis()
    replica = await share(server.url, timeout=1.0, beat=30)
    ledger = replica.sharing.ledger("acme", Allowance(50, None))
    await replica.sharing.start()
    given = await asyncio.gather(*(ledger.reserve(f"t{number}", 100) for number in range(80)))
    assert ["started"] * 50 + ["waiting"] * 30 == [reservation.outcome for reservation in given]
    async with Redis.from_url(server.url) as client:
        assert (await client.info("clients"))["connected_clients"] <= 3
    server.hang()
    began = time.monotonic()
    first = asyncio.create_task(ledger.wait())
    await asyncio.sleep(0.8)
    await ledger.wait()
    await first
    assert time.monotonic() - began < 1.6


async def test_what_is_sent_while_the_accounts_come_back_counts(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replica, other = [await share(server.url) for _ in range(2)]
    first, second = [replica.sharing.ledger(account, NINE) for account in ("first", "second")]
    await replica.sharing.start()
    server.kill()
    await until(lambda: not replica.sharing.up)
    restore = second.restore
    late: list[Reservation] = []

    async def restore_slowly() -> None:
        late.append(await first.reserve(f"late{len(late)}", 0))
        await restore()

    second.restore = restore_slowly  # type: ignore[method-assign]
    start_redis(port=server.port)
    await until(lambda: replica.sharing.up and len(late) == 2)
    two = other.sharing.ledger("first", NINE)
    await other.sharing.start()
    assert 7 == await started(two, 10)


async def test_what_redis_did_without_saying_so_is_put_right(share: ShareMaker, start_redis: StartRedis) -> None:
    """A command that timed out was carried out all the same when Redis went on."""
    server = start_redis()
    replica, other = [await share(server.url, timeout=0.3) for _ in range(2)]
    ledger, two = [each.sharing.ledger("acme", Allowance(None, 1)) for each in (replica, other)]
    await replica.sharing.start()
    server.hang()
    assert "started" == (await ledger.reserve("a", 1)).outcome
    ledger.finish("a")
    server.go_on()
    await until(lambda: replica.told.events == ["lost", "restored"])
    await other.sharing.start()
    assert 1 == await started(two, 1)


async def test_what_waited_and_was_sent_is_known_without_redis(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replica = await share(server.url)
    ledger = replica.sharing.ledger("acme", Allowance(2, 1))
    await replica.sharing.start()
    assert 1 == await started(ledger, 1)
    assert "waiting" == (await ledger.reserve("b", 1)).outcome
    ledger.finish("t0")
    assert 0 == await ledger.start("b")
    ledger.finish("b")
    server.kill()
    assert "refused" == (await ledger.reserve("c", 1)).outcome


async def test_waiters_go_on_without_redis(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replica = await share(server.url)
    waits = Waits()
    queue = Queue(replica.sharing.ledger("acme", Allowance(None, 1)), 10, waits)
    await replica.sharing.start()
    first = await queue.enter("a")
    waiting = [asyncio.create_task(queue.enter("a")) for _ in range(3)]
    await asyncio.sleep(0.1)
    server.kill()
    for waiter in waiting:
        queue.leave(first)
        async with asyncio.timeout(5):
            first = await waiter
    queue.leave(first)
    assert 4 == len(waits.seconds)
    await queue.close()


async def test_it_is_told_once_however_much_fails(share: ShareMaker, start_redis: StartRedis) -> None:
    server = start_redis()
    replica = await share(server.url)
    ledgers = [replica.sharing.ledger(f"account-{number}", NINE) for number in range(5)]
    await replica.sharing.start()
    server.kill()
    await asyncio.gather(*(started(ledger, 3) for ledger in ledgers for _ in range(3)))
    await asyncio.sleep(0.3)
    assert ["lost"] == replica.told.events


@pytest.mark.parametrize("written", ["s3cret-p@ss", "s3cret-p%40ss"], ids=["as it is", "quoted"])
async def test_the_password_is_not_told(share: ShareMaker, start_redis: StartRedis, written: str) -> None:
    server = start_redis(password="another")
    replica = await share(f"redis://:{written}@127.0.0.1:{server.port}/0")
    await replica.sharing.start()
    assert ["lost"] == replica.told.events
    assert "s3cret" not in replica.told.reasons[0]
    words = replica.sharing._connection._words(ValueError("cannot use s3cret-p@ss"))
    assert "ValueError: cannot use ***" == words


def test_a_wrong_url_is_an_error() -> None:
    with pytest.raises(ValueError, match="schemes"):
        Sharing("http://127.0.0.1", Told())


async def test_closing_leaves_nothing(start_redis: StartRedis, prefix: str) -> None:
    for answers in (True, False):
        server = start_redis()
        sharing = Sharing(server.url, Told(), prefix=prefix, timeout=0.3, beat=0.05)
        ledger = sharing.ledger("acme", NINE)
        await sharing.start()
        await started(ledger, 3)
        if not answers:
            server.hang()
        ledger.finish("t1")
        await sharing.close()
        assert {asyncio.current_task()} == asyncio.all_tasks()


# Cool-downs -------------------------------------------------------------------------------------------------------


async def test_a_cool_down_holds_for_all(share: ShareMaker) -> None:
    here, there = [await share() for _ in range(2)]
    await here.sharing.start()
    await there.sharing.start()
    assert 0 == here.sharing.cooling("d1")
    await here.sharing.cool("d1", 30)
    assert 30 == pytest.approx(here.sharing.cooling("d1"), abs=0.5)
    await until(lambda: there.sharing.cooling("d1") > 0)
    assert 30 == pytest.approx(there.sharing.cooling("d1"), abs=1)
    assert 0 == there.sharing.cooling("d2")
    await there.sharing.clear("d1")
    assert 0 == there.sharing.cooling("d1")
    await until(lambda: here.sharing.cooling("d1") == 0)


async def test_cool_downs_end(share: ShareMaker) -> None:
    here, there = [await share() for _ in range(2)]
    await here.sharing.start()
    await there.sharing.start()
    await here.sharing.cool("d1", 0.3)
    await there.sharing.cool("d2", 30)
    await until(lambda: here.sharing.cooling("d1") == 0)
    await until(lambda: here.sharing.cooling("d2") > 0)


async def test_one_of_all_probes(share: ShareMaker) -> None:
    here, there = [(await share()).sharing for _ in range(2)]
    await here.start()
    await there.start()
    assert [True, False, False] == [await each.claim_probe("d1", 30) for each in (here, here, there)]
    assert await there.claim_probe("d2", 0.1)
    await here.cool("d1", 30)
    assert await there.claim_probe("d1", 30)
    await there.clear("d1")
    assert await here.claim_probe("d1", 30)
    await asyncio.sleep(0.15)
    assert await here.claim_probe("d2", 30)


async def test_cool_downs_without_redis(share: ShareMaker, unused_tcp_port: int) -> None:
    """Everybody has its own."""
    here, there = [(await share(f"redis://127.0.0.1:{unused_tcp_port}/0")).sharing for _ in range(2)]
    for each in (here, there):
        await each.start()
        assert [True, False] == [await each.claim_probe("d1", 30) for _ in range(2)]
        await each.cool("d1", 30)
        assert 30 == pytest.approx(each.cooling("d1"), abs=0.5)
        assert await each.claim_probe("d1", 30)
        await each.clear("d1")
        assert 0 == each.cooling("d1")


async def test_a_pull_under_way_does_not_undo_what_is_done_meanwhile(share: ShareMaker) -> None:
    replica = await share(beat=3600)
    await replica.sharing.start()
    await replica.sharing.cool("d1", 30)
    cooldowns = replica.sharing._cooldowns
    pulling = asyncio.create_task(cooldowns.pull())
    await asyncio.sleep(0)
    await replica.sharing.clear("d1")
    await pulling
    assert 0 == replica.sharing.cooling("d1")
