# shellcheck shell=bash
# Functions that provide a container engine with Compose v2, and the images that compose.yml and the
# Dockerfile are based on. Source it in the repository's root. If no engine answers, Debian's is
# installed and started; `engine_stop` stops it again.

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
    # In its own session, so that Ctrl-C does not reach it: the script needs the engine to clean up.
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

# If a script for stand-in images lies beside the checkout (for machines that reach no registry), it
# builds the missing ones from Debian packages under their public names.
engine_images() {
    local missing=() standins=${STANDIN_IMAGES:-}
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 || missing+=(debian)
    docker image inspect postgres:17 >/dev/null 2>&1 || missing+=(postgres)
    docker image inspect rabbitmq:4-management >/dev/null 2>&1 || missing+=(rabbitmq)
    docker image inspect rust:1-bookworm >/dev/null 2>&1 || missing+=(rust)
    { docker compose version && docker buildx version; } >/dev/null 2>&1 || missing+=(plugins)
    if [ ${#missing[@]} -gt 0 ] && [ -n "$standins" ]; then
        bash "$standins" "${missing[@]}"
    fi
    # A build does not add its base image to the engine's images, but images.sh needs its size.
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 || docker pull debian:bookworm-slim
    docker compose version
}

engine_stop() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid"
    wait "$engine_pid" || true
    engine_pid=
}
