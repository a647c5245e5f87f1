#!/usr/bin/env bash
# `stack/stack.sh up | down | database | old-images | COMPOSE-ARGUMENTS…`: compose with what it needs to know of this machine and this clone.
# `stack/stack.sh running`: the container in which this clone's commands act. `inside COMMAND…`: one of them, there.
set -euo pipefail
cd "$(dirname "$0")/.."

running() {
  local found id folder
  command -v docker >/dev/null || return 0
  if ! found=$(docker ps --quiet --filter label=com.docker.compose.service=code 2>/dev/null); then
    [ ! -e stack/made/door/logins.cfg ] || { echo unknown; return; }
  fi
  for id in $found; do
    folder=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.project.working_dir"}}' "$id")
    [ ! "$folder" -ef . ] || { echo "$id"; return; }
  done
}
case "${1:-}" in
  running) running; exit ;;
  inside)
    case "${2:-}" in import | labels)
      for argument in "${@:3}"; do
        case "$argument" in --file=?* | --to=?*)
          path=${argument#*=}
          path=$(realpath -m -- "${path/#\~\//"$HOME"/}")
          [ "$path" != "${path#"$(pwd -P)"/}" ] || {
            echo "error: $path is outside of the clone, and the stack sees no other folder: name a path in" \
              "$(pwd -P), and copy the file from there or to there" >&2
            exit 2
          }
        esac
      done
    esac
    # As the clone's owner, with the settings and the database that the runs have. A terminal hands Ctrl-C on.
    [ -t 0 ] && [ -t 1 ] && terminal=--tty || terminal=
    exec docker exec --interactive $terminal "$(running)" orchestrator python -m mlops_assets.cli "${@:2}"
    ;;
esac

is_set() { [ -n "${!1:-}" ] || grep -qsE "^(export )?$1=." .env; }
set_default() { is_set "$1" || export "$1=$2"; }
setting() {
  local value=${!1:-}
  [ -n "$value" ] || value=$(sed -nE "s/^(export )?$1=[\"']?([^\"'[:space:]]*).*/\\2/p" .env 2>/dev/null | tail -1) || true
  echo "${value:-$2}"
}
export CLONE="$PWD"
set_default COMPOSE_PROJECT_NAME mlops
# The address that people open, for links of Grafana and Prometheus.
DOOR_URL=$(setting DAGSTER_URL "https://localhost:$(setting DOOR_PORT 8443)/dagster")
DOOR_URL=${DOOR_URL%/}
export DOOR_URL=${DOOR_URL%/dagster}
set_default DAGSTER_URL "$DOOR_URL/dagster"
set_default STACK_UID "$(stat -c %u .)"
set_default STACK_GID "$(stat -c %g .)"
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
[ -S "$socket" ] || { echo "error: no Docker engine at $socket: start it, or set DOCKER_SOCKET" >&2; exit 2; }
set_default DOCKER_GID "$(stat -c %g "$socket")"

if docker compose version >/dev/null 2>&1; then
  compose() { docker compose "$@"; }
elif command -v docker-compose >/dev/null; then
  compose() { docker-compose "$@"; }
else
  echo "error: neither 'docker compose' nor docker-compose is here: install Docker's compose plugin" >&2
  exit 2
fi

wait_until_healthy() {
  local timeout_s=${UP_TIMEOUT_S:-300} until waiting
  [[ $timeout_s =~ ^[0-9]{1,6}$ ]] || { echo "error: UP_TIMEOUT_S must be a number of seconds, got $timeout_s" >&2; exit 2; }
  until=$((SECONDS + 10#$timeout_s))
  while :; do
    waiting=$(compose ps -q | xargs -r docker inspect --format \
      '{{if and .State.Health (ne .State.Health.Status "healthy")}}{{.Name}} ({{.State.Health.Status}}){{end}}' | xargs)
    [ -z "$waiting" ] && return
    if [ $SECONDS -gt $until ]; then
      echo "error: not healthy: $waiting. Its log: stack/stack.sh logs --tail 50" >&2
      return 1
    fi
    sleep 1
  done
}

# A digest of files and folders: by content, and what only its owner may read by size and time.
digest() {
  find "$@" -type f ! -path '*/__pycache__/*' ! -path 'stack/made/*' ! -name .env -print0 | sort -z | xargs -0 --no-run-if-empty sha256sum \
    | { cat; find "$@" -type f \( -path 'stack/made/*' -o -name .env \) -printf '%p %s %T@\n' | sort; } | sha256sum | cut -c -12
}

# service, container, image and mlops.files of each container that lasts, a line each
containers() {
  compose ps -q | xargs -r docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.Image}} {{index .Config.Labels "mlops.files"}}' \
    | grep -vE '^(check|migrate) ' | sort || true
}

# What a rebuild left without a name. An image that a container needs stays: the container of a run lasts until the next.
remove_old_images() {
  local id size
  docker images --no-trunc --format '{{.ID}} {{.Size}}' --filter dangling=true \
    --filter "label=mlops.orchestrator=$(setting ORCHESTRATOR_IMAGE mlops-orchestrator)" | while read -r id size; do
    [ -z "$(docker ps --all --quiet --filter "ancestor=$id")" ] || continue
    echo "remove image ${id:0:19} of an earlier build of the stack ($size)"
    [ "${DRY_RUN:-}" = 1 ] || docker image rm "$id" >/dev/null
  done
}

# Docker's own lines only if the step failed, and then the last of them.
quietly() {
  local said
  said=$("$@" 2>&1) || { tail -n 40 <<<"$said" >&2; return 1; }
}

say_what_changed() {
  local service id image files before said=""
  while read -r service id image files; do
    before=$(grep "^$service " <<<"$1" || true)
    case "$before" in
      "$service $id "*) ;;
      "") said+=", $service (new)" ;;
      "$service "*" $image $files") said+=", $service (its settings)" ;;
      "$service "*" $image "*) said+=", $service (its files)" ;;
      *) said+=", $service (its image)" ;;
    esac
  done <<<"$(containers)"
  said=${said#, }
  echo "Started anew: ${said:-nothing, all runs as it is written}"
}

case "${1:-}" in
  up)
    # What the stack itself made: passwords of database roles, and the door's certificate if it is self-signed.
    [ -z "${ROTATE:-}" ] || rm -f stack/made/grafana/reader_password stack/made/prediction_log_password stack/made/door/cert.pem
    # First by itself and before the large image: nothing is built or started while a setting is missing or a secret weak.
    echo "Checking the settings"
    [ -n "${SKIP_BUILD:-}" ] || quietly compose build check
    quietly compose run --rm --no-deps -T check
    if [ -z "${SKIP_BUILD:-}" ]; then
      echo "Building the image, which takes minutes after a change of the locks"
      quietly compose build migrate
    fi
    echo "Starting what changed, and waiting until all is healthy"
    CODE_FILES=$(digest mlops_assets params.yaml stack/*.yaml stack/made/grafana stack/made/prediction_log_password $([ ! -e .env ] || echo .env))
    DOOR_FILES=$(digest stack/door stack/made/door)
    GRAFANA_FILES=$(digest stack/grafana/provisioning stack/grafana/dashboards stack/made/grafana)
    PROMETHEUS_FILES=$(digest stack/prometheus)
    ALERTMANAGER_FILES=$(digest stack/alertmanager)
    export ALERTMANAGER_FILES CODE_FILES DOOR_FILES GRAFANA_FILES PROMETHEUS_FILES
    before=$(containers)
    # The owner's password is what .env says, also in a database that was made with another one.
    quietly compose up --detach postgres
    wait_until_healthy
    compose exec -T postgres sh -c 'psql -qX --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"' <<'SQL'
\set owner `printenv POSTGRES_USER`
\set password `printenv POSTGRES_PASSWORD`
ALTER ROLE :"owner" PASSWORD :'password';
SQL
    quietly compose up --detach --remove-orphans
    wait_until_healthy
    say_what_changed "$before"
    compose exec -T code orchestrator python -m mlops_assets.cli resume
    remove_old_images
    compose ps
    ;;
  old-images) remove_old_images ;;
  database)
    # Alone, for a restore: nobody else holds it, and the other services find what was restored.
    compose up --detach postgres
    wait_until_healthy
    ;;
  down)
    # Networks and volumes stay: the model goes on serving, and its log in the database is taken up again.
    compose stop
    compose rm --force
    if [ -n "${SERVICE:-}" ]; then
      docker ps --all --quiet --filter "network=$(compose config | sed -n 's/^ *SERVICE_NETWORK: //p' | head -1)" | xargs -r docker rm --force
      compose down
    fi
    ;;
  *) compose "$@" ;;
esac
