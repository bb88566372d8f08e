"""Capture and replay: what an upstream sent is kept with its timing and without its text, and can be played again."""

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from proxy.simulator.replay import ReplayError, load
from proxy.telemetry.capture.recordings import FILES_KEPT, Recording, Recordings, prune
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import WEATHER_TOOL, ask, finish_of, stream
from tests.support.processes import CREDENTIALS, Process, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.telemetry.conftest import MODELS, PLANTED_KEY

pytestmark = pytest.mark.slow

CAPTURE = "proxy: {capture: captured}\n"
SAID = "Planted words, twelve of them, that nobody else is meant to read."
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END'
Running = TypeVar("Running", bound=Process)
SOON_S = 5.0
EARLY_S, LATE_S = 0.1, 3.0  # of what a busy machine makes of times


def captured(folder: Path, count: int = 1) -> list[dict[str, Any]]:
    """The recordings, once there are so many."""
    deadline = time.monotonic() + SOON_S
    while len(found := sorted(folder.glob("*.json"))) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return [json.loads(path.read_text()) for path in found]


def body_of(recording: dict[str, Any]) -> bytes:
    return b"".join(base64.b64decode(data) for _, data in recording["chunks"])


def timed(proxy: Proxy, correlation_id: str, **fields: Any) -> tuple[list[Any], list[float]]:
    """The frames of a stream, and when each came."""
    found, times, started = [], [], time.monotonic()
    with stream(proxy, correlation_id, **fields) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                times.append(time.monotonic() - started)
                found.append(line.removeprefix("data: "))
    return [data if data == "[DONE]" else json.loads(data) for data in found], times


def lasted(times: list[float]) -> float:
    return times[-1] - times[0]


@contextmanager
def running(process: Running) -> Iterator[Running]:
    try:
        yield process
    finally:
        process.stop()


def structure(found: list[Any]) -> tuple[object, ...]:
    """What a stream comes to, its texts by their lengths; reads may have cut them elsewhere."""
    chunks = [frame["choices"][0]["delta"] for frame in found if frame != "[DONE]" and frame.get("choices")]
    functions = [call["function"] for delta in chunks for call in delta.get("tool_calls", ())]
    last = found[-1] if found[-1] == "[DONE]" else found[-1]["error"]["code"]
    return (
        sum(len(delta.get("content") or "") for delta in chunks),
        [function["name"] for function in functions if "name" in function],
        sum(len(function.get("arguments", "")) for function in functions),
        finish_of(found),
        last,
    )


ANSWERS: dict[str, dict[str, Any]] = {
    "a text, slowly": {"text": SAID, "delta_chars": 6, "interval_s": 0.06, "before_status_s": 0.3},
    "a call": {"text": CALL, "delta_chars": 5, "interval_s": 0.01},
    "with a pause": {"text": SAID, "interval_s": 0.01, "pause": {"seconds": 0.5, "after": 3}},
    "broken off": {"deltas": ["Planted ", "words "], "interval_s": 0.1, "cut": {"how": "close", "after": 2}},
    "cut short": {"deltas": ["Planted ", "words "], "interval_s": 0.1, "cut": {"how": "clean", "after": 2}},
    "an error inside": {"deltas": ["Planted "], "error": {"form": "type", "after": 1}},
    "text beyond ASCII, split": {"text": "Olá “mundo” 😀 " * 2, "split": 7, "split_gap_s": 0.01},
}


@dataclass(frozen=True, slots=True)
class Played:
    """A stream as it was, its recording, and as it was played again."""

    first: list[Any]
    first_times: list[float]
    recording: dict[str, Any]
    again: list[Any]
    again_times: list[float]


@pytest.fixture(scope="module")
def played(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """Each answer by way of a proxy that captures, then by way of another from a simulator that plays what was
    captured, in the same order."""
    folder = tmp_path_factory.mktemp("played")

    def tools(name: str) -> dict[str, Any]:
        return {"model": "chat"} | ({"tools": [WEATHER_TOOL]} if ANSWERS[name].get("text") == CALL else {})

    (folder / "config.yaml").write_text(STACKSPOT + CAPTURE)
    with running(Proxy(env=CREDENTIALS | stand_in.env, cwd=folder)) as proxy:
        first = {}
        for number, name in enumerate(ANSWERS, 1):
            stand_in.script(f"played-{number}", ANSWERS[name])
            first[name] = timed(proxy, f"played-{number}", **tools(name))
            captured(folder / "captured", number)
    recordings = captured(folder / "captured", len(ANSWERS))
    (folder / "config.yaml").write_text(STACKSPOT)
    with (
        running(StandIn(folder, "--replay", str(folder / "captured"))) as simulator,
        running(Proxy(env=CREDENTIALS | simulator.env, cwd=folder)) as proxy,
    ):
        again = {name: timed(proxy, "played-again", **tools(name)) for name in ANSWERS}
    return {
        name: Played(*first[name], recording, *again[name]) for name, recording in zip(ANSWERS, recordings, strict=True)
    }


@pytest.mark.parametrize("name", ANSWERS)
def test_there_and_back(played: dict[str, Played], name: str) -> None:
    """The same structure at nearly the same times, of another text."""
    case = played[name]
    assert structure(case.first) == structure(case.again)
    before, after = lasted(case.first_times), lasted(case.again_times)
    assert before / 2 - EARLY_S < after < before + LATE_S


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_is_said_in_a_recording(played: dict[str, Played], name: str) -> None:
    recording = played[name].recording
    assert (200, "masked") == (recording["status"], recording["text"])
    for word in ("lanted", "mundo", "Recife"):
        assert word.encode() not in body_of(recording)


def test_both_kinds_of_upstream_are_played(
    launch: Launch, stand_in: StandIn, provider: Provider, tmp_path: Path
) -> None:
    """From one folder: StackSpot's streams as StackSpot's, a provider's as a provider's, each in turn."""
    answers: list[tuple[str, bool, dict[str, Any]]] = [
        ("agent", True, {"text": SAID, "interval_s": 0.01}),
        ("gpt", True, {"text": SAID, "interval_s": 0.02}),
        ("gpt", False, {"text": SAID}),
        ("gpt", True, {"deltas": ["Planted "], "cut": {"how": "close", "after": 1}}),
        ("gpt", False, {"status": 400, "body": {"error": {"message": "no", "type": "invalid_request_error"}}}),
    ]

    def play(proxy: Proxy) -> list[object]:
        found: list[object] = []
        for number, (model, streamed, _) in enumerate(answers):
            if streamed:
                found.append(structure(timed(proxy, f"both-{number}", model=model)[0]))
            else:
                reply = ask(proxy, f"both-{number}", model=model)
                message = reply.json().get("choices", [{}])[0].get("message", {})
                found.append((reply.status_code, len(message.get("content", ""))))
        return found

    for number, (model, _, answer) in enumerate(answers):
        (provider if model == "gpt" else stand_in).script(f"both-{number}", answer)
    once = MODELS.replace("num_retries: 1", "num_retries: 0")
    proxy = launch(once.format(base=provider.base_url) + CAPTURE, env={"KEY": PLANTED_KEY})
    first = play(proxy)
    assert 0 == proxy.stop()
    assert (1, 4) == tuple(len(captured(tmp_path / "captured" / sub)) for sub in ("", "openai"))
    with running(StandIn(tmp_path, "--replay", str(tmp_path / "captured"))) as simulator:
        again = launch(once.format(base=f"{simulator.url}/v1"), env=simulator.env | {"KEY": "any-key"})
        assert first == play(again)


@dataclass(frozen=True, slots=True)
class Capturing:
    """A proxy that captures, and where."""

    proxy: Proxy
    folder: Path

    def recordings(self, correlation_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Those of one request's upstream requests, once there are so many."""
        deadline = time.monotonic() + SOON_S
        while True:
            told = self.proxy.events(event="stream.captured", correlation_id=correlation_id)
            found = [self.folder / event["file"] for event in told]
            if len(found) >= count and all(path.is_file() for path in found):
                return [json.loads(path.read_text()) for path in found]
            assert time.monotonic() < deadline, found
            time.sleep(0.02)


@pytest.fixture(scope="module")
def capturing(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capturing]:
    folder = tmp_path_factory.mktemp("capturing")
    (folder / "config.yaml").write_text(STACKSPOT + CAPTURE)
    with running(Proxy(env=CREDENTIALS | stand_in.env, cwd=folder)) as proxy:
        yield Capturing(proxy, folder / "captured")


def test_logins_are_not_captured(capturing: Capturing, correlation_id: str) -> None:
    ask(capturing.proxy, correlation_id, model="chat")
    assert capturing.proxy.events(event="auth.succeeded")
    capturing.recordings(correlation_id)
    for path in capturing.folder.glob("*.json"):
        assert "access_token" not in body_of(json.loads(path.read_text())).decode()


def test_the_times_are_those_of_the_upstream(capturing: Capturing, stand_in: StandIn, correlation_id: str) -> None:
    ask(capturing.proxy, f"{correlation_id}-login", model="chat")
    answer = {"deltas": ["a", "b", "c"], "interval_s": 0.2, "before_status_s": 0.3, "before_events_s": 0.1}
    stand_in.script(correlation_id, answer)
    timed(capturing.proxy, correlation_id, model="chat")
    (recording,) = capturing.recordings(correlation_id)
    times = [at for at, _ in recording["chunks"]]
    assert times == sorted(times)
    assert 0.3 <= recording["headers_s"] < times[0] < 0.3 + 0.1 + LATE_S
    assert 0.4 - EARLY_S < times[-1] - times[0] < 0.4 + LATE_S


def test_each_round_has_a_file(capturing: Capturing, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"refuse": "server_error"}, {"text": SAID})
    assert 200 == ask(capturing.proxy, correlation_id, model="chat").status_code
    assert [500, 200] == [recording["status"] for recording in capturing.recordings(correlation_id, 2)]


def test_a_stream_that_nobody_read_on_is_kept_and_not_played(
    capturing: Capturing, stand_in: StandIn, tmp_path: Path, correlation_id: str
) -> None:
    stand_in.script(correlation_id, {"text": SAID, "pause": {"seconds": 30, "after": 2}})
    with stream(capturing.proxy, correlation_id, model="chat") as reply:
        next(reply.iter_lines())
    (recording,) = capturing.recordings(correlation_id)
    assert "left" == recording["end"]
    (tmp_path / "left.json").write_text(json.dumps(recording))
    with pytest.raises(ReplayError, match="came to its end"):
        load(tmp_path)


def test_what_is_too_long_is_not_kept(capturing: Capturing, stand_in: StandIn, correlation_id: str) -> None:
    long, short = {"deltas": ["x" * 10_000] * 120, "interval_s": 0}, {"text": "short"}
    stand_in.script(correlation_id, long, short)
    for _ in range(2):
        assert 200 == ask(capturing.proxy, correlation_id, model="chat").status_code
    (recording,) = capturing.recordings(correlation_id)
    assert 1000 > len(body_of(recording))


def test_refusals_are_kept_and_played(launch: Launch, stand_in: StandIn, tmp_path: Path, correlation_id: str) -> None:
    once = "router_settings: {num_retries: 0}\n"
    stand_in.script(correlation_id, {"refuse": "credit", "headers": {"retry-after": "7", "set-cookie": "planted"}})
    refused = ask(launch(STACKSPOT + once + CAPTURE), correlation_id, model="chat")
    (recording,) = captured(tmp_path / "captured")
    assert ("7", False) == (recording["headers"]["retry-after"], "planted" in json.dumps(recording))
    assert "set-cookie" in recording["other_headers"]
    with running(StandIn(tmp_path, "--replay", str(tmp_path / "captured"))) as simulator:
        again = launch(STACKSPOT + once, env=simulator.env)
        assert (429, refused.json()) == (refused.status_code, ask(again, correlation_id, model="chat").json())


def test_texts_are_kept_when_asked_for_but_no_secrets(
    launch: Launch, stand_in: StandIn, tmp_path: Path, correlation_id: str
) -> None:
    secret = CREDENTIALS["CLIENT_SECRET"]
    proxy = launch(STACKSPOT + CAPTURE, env={"LOG_MESSAGES": "true"})
    stand_in.script(correlation_id, {"deltas": ["It is ", secret[:9], secret[9:], CREDENTIALS["GENAI_AGENT_ID"]]})
    ask(proxy, correlation_id, model="chat")
    (recording,) = captured(tmp_path / "captured")
    said = "".join(re.findall(r'"message":"([^"]*)"', body_of(recording).decode()))
    assert ("kept", "It is " + "*" * (len(secret) + 26)) == (recording["text"], said)


def test_other_providers_have_a_folder_of_their_own(
    launch: Launch, provider: Provider, tmp_path: Path, correlation_id: str
) -> None:
    proxy = launch(MODELS.format(base=provider.base_url) + CAPTURE, env={"KEY": PLANTED_KEY})
    provider.script(correlation_id, {"text": SAID}, {"text": SAID})
    ask(proxy, correlation_id, model="gpt")
    timed(proxy, correlation_id, model="gpt")
    recordings = captured(tmp_path / "captured" / "openai", 2)
    assert [] == list((tmp_path / "captured").glob("*.json"))
    assert {("openai", "clean", "application/json"), ("openai", "clean", "text/event-stream")} == {
        (recording["provider"], recording["end"], recording["headers"]["content-type"].partition(";")[0])
        for recording in recordings
    }
    assert "lanted" not in "".join(body_of(recording).decode() for recording in recordings)


def test_the_last_are_written_at_the_end(
    launch: Launch, tmp_path: Path, provider: Provider, correlation_id: str
) -> None:
    """Also where the upstream has not closed its response yet."""
    proxy = launch(MODELS.format(base=provider.base_url) + CAPTURE, env={"KEY": PLANTED_KEY})
    provider.script(correlation_id, {"text": SAID, "linger_s": 5})
    timed(proxy, correlation_id, model="gpt")
    assert 0 == proxy.stop()
    assert 1 == len(list((tmp_path / "captured" / "openai").glob("*.json")))


def test_a_folder_that_cannot_be_written_is_told_once(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "captured").write_text("in the way")
    proxy = launch(STACKSPOT + CAPTURE)
    for number in range(2):
        assert 200 == ask(proxy, f"capture-blocked-{number}", model="chat").status_code
    assert 0 == proxy.stop()
    assert ["error"] == [event["level"] for event in proxy.events(event="capture.failed")]


def test_the_newest_stay(tmp_path: Path) -> None:
    recordings = Recordings([], keep_text=False)
    recording = Recording("stackspot", 200, {}, 0.1, ((0.2, b"data: x\n\n"),), "clean")
    names = [f"20260101T120000.{number:06}Z-{number:06}.json" for number in range(FILES_KEPT + 5)]
    (tmp_path / "mine.json").write_text("{}")
    for name in names:
        recordings.write(tmp_path / name, recording)
    prune(tmp_path)
    assert [*names[5:], "mine.json"] == sorted(path.name for path in tmp_path.iterdir())
