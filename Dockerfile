# Cutwater as a container: the same application under uvicorn. docs/containers.md says how to run it.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /build
COPY scripts/container-requirements.txt ./
# Wheels only, each known by its hash; the environment itself has no pip.
RUN python -m venv --without-pip /opt/cutwater \
 && python -m pip --python /opt/cutwater/bin/python install --no-cache-dir --no-compile \
      --disable-pip-version-check --only-binary=:all: --require-hashes \
      --requirement container-requirements.txt
COPY core /opt/cutwater/app/core
COPY providers /opt/cutwater/app/providers
COPY infra /opt/cutwater/app/infra
COPY handlers /opt/cutwater/app/handlers
# Compiled here, for good: nothing is written at run time, so the root may be read-only.
RUN printf '#!/opt/cutwater/bin/python\nimport sys\n\nsys.path.insert(0, "/opt/cutwater/app")\n\nfrom handlers.cli import main\n\nmain()\n' \
      > /opt/cutwater/bin/cutwater \
 && chmod 755 /opt/cutwater/bin/cutwater \
 && /opt/cutwater/bin/python -m compileall -q --invalidation-mode unchecked-hash \
      /opt/cutwater/app /opt/cutwater/lib

FROM ${PYTHON}
# A number, not a name: Kubernetes can then see that it is not root.
RUN install -d -m 700 -o 10001 -g 10001 /data
COPY --from=build /opt/cutwater /opt/cutwater
ENV PATH=/opt/cutwater/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CUTWATER_HOST=0.0.0.0 \
    CUTWATER_PORT=8787 \
    CUTWATER_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['CUTWATER_PORT']), timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["cutwater"]
CMD ["serve"]
