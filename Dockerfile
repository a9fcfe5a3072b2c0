# The services' programs on a slim Debian. One target each: order-service, outbox-relay,
# customer-service.

FROM rust:1-bookworm AS build
WORKDIR /src
# release: as the programs are published. trial: builds in a third of the time, for trying them.
ARG PROFILE=release
# Without line tables the build is faster and takes a fifth of the space. Backtraces keep function
# names.
ENV CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo
COPY . .
# Cargo compares modification times: an artifact in the cache may be newer than these files although
# it was built from others, so the files are marked as changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -path '*/src/*.rs' -exec touch {} + \
 && if [ "$PROFILE" = trial ]; then \
        cargo build --profile trial --locked --no-default-features --features outbox-relay/console \
            -p order-service -p outbox-relay -p customer-service; \
    else \
        cargo build --profile "$PROFILE" --locked -p order-service -p customer-service \
        # By itself: else it is built with what only an API needs.
        && cargo build --profile "$PROFILE" --locked -p outbox-relay; \
    fi \
 && install -D -t /programs "target/$PROFILE/order-service" "target/$PROFILE/outbox-relay" "target/$PROFILE/customer-service"

FROM debian:bookworm-slim AS base
# Certificate authorities, for TLS to databases and brokers. Unpinned: the latest ones are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# A numeric id: Kubernetes' `runAsNonRoot` can't verify a user name. Nothing is written to the
# image.
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
