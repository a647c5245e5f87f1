"""`python -m stack.grafana.build` writes dashboards/*.json, which Grafana is provisioned with."""

import json
from pathlib import Path

from stack.grafana import inference, models, pipeline, reviews

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = (inference.DASHBOARD, models.DASHBOARD, pipeline.DASHBOARD, reviews.DASHBOARD)


def files() -> dict[str, str]:
    """File name -> content."""
    return {f"{one.uid}.json": json.dumps(one.to_json(), indent=1, ensure_ascii=False) + "\n" for one in DASHBOARDS}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
