"""`make digest`: what reviews said in the last seven days, as one HTML file."""

from pathlib import Path

from mlops_assets.settings import Settings
from mlops_assets.steps.topics.weekly_digest import write_digest


def write(settings: Settings, to: str) -> int:
    """Write the digest to a file, by default in `.dagster/digests`, and print where it is and its main figures."""
    digest = write_digest(settings, Path(to).expanduser().absolute() if to else None)
    print(f"{digest.title}\n{digest.text}\nDigest: {digest.path}".replace("\n\n", "\n"))
    return 0
