"""Names that several rooms use: the known apps, and the mark of a version that was not pushed."""

from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP

KEPT_HERE = "kept here: "
"""What the origin of a version begins with where its commit was not pushed."""
TOPICS = "topics"
"""The folder in `data` with what reviews are about."""
TOPIC_NAMES = "topics.yaml"
"""The file in the clone with the names that people gave topics."""


def known_apps(settings: Settings) -> list[str]:
    """The apps in the order of the partitions, the sample's last."""
    return [*(app for app in settings.apps if app != SAMPLE_APP), SAMPLE_APP]
