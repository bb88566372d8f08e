"""Golden transcripts: a request, what the upstream sent, what the caller got; streamed and whole, however cut."""

import re
from pathlib import Path

import pytest

from proxy.core.callers.chat import Chat
from proxy.core.dialect import Caller
from proxy.core.turn import Turn
from proxy.core.upstreams.stackspot import StackSpot

FOLDER = Path(__file__).parents[1] / "transcripts"
UPSTREAM = StackSpot("m", "01AGENT", b"secret")
CHAT: Caller = Chat()


def converse(request: str, pieces: list[bytes], *, stream: bool) -> bytes:
    """What a caller gets: its stream, or its body, or ``error`` and the code."""
    call = CHAT.read(request.encode(), "r1", 1)
    turn = Turn(call, CHAT.stream if stream else CHAT.whole)
    turn.begin(UPSTREAM)
    out = b"".join(turn.receive_data(piece) for piece in pieces)
    end = turn.receive_eof()
    out += end.out
    if end.error is not None:
        out += turn.fail(end.error, opened=stream) or f"error {end.error.code}".encode()
    return out


def neutral(out: bytes) -> str:
    """Ids of calls are digests; here they are numbered."""
    seen: dict[str, str] = {}
    return re.sub(r"call_[0-9a-f]{24}", lambda found: seen.setdefault(found[0], f"CALL_{len(seen)}"), out.decode())


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^=== (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def content(stream: str) -> tuple[str, list[str]]:
    """What is left of a stream when cuts leave no trace: its text and its other frames."""
    frames = stream.split("\n\n")
    text = "".join(found[1] for frame in frames if (found := re.search(r'"content":"((?:\\.|[^"\\])*)"', frame)))
    return text, [frame for frame in frames if '"content":"' not in frame]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.txt")), ids=lambda file: file.stem)
def test_transcripts(file: Path) -> None:
    part = sections(file.read_text(encoding="utf-8"))
    wire = part["upstream"].removesuffix("\n").encode() + (b"\n" if part["upstream"].endswith("\n\n") else b"")
    assert part["stream"] == neutral(converse(part["request"], [wire], stream=True))
    assert part["whole"].rstrip("\n") == neutral(converse(part["request"], [wire], stream=False))
    single = [wire[at : at + 1] for at in range(len(wire))]
    assert content(part["stream"]) == content(neutral(converse(part["request"], single, stream=True)))
    assert part["whole"].rstrip("\n") == neutral(converse(part["request"], single, stream=False))
