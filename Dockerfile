# shardload in a container:
#
#   docker build --tag shardload .
#   docker run --rm shardload --help
#
# Any Debian with Python, venv and pip serves as the base; on the official images nothing else is needed.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# With --build-arg EXTRAS=[fleet] it has Dask, too, so that it can be a machine of a fleet, its head, or its scheduler.
ARG EXTRAS=
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev tini \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The extension is optional for pip, so that shardload installs without a compiler; here it is what was wanted.
RUN python3 -m venv --without-pip /opt/shardload \
    && python3 -m pip --python /opt/shardload/bin/python install --no-cache-dir ".${EXTRAS}" \
    && /opt/shardload/bin/python -I -c 'from shardload.encoding import is_native_built as built; assert built()'

FROM ${PYTHON_IMAGE}
# Process 1 of a container takes no signal that it has no handler for, and gets every orphan to reap: tini's work.
COPY --from=build /usr/bin/tini-static /usr/bin/tini
COPY --from=build /opt/shardload /opt/shardload
# Fixed numbers, so that the job directory's owner is the same in every build. Docker gives a new volume that is mounted
# there the same owner and mode.
RUN groupadd --gid 10001 shardload \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/shardload --shell /usr/sbin/nologin shardload \
    && install --directory --owner=shardload --group=shardload --mode=700 /var/lib/shardload
ENV PATH=/opt/shardload/bin:$PATH SHARDLOAD_STATE_DIR=/var/lib/shardload
# By number: Kubernetes cannot see of a name that it is not root's, and `runAsNonRoot` refuses it.
USER 10001:10001
WORKDIR /var/lib/shardload
# -s: it reaps also where it is not process 1 (`init: true`).
ENTRYPOINT ["tini", "-s", "--", "shardload"]
CMD ["--help"]
