"""nginx: passing through, and as an upstream that serves a recorded stream."""

import os
import shutil
from pathlib import Path

from tests.bench.contestants.contestant import PEERS, Contestant, Launch, Place
from tests.bench.stream import OPENAI, STACKSPOT
from tests.bench.wire import BURST

_UNPACKED = PEERS / "nginx/usr/sbin/nginx"
_LOGIN = '{"access_token":"the-token","expires_in":1199,"token_type":"Bearer"}'

_CONFIG = """\
daemon off; pid nginx.pid; error_log stderr warn; worker_processes 1; %(user)s
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_max_body_size 0; client_body_buffer_size 4m;
  client_body_temp_path temp; proxy_temp_path temp;
  fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  %(rest)s
}
"""

_PASSING = """\
upstream far { server %(upstream)s; keepalive 256; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    location = /health { return 200; }
    location / {
      proxy_pass http://far; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }
  }"""

# A POST for a file is a GET for nginx once its error page says so; a page that might hold includes goes out in chunks,
# as the answers of a model do.
_RECORDED = """\
types { }
  default_type text/event-stream;
  ssi on; ssi_types text/event-stream;
  open_file_cache max=8;
  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    root %(folder)s;
    location = /health { return 200; }
    location ~ /token$ { default_type application/json; return 200 '%(login)s'; }
    location ~ ^/v1/agent/.*/chat$ { error_page 405 =200 /stackspot; return 405; }
    location = /v1/chat/completions { error_page 405 =200 /openai; return 405; }
  }"""


def find() -> str | None:
    """Where nginx is: unpacked for the bench, or installed."""
    if _UNPACKED.exists():
        return str(_UNPACKED)
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _launch(place: Place, rest: str) -> Launch:
    binary = find()
    assert binary is not None, "a contestant that is missing is not launched"
    config = place.folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # or its worker could not look into the folder
    config.write_text(_CONFIG % {"user": user, "rest": rest})
    return Launch([binary, "-p", str(place.folder), "-c", str(config), "-e", "stderr"])


def _passing(place: Place) -> Launch:
    return _launch(place, _PASSING % {"upstream": place.upstream.removeprefix("http://"), "port": place.port})


def _recorded(place: Place) -> Launch:
    tokens = int(place.agents[0].removeprefix(f"{BURST}-"))
    for name, stream in (("stackspot", STACKSPOT), ("openai", OPENAI)):
        Path(place.folder, name).write_bytes(stream.recorded(tokens))
    return _launch(place, _RECORDED % {"port": place.port, "folder": place.folder, "login": _LOGIN})


_MISSING = None if find() else "nginx is not installed"

NGINX = Contestant("nginx, passing", _passing, missing=_MISSING)
RECORDED = Contestant("recorded", _recorded, missing=_MISSING)
"""No contestant but an upstream: it has one answer, that of its only agent."""
