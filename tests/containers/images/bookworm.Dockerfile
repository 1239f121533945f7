# Stand-ins for the official images, from the packages of Debian's stable release; scripts/container-images builds them.
# One file for a release, so that its targets share their layers, and they are built in this order: the engine's own
# builder makes every target that stands before the one it is asked for.
ARG BASE

FROM ${BASE} AS python
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-dev python3-pip python3-venv \
    && ln -s python3 /usr/bin/python && rm -rf /var/lib/apt/lists/*
CMD ["python3"]

# As bare as a machine is on which somebody has just cloned the project.
FROM ${BASE} AS fresh
RUN apt-get update && apt-get install --yes --no-install-recommends python3 git && rm -rf /var/lib/apt/lists/*
FROM fresh AS fresh-sudo
RUN apt-get update && apt-get install --yes --no-install-recommends sudo && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash somebody \
    && echo 'somebody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/somebody
USER somebody
WORKDIR /home/somebody

FROM ${BASE} AS mariadb
RUN useradd --system --uid 999 --no-create-home mysql && install -d -o mysql -g mysql /var/lib/mysql /run/mysqld /docker-entrypoint-initdb.d \
    && apt-get update && apt-get install --yes --no-install-recommends mariadb-server-core mariadb-client-core \
    && cd /tmp && apt-get download mariadb-server && dpkg-deb --extract mariadb-server_*.deb whole \
    && install -D -t /usr/lib/mysql/plugin whole/usr/lib/mysql/plugin/auth_ed25519.so \
    && rm -rf /tmp/* /var/lib/apt/lists/*
COPY mysql-entrypoint /usr/local/bin/docker-entrypoint.sh
COPY mariadb-healthcheck /usr/local/bin/healthcheck.sh
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mariadbd"]

FROM ${BASE} AS redis7
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY redis-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
