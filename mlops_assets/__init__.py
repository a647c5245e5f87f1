"""A Dagster asset graph that keeps an app-review sentiment model fresh."""

import os

# ONNX Runtime's builds on PyPI tell Microsoft about their use unless this is set before they are loaded, and every
# program here comes past this line first.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251  set, not read
