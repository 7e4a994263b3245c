# syntax=docker/dockerfile:1
# Roomkeeper, built from this source; docker-compose.yml adds Redis and FreeSWITCH. The image contains no secret: the
# configuration is mounted, or comes from the environment.

FROM rust:1.95-slim-bookworm AS build
# The allocator, jemalloc, is built with make.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY fixtures/roomkeeper.example.toml fixtures/roomkeeper.example.toml
COPY crates crates
COPY src src
# The builder caches downloads and compiled crates outside the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --features jemalloc --bin roomkeeper \
    && cp target/release/roomkeeper /roomkeeper

FROM debian:bookworm-slim
# Roomkeeper checks the certificates of webhook receivers against the system's authorities.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /roomkeeper /usr/local/bin/roomkeeper
# An unprivileged user: Roomkeeper writes no file and listens on no reserved port.
USER 10001:10001
# The APIs, the media proxy, and the admin listener.
EXPOSE 8080 8082 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["roomkeeper"]
CMD ["serve", "--config", "/etc/roomkeeper/roomkeeper.toml"]
