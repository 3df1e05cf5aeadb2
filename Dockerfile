# One image for `waybill serve` and `waybill worker`. Only the build stage has pip and hatchling.
# For a release, set the base by digest: --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:…
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/waybill && python3 -m venv /opt/build
WORKDIR /src
COPY requirements/runtime.txt requirements/traces.txt requirements/build.txt requirements/
RUN /opt/build/bin/pip install --quiet --no-deps --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --no-deps --require-hashes \
      --only-binary :all: -r requirements/runtime.txt -r requirements/traces.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
# Compile now: the root file system of a pod is read-only.
RUN /opt/build/bin/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --no-deps --no-index /wheels/*.whl \
 && /opt/waybill/bin/python -m compileall -q -j 0 /opt/waybill/lib \
 && find /opt/waybill/bin -type f ! -name waybill -delete

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title="waybill" \
      org.opencontainers.image.description="Webhook processing: durable ingestion, record fetch, rules, actions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Remove pip from the image.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin waybill \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip \
           /usr/lib/python3/dist-packages/pip* /usr/bin/pip*
COPY --from=build /opt/waybill /opt/waybill
ENV PATH="/opt/waybill/bin:${PATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /etc/waybill
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["waybill"]
CMD ["--help"]
