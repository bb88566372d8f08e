"""``python -m tests.support.slow_start``: the proxy, which imports uvloop for a minute. It says when that begins."""

import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from proxy import cli


class Slow:
    """Asked for every module that is imported."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "uvloop":
            print("importing", flush=True)
            time.sleep(60)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Slow)
    sys.exit(cli.main())
