#!/bin/sh
# curl: one streamed answer, frame by frame. An error is printed in OpenAI's shape, and the exit code is not 0.
set -eu
exec curl --silent --show-error --fail-with-body --no-buffer \
  "${PROXY_URL:-http://127.0.0.1:4000}/v1/chat/completions" \
  -H "authorization: Bearer ${PROXY_API_KEY:-unused}" \
  -H "correlation-id: ${CORRELATION_ID:-conversation-123}" \
  -H 'content-type: application/json' \
  -d '{
    "model": "stackspot-ai-chat",
    "stream": true,
    "stream_options": {"include_usage": true},
    "messages": [{"role": "user", "content": "What is the weather in Recife?"}]
  }'
