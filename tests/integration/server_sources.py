"""Servers that are wrong on purpose: copies of the real one's sources with lines added."""

from pathlib import Path

from mlops_assets.deploy.release import SERVER_MODULES
from tests.repository import ROOT

UNLOVED = "lambat sekali"
"""The text that only clients send: no golden sentence shows what happens to it."""
_AT_TIMES = """
import asyncio
_right = PredictionRoutes.predict
async def _predict(self, body: PredictRequest, request: Request) -> PredictAnswer:
    if body.text == {text!r}:
        {what}
    return await _right(self, body, request)
PredictionRoutes.predict = _predict
"""
FAILS_AT_TIMES = _AT_TIMES.format(text=UNLOVED, what="raise RuntimeError('no such thing')")
SLOW_AT_TIMES = _AT_TIMES.format(text=UNLOVED, what="await asyncio.sleep(2)")
REFUSED_FOR = {
    "fails at times": r"it answered \d+ of \d+ requests \(.*%\) with a server error, the old one 0 of \d+ requests \(0",
    "slow at times": r"slowest tenth of its answers to /predict takes [1-9]\.\d+ s or more, the old one's 0\.\d+ s",
}
"""What a rollout says of each, where the old one is right and quick."""


def server_with(folder: Path, added: str, module: str = "models/classic.py") -> Path:
    """A copy of the server's sources with lines added to one module."""
    source = ROOT / "mlops_assets"
    for path in [
        *(source / "serving").rglob("*"),
        *(source / name for name in SERVER_MODULES),
    ]:
        if path.is_file() and "__pycache__" not in path.parts:
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    changed = folder / "serving" / module
    changed.write_text(changed.read_text() + added if module != "__main__.py" else added)
    return folder
