# The services' programs on a slim Debian, one target each: order-service, outbox-relay, customer-service.

FROM rust:1-bookworm AS build
WORKDIR /src
# Built for the image alone: without line tables it takes less time and a fifth of the space. Names for backtraces stay.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo
COPY . .
# One build for all three. What is in the cache may have been built later than these files were written, and be that of other
# files: cargo, which goes by times, is told that ours are new.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -path '*/src/*.rs' -exec touch {} + \
 && cargo build --release --locked -p order-service -p outbox-relay -p customer-service \
 && install -D -t /programs target/release/order-service target/release/outbox-relay target/release/customer-service

FROM debian:bookworm-slim AS base
# The authorities that vouch for databases and brokers. No version is named: the latest ones are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# Nobody in particular, and no name: a cluster that demands `runAsNonRoot` can tell by the number. Nothing is written to the image.
USER 10001:10001
STOPSIGNAL SIGTERM
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

FROM base AS order-service
LABEL org.opencontainers.image.title="order-service" \
      org.opencontainers.image.description="Accepts orders over HTTP and writes each with its event in one PostgreSQL transaction"
COPY --from=build /programs/order-service /usr/local/bin/
ENV LISTEN_ADDR=0.0.0.0:3000 OPS_ADDR=0.0.0.0:9000
EXPOSE 3000 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["order-service", "health"]
ENTRYPOINT ["order-service"]
CMD ["serve"]

FROM base AS outbox-relay
LABEL org.opencontainers.image.title="outbox-relay" \
      org.opencontainers.image.description="Publishes the rows of a PostgreSQL outbox table to RabbitMQ"
COPY --from=build /programs/outbox-relay /usr/local/bin/
ENV OPS_ADDR=0.0.0.0:9001
EXPOSE 9001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["outbox-relay", "health"]
ENTRYPOINT ["outbox-relay"]
CMD ["run"]

FROM base AS customer-service
LABEL org.opencontainers.image.title="customer-service" \
      org.opencontainers.image.description="Customers over HTTP (api), and a consumer that counts each customer's orders (consumer)"
COPY --from=build /programs/customer-service /usr/local/bin/
ENV LISTEN_ADDR=0.0.0.0:3001 OPS_ADDR=0.0.0.0:9002
EXPOSE 3001 9002
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["customer-service", "health"]
ENTRYPOINT ["customer-service"]
CMD ["api"]
