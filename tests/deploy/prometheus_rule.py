"""Makes the PrometheusRule of deploy/kubernetes from the rule files that promtool tests, for `make rules`."""

import sys
import textwrap

from tests.deploy.shipped import KUBERNETES, PROMETHEUS, RULES

FILE = KUBERNETES / "components" / "monitoring" / "prometheus-rule.yaml"
HEAD = """\
# Made by `make rules` of deploy/prometheus/recording.yml and alerts.yml: change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: stackspot-proxy
spec:
  groups:
"""


def made() -> str:
    groups = [(PROMETHEUS / name).read_text(encoding="utf-8").partition("\ngroups:\n")[2] for name in RULES]
    return HEAD + "".join(textwrap.indent(text, "  ") for text in groups)


if __name__ == "__main__":
    sys.exit(0 if FILE.write_text(made(), encoding="utf-8") else 1)
