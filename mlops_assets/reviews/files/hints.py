"""What a person says of files that do not say it themselves: the order of dates, which app a name stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from mlops_assets.settings import DateOrder, Settings


@dataclass(frozen=True)
class FileHints:
    """`app_asked`: a person named the app with APP=, so it may stand for the one name that a file gives its app.

    Without that the app is only the single one in params.yaml, which says nothing of a file that names another.
    """

    date_order: DateOrder | None = None
    app_names: Mapping[str, str] = field(default_factory=dict[str, str])
    app_asked: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the variables and params.yaml say."""
        return cls(settings.date_order, settings.app_names, app_asked=settings.extra_app is not None)


NO_HINTS = FileHints()
