"""A response read properly, where counting is not enough."""

import orjson


def texts(response: bytes, pointer: tuple[str, ...]) -> list[str]:
    """The texts of all frames of a chunked response; ``pointer`` says where in a frame its text is."""
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    found = []
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            value = orjson.loads(line[6:])
            for key in pointer:
                value = value.get(key, "")
                if isinstance(value, list):
                    value = value[0] if value else {}  # a frame of usage has no choices
            found.append(value or "")
    return found
