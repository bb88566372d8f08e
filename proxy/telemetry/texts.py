"""What was said on both sides, for ``LOG_MESSAGES=true``: bounded, and without the secrets that the proxy knows."""

from collections.abc import Callable

from proxy.core.call import AssistantText, Call, Entry, SystemText, ToolResult, UserText
from proxy.telemetry.transcript import TEXT_LIMIT, Transcript

ROOM_WORTH_USING = 200  # characters; a message that has to be cut to fewer is left out

Message = dict[str, object]


class Texts:
    """``redact`` takes secrets out of a text."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def asked(self, call: Call) -> list[Message]:
        """The conversation in OpenAI's form: the newest messages that there is room for, long ones cut in the
        middle. A first message in place of the others says how many are left out."""
        entries = [SystemText(call.system)] if call.system else []
        messages: list[Message] = []
        room = TEXT_LIMIT
        for entry in reversed([*entries, *call.history]):
            if room < ROOM_WORTH_USING:
                break
            message, room = self._message(entry, room)
            messages.append(message)
        if left_out := len(entries) + len(call.history) - len(messages):
            messages.append({"role": "note", "content": f"{left_out} older messages are left out"})
        return messages[::-1]

    def answered(self, transcript: Transcript | None) -> Message:
        """The answer, as far as it came."""
        if transcript is None:
            return {"text": ""}
        answer: Message = {"text": self._redact(transcript.text)}
        if calls := transcript.arguments_of_calls():
            answer["tool_calls"] = [{"name": name, "arguments": self._redact(text)} for name, text in calls]
        if transcript.left_out:
            answer["left_out"] = transcript.left_out
        return answer

    def _message(self, entry: Entry, room: int) -> tuple[Message, int]:
        """And the room that is left behind it."""

        def fitted(text: str) -> str:
            nonlocal room
            text = cut(self._redact(text), room)
            room -= len(text)
            return text

        match entry:
            case SystemText(text):
                return {"role": "system", "content": fitted(text)}, room
            case UserText(text, _):
                return {"role": "user", "content": fitted(text)}, room
            case ToolResult(call_id, name, text):
                return {"role": "tool", "tool_call_id": call_id, "name": name, "content": fitted(text)}, room
            case AssistantText(text, calls):
                message: Message = {"role": "assistant", "content": fitted(text)}
                if calls:
                    message["tool_calls"] = [
                        {"id": call.id, "name": call.name, "arguments": fitted(call.arguments)} for call in calls
                    ]
                return message, room


def cut(text: str, room: int) -> str:
    """``text`` in at most about ``room`` characters: its beginning and its end."""
    if len(text) <= room:
        return text
    half = max(room, 0) // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters are left out ... {text[len(text) - half :]}"
