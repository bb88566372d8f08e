"""``GET /openapi.json``: what the proxy's routes take and give. The request's shape is the one that requests are
checked by."""

import re
from typing import Any

import msgspec
import orjson
from aiohttp import web

from proxy import __version__
from proxy.config import Config
from proxy.core.callers.chat import Chat
from proxy.core.callers.chat_schema import Request
from proxy.core.callers.chat_service import ChatService, ServiceRequest
from proxy.core.dialect import Caller
from proxy.server.correlation import VALID
from proxy.server.keys import KEY_HEADERS

PATH = "/openapi.json"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_ERRORS = {
    400: "not HTTP, not JSON, or a field or header that is missing or wrong, then named in `param`",
    401: "the caller's key is missing or wrong",
    403: "a page of an origin that is not listed sends this, or the host is not one that a proxy without a key allows",
    404: "there is no such model, or the key is not for it",
    408: "the body did not arrive in time",
    413: "the body is too large",
    422: "the provider refuses the request, in its own words",
    429: "too much for a quota, a key's limit, the provider, or the number of answers under way",
    500: "a fault of the proxy's own",
    502: "the upstream cannot be reached, refuses the proxy, or did not give a whole answer of the kind asked for",
    503: "the proxy is draining; nothing was sent on, another replica may take the request",
    504: "the upstream did not answer in time",
}
_CHAT = tuple(_ERRORS)
_LOOK = (400, 401, 403, 500)
_MODELS = (400, 401, 403, 404, 500)
_OPEN = (400, 403, 500)
_PROBE = (400, 500)

_KEYS = {
    "authorization": {"type": "http", "scheme": "bearer"},
    **{name: {"type": "apiKey", "in": "header", "name": name} for name in KEY_HEADERS if name != "authorization"},
}
"""Any one of them will do."""
_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        "id": _TEXT,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "index": {"type": "integer"},
                    "message": {"type": "object", "required": ["role", "content"]},
                    "finish_reason": {"enum": ["stop", "tool_calls", "function_call", "length", "content_filter"]},
                },
            },
        },
        "usage": {"type": "object"},
    },
}
_NUMBER = {"type": "number"}
_SERVICE_ANSWER = {
    "type": "object",
    "required": ["output", "provider", "model", "usage", "latency_ms"],
    "properties": {
        "output": _TEXT,
        "provider": _TEXT,
        "model": _TEXT,
        "usage": {"type": "object"},
        "latency_ms": _NUMBER,
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": _TEXT, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": _TEXT},
}
_TARGETS = {
    "type": "object",
    "required": ["object", "data", "aliases"],
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "allOf": [
                    _ref("Model"),
                    {
                        "type": "object",
                        "required": ["provider", "target"],
                        "properties": {"provider": _TEXT, "target": _TEXT},
                    },
                ]
            },
        },
        "aliases": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["provider", "model"],
                "properties": {"provider": _TEXT, "model": _TEXT},
            },
        },
    },
}
_MODEL_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}},
}
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": _TEXT}}
_STREAM = {"example": 'data: {"id": "...", "object": "chat.completion.chunk", "choices": [...]}\n\ndata: [DONE]\n\n'}


def route(config: Config) -> web.RouteDef:
    body = orjson.dumps(document(config))

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return web.get(PATH, handle)


def document(config: Config) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes, as they are with this configuration."""
    (_, shapes) = msgspec.json.schema_components([Request, ServiceRequest], ref_template="#/components/schemas/{name}")
    own = {
        "Error": _ERROR,
        "Completion": _COMPLETION,
        "ServiceAnswer": _SERVICE_ANSWER,
        "Model": _MODEL,
        "ModelList": _MODEL_LIST,
        "Targets": _TARGETS,
        "Status": _STATUS,
    }
    keyed: list[dict[str, list[str]]] = [{name: []} for name in _KEYS] if config.has_keys else []
    return {
        "openapi": "3.1.0",
        "info": {"title": "stackspot-proxy", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": _paths(config, keyed),
        "components": {
            "schemas": {**shapes, **own},
            "responses": {str(status): _response(why, "Error") for status, why in _ERRORS.items()},
            "securitySchemes": _KEYS,
        },
    }


def _paths(config: Config, keyed: list[dict[str, list[str]]]) -> dict[str, Any]:
    chat = _inference(config, Chat(), "A chat completion, whole or as a stream", "Request", "Completion")
    service = _inference(config, ChatService(), "An answer of a model", "ServiceRequest", "ServiceAnswer")
    models = {"summary": "The names that requests may use", "security": keyed}
    id_ = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    posts = dict.fromkeys(Chat.routes, chat) | dict.fromkeys(ChatService.routes, service)
    paths: dict[str, Any] = {
        path: {"post": {"operationId": f"post{_slug(path)}", "security": keyed, **post}} for path, post in posts.items()
    }

    def get(path: str, what: dict[str, Any], found: dict[str, Any], errors: tuple[int, ...]) -> dict[str, Any]:
        responses: dict[str, Any] = {"200": found} | _errors(errors)
        paths[path] = {"get": {"operationId": f"get{_slug(path)}", **what, "responses": responses}}
        return responses

    get("/models", models, _response("all names, and who answers to them", "Targets"), _LOOK)
    get("/v1/models", models, _response("all names", "ModelList"), _MODELS)
    get("/v1/models/{id}", models | {"parameters": [id_]}, _response("one of them", "Model"), _MODELS)
    for path in ("/health", "/healthz", "/health/liveliness"):
        get(path, {"summary": "Alive"}, _response("it is", "Status"), _PROBE)
    for path in ("/ready", "/health/readiness"):
        responses = get(path, {"summary": "Ready"}, _response("it is", "Status"), _PROBE)
        responses["503"] = _response("starting or draining", "Status")
    texts = {"text/plain": {"schema": _TEXT}, "application/openmetrics-text": {"schema": _TEXT}}
    if config.admin is None:
        get("/metrics", {"summary": "Metrics"}, {"description": "as the header Accept asks", "content": texts}, _OPEN)
    if config.page and config.admin is None:
        page = {"description": "HTML", "content": {"text/html": {"schema": _TEXT}}}
        get("/", {"summary": "A page to try a chat"}, page, _OPEN)
    this = {"description": "an OpenAPI document", "content": {"application/json": {"schema": {"type": "object"}}}}
    get(PATH, {"summary": "This document", "security": keyed}, this, _LOOK)
    return paths


def _slug(path: str) -> str:
    return re.sub(r"\W+", "_", path).rstrip("_")


def _inference(config: Config, caller: Caller, summary: str, request: str, answer: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [_correlation(config, caller)],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(request)}}},
        "responses": {"200": _answer(answer)} | _errors(_CHAT),
    }


def _correlation(config: Config, caller: Caller) -> dict[str, Any]:
    rule = config.correlation
    return {
        "name": rule.header,
        "in": "header",
        "required": caller.correlated and rule.required and not rule.also_accept,
        "description": "an id of the conversation; it comes back in the response",
        "schema": {"type": "string", "pattern": f"^{VALID.pattern}$"},
    }


def _answer(schema: str) -> dict[str, Any]:
    contents = {"application/json": {"schema": _ref(schema)}, "text/event-stream": _STREAM}
    return {
        "description": "the answer; with `stream` as events, of which an error may be the last",
        "headers": {"x-proxy-cache": {"description": "where answers are kept", "schema": {"enum": ["hit", "miss"]}}},
        "content": contents,
    }


def _response(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
