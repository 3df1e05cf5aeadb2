# One image for `waybill serve` and `waybill worker`. Only the build stages have pip and hatchling. Two layers follow the
# base: the locked packages, which change rarely, and Waybill itself, which is small.
# For a release, set the base by digest: --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:…
# An SBOM is an attestation of the image: docker buildx build --sbom=true
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
FROM ${PYTHON_IMAGE} AS packages

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/waybill && python3 -m venv /opt/build
COPY requirements/runtime.txt requirements/traces.txt requirements/build.txt /src/requirements/
# Litestar and rich require the packages that are removed, for functions that Waybill does not use.
# Compile now: the root file system of a pod is read-only. By hash, so that the files do not contain the time.
RUN /opt/build/bin/pip install --quiet --no-deps --require-hashes -r /src/requirements/build.txt \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --no-compile --no-deps --require-hashes \
      --only-binary :all: -r /src/requirements/runtime.txt -r /src/requirements/traces.txt \
 && /opt/build/bin/pip --python /opt/waybill/bin/python uninstall --quiet --yes faker polyfactory pygments \
 && /opt/waybill/bin/python -m compileall -f -q -j 0 --invalidation-mode unchecked-hash /opt/waybill/lib \
 && find /opt/waybill/bin -type f -delete

FROM packages AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
# /app has the files of the wheel only, at their places in /opt/waybill.
RUN /opt/build/bin/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --no-compile --no-deps --no-index /wheels/*.whl
WORKDIR /opt/waybill
RUN bin/python -m compileall -f -q -j 0 --invalidation-mode unchecked-hash lib/python3.*/site-packages/service \
      lib/python3.*/site-packages/workers \
 && mkdir /app \
 && cp -a --parents lib/python3.*/site-packages/service lib/python3.*/site-packages/workers \
      lib/python3.*/site-packages/waybill-*.dist-info bin/waybill /app

FROM ${PYTHON_IMAGE}
# Remove pip from the image.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin waybill \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip \
           /usr/lib/python3/dist-packages/pip* /usr/bin/pip*
COPY --from=packages /opt/waybill /opt/waybill
COPY --from=build /app /opt/waybill
ENV PATH="/opt/waybill/bin:${PATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /etc/waybill
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# For Docker. Kubernetes uses the probes of the chart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen('http://localhost:' + os.environ.get('WAYBILL_ADMIN_PORT', '8081') + '/healthz', timeout=4)"]
ENTRYPOINT ["waybill"]
CMD ["--help"]
# At the end: a new version must not change the layers above.
ARG PYTHON_IMAGE
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title="waybill" \
      org.opencontainers.image.description="Webhook processing: durable ingestion, record fetch, rules, actions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
