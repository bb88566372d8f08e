"""Where log lines go. A full disk behind it, or nobody who reads on, costs lines and no request."""

import os
import threading


class Output:
    """A file that writes what it is given at once, by its ``descriptor``. Python's own would keep a line that was
    refused, and fail with it again and again."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._torn = False

    def write(self, text: str) -> int:
        """Of what cannot be written, the rest is lost."""
        data = text.encode(errors="backslashreplace")
        with self._lock:
            if self._torn:
                data = b"\n" + data  # what was left of the line before is one of its own
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
                    self._torn = bool(data)
            except OSError:
                pass
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""
