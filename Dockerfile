# Roomkeeper alone; docker-compose.yml puts Redis and FreeSWITCH beside it.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY fixtures/roomkeeper.example.toml fixtures/roomkeeper.example.toml
COPY src src
RUN cargo build --release --locked --bin roomkeeper

FROM debian:bookworm-slim
# Receivers of webhooks are checked against the system's certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/target/release/roomkeeper /usr/local/bin/roomkeeper
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["roomkeeper"]
CMD ["serve", "--config", "/etc/roomkeeper/roomkeeper.toml"]
