"""A recorded body without secrets and without text. Every byte keeps its place and every character its length, so the
body is read as it was, and the cuts between its pieces fall where they fell."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from proxy.config.secrets import TOKENS, in_json
from proxy.telemetry.capture.mask import mask

_BOM = b"\xef\xbb\xbf"
_EVENTS = re.compile(rb"(?:\A|\A\xef\xbb\xbf|[\r\n])(?:data|event)?:")
_BARE_DELTA = re.compile(rb'data: \{"(?P<key>message)":"(?P<inner>[^"\\]*(?:\\.[^"\\]*)*)"\}\n\n', re.DOTALL)
_LINE = re.compile(rb"[^\r\n]+|\r\n?|\n")
_TOKEN = re.compile(rb'"(?P<inner>[^"\\]*(?:\\.[^"\\]*)*)(?P<end>"?)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_LITERAL = re.compile(rb"true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_KEY = re.compile(rb"[A-Za-z_][\w.-]{0,40}")
_WORD = re.compile(rb"[\w.:/-]{0,128}")
_OF_THE_PROTOCOL = frozenset(
    {b"code", b"finish_reason", b"model", b"object", b"param", b"role", b"status", b"stop_reason", b"type"}
)
"""Keys whose values are the protocol's words, not a person's or a model's."""
_TELLS_OF_AN_ERROR = re.compile(rb'(?<!\\)"(?:error|code|details?)"\s*:')
_TOKENS = re.compile(TOKENS.encode())


class _Text(NamedTuple):
    """Where text stands; that of one ``path`` belongs together. ``blunt`` text tells of an error."""

    path: tuple[bytes, ...]
    start: int
    end: int
    blunt: bool = False


def without_secrets(body: bytes, secrets: Sequence[bytes]) -> bytes:
    """``body`` with ``secrets``, and what looks like one, replaced by stars; also where they came in pieces."""
    hide = _hider(secrets)
    return _rewritten(hide(body), lambda text, _: hide(text))


def without_text(body: bytes, secrets: Sequence[bytes]) -> bytes:
    """The same with the letters of all texts replaced as well; markers, numbers of tokens and error codes stay."""
    return _rewritten(_hider(secrets)(body), mask)


def _hider(secrets: Sequence[bytes]) -> Callable[[bytes], bytes]:
    written = [form for secret in secrets for form in {secret, in_json(secret.decode(errors="replace")).encode()}]

    def hide(data: bytes) -> bytes:
        for form in written:
            if form in data:
                data = data.replace(form, b"*" * len(form))
        return _TOKENS.sub(lambda found: b"*" * len(found[0]), data)

    return hide


def _rewritten(body: bytes, change: Callable[[bytes, bool], bytes]) -> bytes:
    """``body`` with ``change`` made to its texts, those of one path as one: words may be cut between two events."""
    out = bytearray(body)
    together: dict[tuple[tuple[bytes, ...], bool], list[_Text]] = defaultdict(list)
    for text in _texts(body):
        together[text.path, text.blunt].append(text)
    for (_, blunt), texts in together.items():
        changed = change(b"".join(body[text.start : text.end] for text in texts), blunt)
        at = 0
        for text in texts:
            size = text.end - text.start
            out[text.start : text.end] = changed[at : at + size]
            at += size
    return bytes(out)


def _texts(body: bytes) -> Iterator[_Text]:
    """Of server-sent events, of one JSON value, or of whatever else it is."""
    if not _EVENTS.search(body):
        yield from _document(body, [(0, len(body))], b"")
        return
    datas: list[tuple[int, int]] = []
    name, ended = b"", True
    at = len(_BOM) if body.startswith(_BOM) else 0
    while at < len(body):
        if not datas and not name and (bare := _BARE_DELTA.match(body, at)):
            yield _Text((bare["key"],), *bare.span("inner"))  # nearly every event of StackSpot's
            at, ended = bare.end(), True
            continue
        line = _LINE.match(body, at)
        assert line is not None, "it matches anything"
        start, at = line.span()
        if body[start] in b"\r\n":
            if ended:
                yield from _document(body, datas, name)
                datas, name = [], b""
            ended = True
            continue
        ended = False
        field, _, value = line[0].partition(b":")
        if field == b"data":
            datas.append((start + len(b"data:"), at))
        elif field == b"event":
            name = value.strip()
        elif field not in (b"id", b"retry"):  # a comment, or no field at all
            yield _Text((b"",), start, at)
    yield from _document(body, datas, name)


def _document(body: bytes, pieces: Sequence[tuple[int, int]], name: bytes) -> Iterator[_Text]:
    """The texts of one event, or of a body that is none; it may break off anywhere."""
    data = b"".join(body[start:end] for start, end in pieces).strip()
    if data == b"[DONE]":
        return
    blunt = name == b"error" or bool(_TELLS_OF_AN_ERROR.search(data))
    if data[:1] in (b"{", b"["):
        yield from _json(body, pieces, blunt)
    else:
        yield from (_Text((b"",), start, end, blunt=True) for start, end in pieces)


def _json(body: bytes, pieces: Sequence[tuple[int, int]], blunt: bool) -> Iterator[_Text]:
    keys: list[bytes | None] = []  # the one under way in each open object; None in an array
    held: re.Match[bytes] | None = None  # a string of which the next token tells whether it is a key
    for start, end in pieces:
        for token in _TOKEN.finditer(body, start, end):
            is_key = held is not None and token[0] == b":" and bool(keys) and keys[-1] is not None
            if held is not None:
                if is_key:
                    keys[-1] = held["inner"]
                path = tuple(key for key in keys if key)
                if not (_KEY.fullmatch(held["inner"]) if is_key else _is_protocol(path, held["inner"])):
                    yield _Text((b"key",) if is_key else path, *held.span("inner"), blunt)
                held = None
            match token[0][:1]:
                case b'"':
                    held = token
                case b"{":
                    keys.append(b"")
                case b"[":
                    keys.append(None)
                case b"}" | b"]":
                    del keys[-1:]
                case b":" | b",":
                    pass
                case _ if not _LITERAL.fullmatch(token[0]):
                    yield _Text((b"",), *token.span(), blunt)
    if held is not None:
        yield _Text(tuple(key for key in keys if key), *held.span("inner"), blunt)


def _is_protocol(path: tuple[bytes, ...], value: bytes) -> bool:
    named = path[-1:] and (path[-1] in _OF_THE_PROTOCOL or path[-2:] == (b"function", b"name"))
    return bool(named) and bool(_WORD.fullmatch(value))
