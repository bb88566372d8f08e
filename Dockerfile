# docker build -t stackspot-proxy .
# docker run --rm -p 127.0.0.1:4000:4000 stackspot-proxy --demo

# One minor version of Python and one of Debian. For a build that is the same for ever, add the digest that your registry
# gives: docker buildx imagetools inspect python:3.13-slim-bookworm
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock .
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --only-binary=:all: --no-deps --require-hashes --no-compile \
        -r requirements.lock
COPY config.yaml /app/
COPY proxy /app/proxy
# Once here, since nothing can be written there; with hashes in place of times, so that the same source gives the same.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app/proxy

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="stackspot-proxy" \
      org.opencontainers.image.description="OpenAI's API in front of StackSpot AI's agents" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/venv/bin:$PATH \
    PROXY_HOST=0.0.0.0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 4000
# Asks this container and nobody else, so an HTTP_PROXY in the environment must not be followed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('PROXY_PORT') or '4000') + '/health', timeout=3)"]
ENTRYPOINT ["python", "-m", "proxy"]
