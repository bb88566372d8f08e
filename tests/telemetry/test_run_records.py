"""Run records: seed 001's files and fields, written beside the requests and never in their way."""

import json
import platform
import resource
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.config import Config
from proxy.telemetry.capture.tapes import Capture
from proxy.telemetry.files import write_whole
from proxy.telemetry.runs.records import RunRecords
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import WEATHER_TOOL, ask, frames, stream
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.telemetry.conftest import MODELS, PLANTED_KEY

pytestmark = pytest.mark.slow

RECORDS = "proxy: {run_records: runs/}\n"
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END'
SOON_S = 3.0  # a second is promised; the machine may be busy
START_S = 10.0


def file_of(folder: Path, name: str) -> Path:
    """A file of the one run there is, once there is something in it."""
    deadline = time.monotonic() + START_S
    while not (found := [path for path in folder.glob(f"runs/*/{name}") if path.stat().st_size]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (path,) = found
    return path


def lines(folder: Path) -> list[dict[str, Any]]:
    text = file_of(folder, "interactions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def line_of(folder: Path, correlation_id: str) -> dict[str, Any]:
    """The one line of a request, which may take a moment to be there."""
    deadline = time.monotonic() + SOON_S
    while not (found := [line for line in lines(folder) if line["correlation_id"] == correlation_id]):
        assert time.monotonic() < deadline, lines(folder)
        time.sleep(0.02)
    (line,) = found
    return line


@dataclass(frozen=True, slots=True)
class Recorded:
    """A proxy that keeps records, and where."""

    proxy: Proxy
    folder: Path


def recorded(stand_in: StandIn, provider: Provider, folder: Path, **env: str) -> Iterator[Recorded]:
    (folder / "config.yaml").write_text(MODELS.format(base=provider.base_url) + RECORDS)
    proxy = Proxy(env=CREDENTIALS | stand_in.env | {"KEY": PLANTED_KEY} | env, cwd=folder)
    yield Recorded(proxy, folder)
    assert 0 == proxy.stop()


@pytest.fixture(scope="module")
def plain(stand_in: StandIn, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    yield from recorded(stand_in, provider, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def telling(stand_in: StandIn, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """With what was said."""
    yield from recorded(stand_in, provider, tmp_path_factory.mktemp("telling"), LOG_MESSAGES="true")


def test_the_manifest(launch: Launch, tmp_path: Path) -> None:
    """It is there before any request has come."""
    before = time.time()
    launch(STACKSPOT + RECORDS)
    path = file_of(tmp_path, "manifest.json")
    manifest = json.loads(path.read_text())
    expected = {"run_id": path.parent.name, "python_version": platform.python_version(), "models": ["chat"]}
    assert expected.items() <= manifest.items()
    assert {"aiohttp", "orjson"} <= manifest["dependencies"].keys()
    assert manifest["git_sha"] is None or 40 <= len(manifest["git_sha"])
    assert manifest["config_digest"].startswith("sha256:")
    assert START_S > datetime.fromisoformat(manifest["started_at"]).timestamp() - before
    assert CREDENTIALS["CLIENT_SECRET"] not in path.read_text()
    assert (path.parent / "interactions.jsonl").is_file()


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_line_for_each_request(plain: Recorded, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    stand_in.script(correlation_id, {"text": "planted answer", "tokens": {"input": 70, "output": 5}})
    said = {"model": "agent", "text": "planted prompt", "session_id": "s-1"}
    if streamed:
        with stream(plain.proxy, correlation_id, **said) as reply:
            frames(reply)
    else:
        ask(plain.proxy, correlation_id, **said)
    line = line_of(plain.folder, correlation_id)
    logged = plain.proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    assert {
        "run_id": file_of(plain.folder, "manifest.json").parent.name, "request_id": logged["request_id"],
        "session_id": "s-1", "model": "agent", "provider": "stackspot", "upstream": logged["upstream"],
        "status": 200, "stream": streamed, "end_reason": "complete", "error": None, "tool_calls": 0,
        "usage": {"prompt_tokens": 70, "completion_tokens": 5, "total_tokens": 75, "estimated": False},
    }.items() <= line.items()  # fmt: skip
    assert (0 < line["ttft_ms"] < line["latency_ms"]) if streamed else line["ttft_ms"] is None
    assert 50 > abs(line["latency_ms"] - logged["duration_ms"])
    assert "planted" not in file_of(plain.folder, "interactions.jsonl").read_text()


def test_failures_and_refusals_have_their_lines(plain: Recorded, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"deltas": ["One "], "cut": {"how": "clean", "after": 1}})
    with stream(plain.proxy, correlation_id, model="agent") as reply:
        frames(reply)
    line = line_of(plain.folder, correlation_id)
    assert ("upstream_truncated", "upstream_truncated", 200) == (line["end_reason"], line["error"], line["status"])
    ask(plain.proxy, f"{correlation_id}-unknown", model="none")
    line = line_of(plain.folder, f"{correlation_id}-unknown")
    assert ("rejected", "model_not_found", 404, None) == (
        line["end_reason"], line["error"], line["status"], line["usage"],
    )  # fmt: skip


def test_texts_when_asked_for(telling: Recorded, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": "All is well."}, {"text": CALL})
    ask(telling.proxy, correlation_id, model="agent", text=f"How are things? {PLANTED_KEY}")
    line = line_of(telling.folder, correlation_id)
    assert [{"role": "user", "content": "How are things? ********"}] == line["messages"]
    assert ("All is well.", []) == (line["output"], line["output_tool_calls"])
    stand_in.script(f"{correlation_id}-call", {"text": CALL})
    ask(telling.proxy, f"{correlation_id}-call", model="agent", tools=[WEATHER_TOOL])
    line = line_of(telling.folder, f"{correlation_id}-call")
    assert [{"name": "get_weather", "arguments": '{"city": "Recife"}'}] == line["output_tool_calls"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_texts_of_an_answer_that_is_passed_through(
    telling: Recorded, provider: Provider, correlation_id: str, streamed: bool
) -> None:
    provider.script(correlation_id, {"text": "All is well.", "tool_calls": [{"name": "look", "arguments": {"at": 1}}]})
    if streamed:
        with stream(telling.proxy, correlation_id, model="gpt") as reply:
            frames(reply)
    else:
        ask(telling.proxy, correlation_id, model="gpt")
    line = line_of(telling.folder, correlation_id)
    (call,) = line["output_tool_calls"]
    assert ("All is well.", "look", {"at": 1}) == (line["output"], call["name"], json.loads(call["arguments"]))


def test_the_last_lines_are_written_at_the_end(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(STACKSPOT + RECORDS)
    for number in range(20):
        ask(proxy, f"last-{number}", model="none")
    assert 0 == proxy.stop()
    assert 20 == len(lines(tmp_path))


def ask_in_turn(proxy: Proxy, name: str, count: int) -> None:
    """Each is refused, which is quickly done, and waited for until it is written or lost."""
    for number in range(count):
        assert 404 == ask(proxy, f"{name}-{number}", model="none").status_code
        time.sleep(0.3)


def test_a_full_disk_is_told_once_and_survived(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(STACKSPOT + RECORDS)
    ask(proxy, "before", model="none")
    line_of(tmp_path, "before")
    file_of(tmp_path, "manifest.json")
    size = file_of(tmp_path, "interactions.jsonl").stat().st_size
    limits = resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    ask_in_turn(proxy, "full", 3)
    failed = proxy.wait_event(event="run_records.failed")
    assert ("error", "File too large") == (failed["level"], failed["reason"])
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, limits)
    ask(proxy, "behind", model="none")
    line_of(tmp_path, "behind")
    assert 3 == proxy.wait_event(event="run_records.restored")["lost"]
    assert 1 == len(proxy.events(event="run_records.failed"))
    assert ["before", "behind"] == [line["correlation_id"] for line in lines(tmp_path)]
    assert 0 == proxy.stop()
    assert 3 == proxy.events(event="run_records.incomplete")[0]["lost"]


SMALL_DISK = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=16k none "$0" && exec "$@"', "small"]
"""A file system of 16 KiB, seen by the one process that is run in it; nobody has to be root for it."""


def test_a_disk_that_is_really_full(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    tried = subprocess.run([*SMALL_DISK, "true"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no file system of one's own here: {tried.stderr}")
    folders = "proxy: {run_records: small/runs, capture: small/captured}\n"
    (tmp_path / "config.yaml").write_text(STACKSPOT + folders)
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, within=SMALL_DISK)
    try:
        for name in ("run_records", "capture"):
            while not proxy.events(event=f"{name}.failed"):
                assert 200 == ask(proxy, "a-full-disk", model="chat").status_code
            assert "No space left on device" == proxy.events(event=f"{name}.failed")[0]["reason"]
    finally:
        assert 0 == proxy.stop()
    assert 0 < proxy.events(event="run_records.incomplete")[0]["lost"]


def test_a_folder_that_cannot_be_made_is_survived(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    proxy = launch(STACKSPOT + RECORDS)
    ask_in_turn(proxy, "lost", 2)
    assert "runs" in proxy.wait_event(event="run_records.failed")["folder"]
    (tmp_path / "runs").unlink()
    ask(proxy, "behind", model="none")
    line_of(tmp_path, "behind")
    assert 1 == len(proxy.events(event="run_records.failed"))


@pytest.mark.parametrize("how", ["removed", "moved", "file removed"])
def test_removed_folder_is_reported_and_made_again(launch: Launch, tmp_path: Path, how: str) -> None:
    proxy = launch(STACKSPOT + RECORDS)
    ask(proxy, "before", model="none")
    line_of(tmp_path, "before")
    folder = file_of(tmp_path, "manifest.json").parent
    if how == "removed":
        shutil.rmtree(folder)
    elif how == "moved":
        folder.rename(tmp_path / "elsewhere")
    else:
        (folder / "interactions.jsonl").unlink()
    ask(proxy, "behind", model="none")
    line_of(tmp_path, "behind")
    assert "removed" in proxy.wait_event(event="run_records.failed")["reason"]
    proxy.wait_event(event="run_records.restored")
    assert 1 == len(proxy.events(event="run_records.failed"))
    assert (folder / "manifest.json").is_file()
    assert ["behind"] == [line["correlation_id"] for line in lines(tmp_path)]


def test_file_that_is_there_already_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another has put a file or a link, nothing follows it."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"another's")
    monkeypatch.setattr("proxy.telemetry.runs.records.new_run_id", lambda: "foreseen")
    (tmp_path / "foreseen").mkdir()
    (tmp_path / "foreseen" / "interactions.jsonl").symlink_to(victim)
    with capture_logs() as told:
        records = RunRecords(tmp_path, Config(models=()), None)
        records.close()
    assert ("run_records.failed", "File exists") == (told[0]["event"], told[0]["reason"])
    (tmp_path / "whole.part").symlink_to(victim)
    write_whole(tmp_path / "whole.json", b"{}")
    assert (b"another's", b"{}") == (victim.read_bytes(), (tmp_path / "whole.json").read_bytes())


def test_files_can_be_read_by_their_group_alone(launch: Launch, tmp_path: Path) -> None:
    ask(launch(STACKSPOT + RECORDS), "modes", model="none")
    line_of(tmp_path, "modes")
    for name in ("interactions.jsonl", "manifest.json"):
        assert 0o640 == stat.S_IMODE(file_of(tmp_path, name).stat().st_mode)


def test_what_came_too_fast_is_told(tmp_path: Path) -> None:
    config = Config(models=())
    records, capture = RunRecords(tmp_path / "runs", config, None), Capture(tmp_path / "captured", config)
    with capture_logs() as told:
        records._write([], 3)
        capture._write([], 2)
        records.close()
        capture.close()
    lost = [(line["event"], line.get("lines") or line.get("streams") or line.get("lost")) for line in told]
    assert [("run_records.dropped", 3), ("capture.dropped", 2), ("run_records.incomplete", 3)] == lost


def test_without_it_nothing_is_written(launch: Launch, tmp_path: Path) -> None:
    ask(launch(STACKSPOT), "nothing", model="chat")
    assert not (tmp_path / "runs").exists()
