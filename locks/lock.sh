#!/usr/bin/env bash
# `make lock`: writes the locks in this folder from pyproject.toml, with the hashes of every platform's files.
# Versions stay as they are unless pyproject.toml or `make lock UPGRADE=1` asks for others. Needs bash 4 and GNU sed.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the CUDA build of torch needs besides: gigabytes, which the CPU build does without. So they have their own lock.
cuda="cuda-bindings cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton"

compile() {  # $1: the lock; the rest: what it holds
  local lock=locks/$1.txt
  shift
  .venv/bin/python -m uv pip compile --quiet --custom-compile-command "make lock" ${UPGRADE:+--upgrade} \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-annotate \
    --only-binary :all: --emit-build-options --output-file "$lock" "$@"
  # pip reads these options in order, and the first of these undoes what stands before it.
  sed -i '/^--no-binary/{h;d};/^--only-binary/{G;s/\n*$//}' "$lock"
}

except() {  # of what the lock $1 holds
  sed -n 's/^\([A-Za-z0-9._-]*\)\(\[.*\]\)\?==.*/--no-emit-package=\1/p' "locks/$1.txt"
}

compile installers --group installers
compile pipeline pyproject.toml --group serving --excludes <(tr ' ' '\n' <<<"$cuda") --constraints locks/installers.txt
# The CPU build's file, which the public index does not have, is as good as that index's.
IFS='+ ' read -r torch _ cpu_hash < <(grep ^torch== locks/cpu.constraint)
sed -i -e "/$cpu_hash/d" -e "s/^$torch .*/&\n    $cpu_hash \\\\/" locks/pipeline.txt
mapfile -t in_pipeline < <(except pipeline)
compile cuda - --constraints locks/pipeline.txt "${in_pipeline[@]}" <<<"$torch"
compile dev pyproject.toml --group serving --group kubernetes --group ray --group mlflow --group dev --excludes <(tr ' ' '\n' <<<"$cuda") \
  --constraints locks/pipeline.txt "${in_pipeline[@]}"
for extra in kubernetes ray mlflow; do
  compile "$extra" --group "$extra" --constraints locks/dev.txt --constraints locks/pipeline.txt "${in_pipeline[@]}"
done
compile serving --group serving --constraints locks/pipeline.txt
compile serving-gpu --group serving-gpu --constraints locks/pipeline.txt
compile dvc --group dvc --constraints locks/installers.txt --no-binary antlr4-python3-runtime  # its version 4.9.3 has no wheel
mapfile -t in_dvc < <(except dvc)
for extra in ssh gs azure; do
  compile "dvc-$extra" --group "dvc-$extra" --constraints locks/dvc.txt --no-binary antlr4-python3-runtime "${in_dvc[@]}"
done
