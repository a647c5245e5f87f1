#!/bin/sh
# Every container of the orchestrator's image starts here: packages are the image's, code is the clone's.
set -eu
clone="${CLONE:?CLONE must be the absolute path of the clone, mounted at the same path: make up sets it}"
if [ ! -d "$clone/mlops_assets" ]; then
  echo "error: CLONE=$clone holds no mlops_assets: mount the clone at the very path that it has on the machine" >&2
  exit 78
fi
cd "$clone"
export PYTHONPATH="$clone"
exec python -m mlops_assets.team_server enter -- "$@"
