# shellcheck shell=bash
# shellcheck disable=SC2154
# Sourced by smoke.sh while the containers run. Checks the images' user, stop signal, health check,
# title and size, and that their file system is read-only.

base=$(docker image inspect --format '{{.Size}}' debian:bookworm-slim)
for service in order-service outbox-relay customer-service; do
    image=$IMAGE_PREFIX/$service
    [ "$(docker image inspect --format '{{.Config.User}} {{.Config.StopSignal}}' "$image")" = '10001:10001 SIGTERM' ] || fail "$image has another user or stop signal"
    [ "$(docker image inspect --format '{{json .Config.Healthcheck.Test}}' "$image")" = "[\"CMD\",\"$service\",\"health\"]" ] || fail "$image has another health check"
    [ "$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}}' "$image")" = "$service" ] || fail "$image has no title"
    size=$((($(docker image inspect --format '{{.Size}}' "$image") - base) / 1000000))
    [ "$size" -lt 60 ] || fail "$image adds $size MB to its base"
    compose exec -T "$service" sh -c 'touch /tmp/written 2>/dev/null' && fail "$service can write to its image"
    step "$service adds $size MB to its base, and is read-only"
done
