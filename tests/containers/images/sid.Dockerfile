# Stand-ins for the official images, from Debian's newest packages; scripts/container-images builds them.
# One file for a release, so that its targets share their layers, and they are built in this order: the engine's own
# builder makes every target that stands before the one it is asked for.
ARG BASE

FROM ${BASE} AS mysql
RUN useradd --system --uid 999 --no-create-home mysql && install -d -o mysql -g mysql /var/lib/mysql /run/mysqld /var/lib/mysql-files \
        /docker-entrypoint-initdb.d \
    && apt-get update && apt-get install --yes --no-install-recommends mysql-server-core mysql-client-core \
    && rm -rf /var/lib/apt/lists/*
COPY mysql-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mysqld"]

FROM ${BASE} AS redis8
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY redis-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]

FROM ${BASE} AS valkey
RUN apt-get update && apt-get install --yes --no-install-recommends systemd-standalone-sysusers \
    systemd-standalone-tmpfiles valkey-server && rm -rf /var/lib/apt/lists/* \
    && install -d -o valkey -g valkey /data \
    && ln -s valkey-server /usr/bin/redis-server && ln -s valkey-cli /usr/bin/redis-cli
COPY redis-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["valkey-server"]
