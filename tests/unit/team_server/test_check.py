"""The check of the settings runs before the large image is built, in one that has a few packages alone."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from mlops_assets.team_server.__main__ import check
from tests.repository import ROOT

ENOUGH = {
    "POSTGRES_USER": "pipeline", "POSTGRES_PASSWORD": "9f2c41b7d80ae653", "POSTGRES_DB": "reviews",
    "GRAFANA_ADMIN_USER": "boss", "GRAFANA_ADMIN_PASSWORD": "7be1930cfa52d864",
    "OPERATE_LOGINS": "oki:e80b5c12fd9736a4", "DVC_REMOTE_URL": ".dvc-remote",
}  # fmt: skip
LOADED = """
import json, sys
from mlops_assets.team_server import __main__
sys.argv[1:] = ["check"]
code = __main__.main()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""


def test_its_image_has_what_it_loads(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    environ = {**ENOUGH, "CLONE": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", LOADED], env=environ, capture_output=True, text=True, check=False)
    loaded = json.loads(done.stderr.splitlines()[-1])
    distributions = packages_distributions()
    needed = {name.lower().replace("_", "-") for module in loaded for name in distributions.get(module, ())}
    given = re.search(r'PACKAGES="([^"]+)"', (ROOT / "stack" / "Dockerfile").read_text(encoding="utf-8"))
    assert given is not None
    assert needed - {"mlops-assets", "setuptools"} <= set(given[1].split())
    lock = (ROOT / "locks" / "pipeline.txt").read_text(encoding="utf-8")
    assert {name for name in given[1].split() if not re.search(rf"^{name}==", lock, flags=re.MULTILINE)} == set()


def test_what_the_model_service_would_refuse_is_named_with_all_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert check(tmp_path, {**ENOUGH, "POSTGRES_DB": "", "API_KEYS": f"web:{'0' * 64}"}) == 2
    said = capsys.readouterr().err
    assert "POSTGRES_DB is empty" in said
    assert "DEPLOY_KEY is empty" in said
    assert not (tmp_path / "stack").exists()
