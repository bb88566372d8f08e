"""``python -m tests.support.hurried``: the proxy with a minute of MINUTE_S seconds, so that quotas can be tested."""

import os
import sys

from proxy import cli
from proxy.dispatch import accounts

accounts.MINUTE_S = float(os.environ["MINUTE_S"])

if __name__ == "__main__":
    sys.exit(cli.main())
