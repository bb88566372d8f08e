"""Server-sent events out of bytes: framing only, as the WHATWG HTML standard (section 9.2.6) has it."""

BOM = b"\xef\xbb\xbf"
EVENT_LIMIT = 1 << 20

Event = tuple[bytes, bytes]
"""The name of an event, empty for the usual unnamed one, and its data; several data lines are joined by LF."""


class Decoder:
    """Splits a byte stream into events, however the stream was cut into reads.

    Lines may end in LF, CR LF or CR. Comments, ids, retry times and events without data are passed over.
    ``limit`` bounds in bytes both a line and the data gathered for one event: beyond it ``overflow`` turns true
    and nothing more is read. The work done is linear in the bytes received.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_data_size",
        "_limit",
        "_name",
        "_pending",
        "_pieces",
        "_started",
        "idle",
        "overflow",
    )

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.overflow = False
        self.idle = True
        """Between two events, with nothing held."""
        self._limit = limit
        self._pieces: list[bytes] = []  # the unfinished line, in the pieces it came in
        self._pending = 0  # their size
        self._name = b""
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False  # the last line ended in CR at a cut: an LF that follows belongs to it
        self._started = False  # a BOM may still come

    def receive_plain(self, data: bytes) -> list[bytes] | None:
        """The data of the events in these bytes, if they are whole, of one line each, and there is nothing else: so
        is nearly every read of nearly every stream. None if not; then ``receive_data`` reads them."""
        if self.idle and data.startswith(b"data: ") and data.endswith(b"\n\n") and b"\r" not in data:
            blocks = data[6:-2].split(b"\n\ndata: ")
            if len(data) <= self._limit and data.count(b"\n") == 2 * len(blocks):
                self._started = True
                return blocks
        return None

    def receive_data(self, data: bytes) -> list[Event]:
        """The events completed by these bytes."""
        blocks = self.receive_plain(data)
        if blocks is not None:
            return [(b"", block) for block in blocks]
        events = self._lines(data)
        self.idle = not (self._pieces or self._data or self._name or self._after_cr or self.overflow)
        return events

    def _lines(self, data: bytes) -> list[Event]:
        if self.overflow:
            return []
        if self._after_cr:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return []
        if self._pieces:
            self._pieces.append(data)
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._pending = 0
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        events: list[Event] = []
        for line in lines:
            if line:
                self._line(line)
                if self.overflow:
                    return events
            else:
                if self._data:
                    events.append((self._name, b"\n".join(self._data)))
                    self._data.clear()
                    self._data_size = 0
                self._name = b""
        if rest:
            self._hold(rest)
        return events

    def receive_eof(self) -> Event | None:
        """An event whose closing blank line never came, or None. Whether it is whole, only its data can tell."""
        if self._pieces and not self.overflow:
            self._line(b"".join(self._pieces))
            self._pieces.clear()
        return (self._name, b"\n".join(self._data)) if self._data else None

    def _hold(self, data: bytes) -> None:
        self._pending += len(data)
        self.overflow = self._pending > self._limit
        self._pieces.append(data)

    def _line(self, line: bytes) -> None:
        if not self._started:
            self._started = True
            line = line.removeprefix(BOM)
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
        elif line.startswith(b"event:"):
            self._name = line[6:].removeprefix(b" ")
            return
        elif line == b"data":
            value = b""
        else:  # a comment, an id, a retry time, or a field nobody knows
            return
        self._data_size += len(value) + 1
        self.overflow = self._data_size > self._limit
        self._data.append(value)
