"""What schemathesis is told of this API; read by it in its own environment, from SCHEMATHESIS_HOOKS."""

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What the document does not tell: which models there are, and which messages need what. Without it no request
    would get any further than that."""
    body = case.body
    if not isinstance(body, dict):
        return
    if isinstance(body.get("model"), str) and 0 < len(body["model"]) <= 256:
        body["model"] = "stackspot"
    for message in body["messages"] if isinstance(body.get("messages"), list) else ():
        if isinstance(message, dict):
            message.update({key: "Hi" for key in ("content", "tool_call_id") if message.get(key) is None})


@schemathesis.check
def no_fault_of_its_own(context: Any, response: Any, case: Any) -> None:
    """Other 5xx are about upstreams, and declared."""
    assert response.status_code != 500, response.text
