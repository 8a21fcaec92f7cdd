# Every process of Tickloop that is not Airflow's: collector, pipeline, API, dashboard, bot, janitor.
# Built from the root of the checkout by `make images`, which puts in the digest of the base where pins.txt has one.
ARG PYTHON_BASE=docker.io/library/python:3.11.14-slim-bookworm

FROM ${PYTHON_BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
WORKDIR /src
RUN python -m venv /opt/tickloop
# What others wrote first: it changes with the pins alone, so the layer is used again, or else the folder of wheels. Nothing
# of the empty package that stands for ours may stay: setuptools takes an older file for the one it has built already.
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
RUN --mount=type=cache,target=/wheels \
    --mount=type=bind,source=deploy/images/install.sh,target=/tmp/install.sh \
    mkdir -p src/tickloop && touch src/tickloop/__init__.py && \
    sh /tmp/install.sh /opt/tickloop/bin/pip /wheels --constraint constraints.txt \
    ".[cluster,dashboard,models,registry,serve]" && \
    rm -rf build src
COPY src src
RUN --mount=type=cache,target=/wheels \
    --mount=type=bind,source=deploy/images/slim.sh,target=/tmp/slim.sh \
    /opt/tickloop/bin/pip install --quiet --no-index --find-links /wheels --no-deps --force-reinstall . && \
    sh /tmp/slim.sh /opt/tickloop

FROM ${PYTHON_BASE}
# libgomp: LightGBM's threads. tini: hands signals on and buries what a killed process leaves.
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates libgomp1 tini && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log && \
    rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip && \
    groupadd --gid 10001 tickloop && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tickloop && \
    install -d -o 10001 -g 10001 -m 750 /var/lib/tickloop /var/cache/tickloop
COPY --from=build /opt/tickloop /opt/tickloop
RUN --mount=type=bind,source=deploy/images/sbom.py,target=/tmp/sbom.py \
    mkdir -p /usr/share/sbom && \
    /opt/tickloop/bin/python /tmp/sbom.py --name tickloop/app --python /opt/tickloop >/usr/share/sbom/sbom.cdx.json
# The root is read-only when it runs: state goes to the home, compiled rules to the cache, scratch to /tmp.
ENV PATH=/opt/tickloop/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    TICKLOOP_HOME=/var/lib/tickloop \
    XDG_CACHE_HOME=/var/cache/tickloop \
    NUMBA_CACHE_DIR=/var/cache/tickloop/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/tickloop
# For whatever runs here; whoever runs the API asks it for /readyz instead.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["tickloop", "status"]
ENTRYPOINT ["tini", "--"]
CMD ["tickloop", "--help"]
