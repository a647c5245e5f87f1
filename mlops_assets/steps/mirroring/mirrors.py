"""The mirrors that the settings name, and one pass over all of them.

Nothing here raises for a copy that is away: a mirror never stops what it mirrors. `behind` says what it lacks.
"""

import sqlite3
from collections.abc import Callable, Sequence

from mlops_assets.failures import Failure
from mlops_assets.mirrors.mirror import Mirror
from mlops_assets.params.operations import MirrorRules
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.months import MonthsInMongo
from mlops_assets.steps.mirroring.trainings import TrainingsInMlflow

FOLDER = "mirrors"
"""In Dagster's folder of the clone: what each copy has."""
_WAITS_FOR_A_PASS_S = 30


class Mirrors:
    """Every mirror of a clone; none without MONGO_URL and MLFLOW_TRACKING_URI."""

    def __init__(self, mirrors: Sequence[Mirror], months: MonthsInMongo | None = None) -> None:
        self._mirrors, self._months = tuple(mirrors), months

    @classmethod
    def of(cls, settings: Settings) -> "Mirrors":
        """The mirrors of a clone. Opens nothing."""
        folder = settings.instance_folder / FOLDER

        def rules() -> MirrorRules:
            return settings.section(MirrorRules)

        months = None
        if settings.mongo_url:
            url = settings.mongo_url.get_secret_value()
            months = MonthsInMongo(settings.data / "raw", url, settings.mongo_db, rules)
        trainings = None
        if settings.mlflow_uri:
            trainings = TrainingsInMlflow(settings, settings.mlflow_uri.get_secret_value(), folder / "mlflow", rules)
        followed = [each for each in (months, trainings) if each]
        return cls([Mirror(each, folder, settings.now) for each in followed], months)

    @property
    def addresses(self) -> list[str]:
        """Where the copies are, without secrets."""
        return [f"{mirror.followed.name} {mirror.followed.address}" for mirror in self._mirrors]

    def waiting(self) -> str:
        """What the copies lack; empty if nothing. Asks no network, and keeps what may be gone before a pass."""
        found = []
        for mirror in self._mirrors:
            mirror.keep()
            if keys := mirror.waiting():
                found.append(f"{mirror.followed.name} {len(keys)} {mirror.followed.items}")
        return ", ".join(found)

    def behind(self) -> list[str]:
        """A line for each copy that lacks something: what, since when, and why. Asks no network."""
        return [line for mirror in self._mirrors if (line := mirror.behind())]

    def catch_up(self, report: Callable[[str], None], *, within_s: float | None = None) -> list[str]:
        """One pass over each; a line for each copy that is still behind.

        within_s: of a mirror, no item is begun after so many seconds
        """
        behind = list[str]()
        for mirror in self._mirrors:
            try:
                trouble = mirror.catch_up(report, within_s=within_s, wait_s=_WAITS_FOR_A_PASS_S)
            except (OSError, sqlite3.Error) as error:
                trouble = f"{mirror.followed.name} was not brought up to date: {error}"
            if trouble:
                behind.append(trouble)
            else:
                report(f"{mirror.followed.name} has all {mirror.followed.items}")
        return behind

    def forget(self, review_ids: Sequence[str], report: Callable[[str], None]) -> str:
        """Remove erased reviews from the copy; why it may still hold them, empty if it does not."""
        if self._months is None:
            return ""
        try:
            report(f"{self._months.name}: {self._months.forget(review_ids)} documents removed")
        except Failure as failure:
            return f"{self._months.name}: {failure}"
        return ""
