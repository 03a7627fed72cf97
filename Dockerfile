ARG PYTHON_IMAGE=python:3.11.17-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY . .
# The environment has no pip of its own, and no bytecode yet.
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/hopmail \
    && python3 -m pip --python /opt/hopmail/bin/python install --no-compile \
        --constraint constraints.txt '.[consumer,redis,encrypt]' \
    && find /opt/hopmail -type d -name tests -prune -exec rm -r '{}' +

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Hopmail" \
    org.opencontainers.image.description="Sends over SMTP what is published to RabbitMQ: never lost, never twice" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT"
# Numeric, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 hopmail \
    && useradd --uid 10001 --gid hopmail --no-create-home --home-dir /var/lib/hopmail \
        --shell /usr/sbin/nologin hopmail \
    && install --directory --owner hopmail --group hopmail \
        /run/hopmail /var/lib/hopmail /var/lib/hopmail/metrics /var/lib/hopmail/state
COPY --from=build /opt/hopmail /opt/hopmail
# Bytecode of what is imported, and no more. What runs here could not keep it, and the base image has
# none of the standard library's (https://github.com/docker-library/python/issues/615): each start
# and each health check would compile it anew.
RUN /opt/hopmail/bin/python -c 'import consumer.cli.app, consumer.cli.supervise'
# Written to: TMPDIR, for supervisor's socket and pid file, the metrics folder, and the ledger's,
# which must outlive the container. Nothing else.
ENV PATH=/opt/hopmail/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/run/hopmail \
    HOPMAIL_METRICS_DIR=/var/lib/hopmail/metrics \
    HOPMAIL_STATE_DIR=/var/lib/hopmail/state \
    HOPMAIL_PROCESSES=2
USER 10001:10001
WORKDIR /var/lib/hopmail
VOLUME /var/lib/hopmail/state
# `hopmail run` gives mails under way HOPMAIL_GRACE, and is gone 10 s later at the latest.
STOPSIGNAL SIGTERM
# Unhealthy while mail does not flow, for which the relay may be to blame: no reason to start it anew.
# Who does that for what is unhealthy had better ask `hopmail status --workers`. Without metrics
# (HOPMAIL_METRICS_DIR=none) neither knows anything, and fails.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s --retries=2 CMD ["hopmail", "status"]
CMD ["hopmail", "run"]
