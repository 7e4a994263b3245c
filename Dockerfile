# syntax=docker/dockerfile:1
# Roomkeeper alone, built from this source; docker-compose.yml puts Redis and FreeSWITCH beside it. No secret is in the
# image: the configuration is mounted, or comes from the environment.

FROM rust:1.95-slim-bookworm AS build
# The allocator is C, and is built as such.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY fixtures/roomkeeper.example.toml fixtures/roomkeeper.example.toml
COPY src src
# What was fetched and compiled before is kept by the builder, and is no part of the image. Line tables are for whoever
# debugs; without them the image is a quarter as large.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin roomkeeper \
    && cp target/release/roomkeeper /roomkeeper \
    && strip --strip-debug /roomkeeper

FROM debian:bookworm-slim
# Receivers of webhooks are checked against the system's certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /roomkeeper /usr/local/bin/roomkeeper
# Nobody: it writes no file, and listens on no port that is reserved.
USER 10001:10001
# The APIs, the media proxy, and the operator's listener.
EXPOSE 8080 8082 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["roomkeeper"]
CMD ["serve", "--config", "/etc/roomkeeper/roomkeeper.toml"]
