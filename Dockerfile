# One image for both pods: `waybill serve` and `waybill work`. The build stage has pip and hatchling, the image has neither.
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/waybill && python3 -m venv /opt/build
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN /opt/build/bin/pip install --quiet --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --require-hashes --only-binary :all: \
      -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY workers workers
# The root file system is read-only in a pod, so the bytecode has to be there before.
RUN /opt/build/bin/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/waybill/bin/python install --quiet --no-deps --no-index /wheels/*.whl \
 && /opt/waybill/bin/python -m compileall -q -j 0 /opt/waybill/lib

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="waybill" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin waybill
COPY --from=build /opt/waybill /opt/waybill
ENV PATH="/opt/waybill/bin:${PATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /etc/waybill
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["waybill"]
CMD ["--help"]
