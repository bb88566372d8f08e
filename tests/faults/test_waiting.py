"""While a caller waits for a held call, a repair, a retry, its turn or a fallback: comments go out between frames, and a
failure before the headers are due has its real status."""

import itertools
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.caller import Told, ask
from tests.faults.front import Scripts
from tests.faults.ground import never_faked
from tests.faults.upstream import Steps, Upstream
from tests.faults.wire import CHUNKS, JSON, LAST, STACKSPOT, chunk, head
from tests.support.chat import WEATHER_TOOL
from tests.support.processes import CREDENTIALS, Proxy

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - {{model_name: held, litellm_params: {{model: stackspot/held, client_id: a}}}}
  - {{model_name: repaired, litellm_params: {{model: stackspot/repaired, client_id: b}}}}
  - {{model_name: queued, litellm_params: {{model: stackspot/queued, client_id: c}}}}
  - {{model_name: retried, litellm_params: {{model: openai/retried, api_base: "{url}/v1", api_key: os.environ/KEY}}}}
  - {{model_name: main, litellm_params: {{model: openai/main, api_base: "{url}/v1", api_key: os.environ/KEY}}}}
  - {{model_name: spare, litellm_params: {{model: openai/spare, api_base: "{url}/v1", api_key: os.environ/KEY}}}}
router_settings: {{num_retries: 1, fallbacks: [{{main: [spare]}}]}}
proxy:
  quota: {{requests_per_minute: 1000, max_concurrent: 1, queue_timeout: {queue}}}
  timeouts: {{first_token: 1.5}}
  keepalive_s: 0.2
  commit_after: {commit}
"""
WAIT_S = 1.2
COMMIT_S = 0.4
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Rome"}\nFUNCTION_CALL_END'
UNREADABLE = CALL.replace("Rome", 'the "old" town')
BUSY = head(JSON, "503 Unavailable", "content-length: 0", "retry-after: 1")
REFUSED = head(JSON, "401 Unauthorized", "content-length: 0")
WELL, FAILING, LATE = "well", "failing", "failing-late"


def begun(text: str) -> bytes:
    """The first half of what StackSpot says."""
    return STACKSPOT.head + chunk(STACKSPOT.delta(text[: len(text) // 2]))


def rest(text: str) -> bytes:
    return chunk(STACKSPOT.delta(text[len(text) // 2 :]) + STACKSPOT.closing) + LAST


@dataclass(frozen=True, slots=True)
class Wait:
    """A reason to wait for ``model``: what the upstream does in turn when all ends well, and when it does not; then
    the caller gets ``due``."""

    model: str
    well: tuple[Steps, ...]
    badly: tuple[Steps, ...]
    due: tuple[int, str]
    retry_after: str | None = None


WAITS: Mapping[str, Wait] = {
    "held-call": Wait("held", ([begun(CALL), WAIT_S, rest(CALL)],), ([begun(CALL), WAIT_S, "close"],), (502, "upstream_truncated")),
    "repair": Wait("repaired", ([begun(UNREADABLE), rest(UNREADABLE)], [WAIT_S, begun(CALL), rest(CALL)]), ([begun(UNREADABLE), rest(UNREADABLE)], [WAIT_S, begun(UNREADABLE), rest(UNREADABLE)]), (502, "tool_call_parse_error")),
    "queue": Wait("queued", ([begun("Hi"), rest("Hi")],), (), (429, "rate_limit_exceeded"), "10"),
    "retry": Wait("retried", ([BUSY], CHUNKS.whole()), ([BUSY],), (502, "upstream_failed"), "1"),
    "fallback": Wait("main", (["hold"], CHUNKS.whole()), (["hold"], [REFUSED]), (502, "upstream_auth")),
}  # fmt: skip
CALLED = ("held-call", "repair")


@contextmanager
def waited(upstream: Upstream, scripts: Scripts, folder: Path, run: str) -> Iterator[Mapping[str, Told]]:
    """All of them at once, each with a proxy's account of its own, since each takes its time."""
    config = CONFIG.format(
        url=upstream.url, queue=60 if run == WELL else 1.1, commit=45 if run == FAILING else COMMIT_S
    )
    (folder / "config.yaml").write_text(config)
    env = (
        CREDENTIALS
        | {"STACKSPOT_IDM_URL": upstream.url, "STACKSPOT_API_URL": upstream.url, "KEY": "k"}
        | {"LOOK_EVERY_S": "0.05"}
    )
    proxy = Proxy(env=env, cwd=folder, module="tests.faults.telling")

    def one(name: str) -> Told:
        wait = WAITS[name]
        scripts.put(f"{name}-{run}", *(wait.well if run == WELL else wait.badly))
        return ask(proxy.url, f"{name}-{run}", model=wait.model, stream=True, tools=[WEATHER_TOOL])

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        stack.callback(proxy.stop)
        scripts.put(f"before-{run}", [begun("Hi"), WAIT_S + 0.3, rest("Hi")])
        before = pool.submit(ask, proxy.url, f"before-{run}", model="queued", stream=True)
        while not upstream.of(f"before-{run}"):
            time.sleep(0.01)
        told = dict(zip(WAITS, pool.map(one, WAITS), strict=True))
        assert before.result().complete
        yield told


@pytest.fixture(scope="module")
def told(
    upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Mapping[str, Told]]]:
    """What every caller was told in each of the three runs."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        started = [
            pool.submit(stack.enter_context, waited(upstream, scripts, tmp_path_factory.mktemp(run), run))
            for run in (WELL, FAILING, LATE)
        ]
        yield dict(zip((WELL, FAILING, LATE), [run.result() for run in started], strict=True))


@pytest.mark.parametrize("name", WAITS)
def test_comments_fill_the_wait(told: Mapping[str, Mapping[str, Told]], name: str) -> None:
    got = told[WELL][name]
    assert (200, None) == (got.status, got.error)
    assert got.complete
    assert got.keepalives >= 2
    assert ("tool_calls" if name in CALLED else "stop") == got.finish
    kinds = [kind for kind, _ in itertools.groupby(block.startswith(b":") for block in got.blocks)]
    assert [True, False] == kinds, "here all the waiting comes before the first frame"
    assert COMMIT_S <= got.headers_after < WAIT_S


@pytest.mark.parametrize("name", WAITS)
def test_a_failure_before_the_headers_are_due_has_its_status(told: Mapping[str, Mapping[str, Told]], name: str) -> None:
    got = told[FAILING][name]
    never_faked(got)
    assert WAITS[name].due == (got.status, got.code)
    assert WAITS[name].retry_after == got.headers.get("retry-after")


@pytest.mark.parametrize("name", WAITS)
def test_a_failure_behind_them_is_an_event(told: Mapping[str, Mapping[str, Told]], name: str) -> None:
    got = told[LATE][name]
    never_faked(got)
    assert (200, WAITS[name].due[1], "") == (got.status, got.code, got.text)
    assert got.keepalives >= 1
