# Caddy before the dashboard, of the version that the tests run.
FROM debian:12.12-slim

RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates caddy \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner caddy --group caddy --mode 700 /data
# Its certificates; a volume that is mounted on an empty place takes over its owner.
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/data
COPY Caddyfile /etc/caddy/Caddyfile

USER caddy
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]
