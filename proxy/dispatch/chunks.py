"""HTTP/1.1's chunks (RFC 9112, section 7.1), where a read holds them whole."""

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,7})\r\n")

_LINES = {len(line) + size + 2: line for size in range(1, 4096) if (line := b"%x\r\n" % size)}
"""The line that a chunk begins with, by the length of the whole chunk."""


def content_of_whole(data: bytes) -> bytes | None:
    """What is in the chunks that ``data`` is made of; None unless it is made of whole chunks and nothing else. The
    last chunk, which says that nothing more comes, counts as something else, and so does one with extensions."""
    line = _LINES.get(len(data))
    if line is not None and data.startswith(line) and data.endswith(b"\r\n"):
        return data[len(line) : -2]  # one chunk a read, as nearly always
    head = _SIZE.match(data)
    if head is None:
        return None
    begin = head.end()
    end = begin + int(head[1], 16)
    contents = []
    while data[end : end + 2] == b"\r\n" and begin != end:
        contents.append(data[begin:end])
        if end + 2 == len(data):
            return b"".join(contents)
        head = _SIZE.match(data, end + 2)
        if head is None:
            return None
        begin = head.end()
        end = begin + int(head[1], 16)
    return None
