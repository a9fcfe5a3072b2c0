# shellcheck shell=bash
# Sourced from the repository's root: leaves a container engine and Compose v2 that answer, and the images that compose.yml and the
# Dockerfile begin with. Installs and starts Debian's engine where none answers; `engine_stop` ends what was started here.

engine_pid=
engine_log=target/compose-engine.log

engine_answers() { docker info >/dev/null 2>&1; }

engine_start() {
    engine_answers && return
    [ "$(id -u)" = 0 ] || { echo "no container engine answers: start one, or let root install it" >&2; return 1; }
    if ! command -v dockerd >/dev/null; then
        echo "installing docker.io"
        install() { DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq docker.io debootstrap; }
        { install || { apt-get update -qq && install; }; } >"$engine_log" 2>&1 || { tail -n 20 "$engine_log" >&2; return 1; }
    fi
    echo "starting dockerd"
    # In a session of its own: Ctrl-C is for the script, which needs the engine to clean up.
    setsid dockerd >"$engine_log" 2>&1 &
    engine_pid=$!
    for _ in $(seq 300); do
        engine_answers && return
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.2
    done
    echo "dockerd does not answer:" >&2
    tail -n 20 "$engine_log" >&2
    return 1
}

# Where no registry can be reached, a script beside the checkout makes stand-ins of Debian packages under the public names.
engine_images() {
    local missing=() standins=../shared/standin-images.sh
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 || missing+=(debian)
    docker image inspect postgres:17 >/dev/null 2>&1 || missing+=(postgres)
    docker image inspect rabbitmq:4-management >/dev/null 2>&1 || missing+=(rabbitmq)
    docker image inspect rust:1-bookworm >/dev/null 2>&1 || missing+=(rust)
    { docker compose version && docker buildx version; } >/dev/null 2>&1 || missing+=(plugins)
    if [ ${#missing[@]} -gt 0 ] && [ -e "$standins" ]; then
        bash "$standins" "${missing[@]}"
    fi
    # Of all these a build leaves this one out of the engine's images, and its size is asked for.
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 || docker pull debian:bookworm-slim
    docker compose version
}

engine_stop() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid"
    wait "$engine_pid" || true
    engine_pid=
}
