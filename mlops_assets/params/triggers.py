"""The section `triggers`: when runs start by themselves."""

from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from mlops_assets.params.section import Rule, Section


def _existing(zone: str) -> str:
    try:
        return ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(zone) from error


class Triggers(Section):
    """When runs start by themselves, beside new commits and drift."""

    section: ClassVar[str] = "triggers"

    time_zone: Annotated[str, AfterValidator(_existing), Rule("a zone such as Asia/Jakarta")] = "UTC"
    """The time zone of the schedule `every_six_hours`."""
    retrain_after_days: int = Field(default=90, ge=0)
    """A live model older than this many days is trained again, even if nothing changed. 0: never."""
    cooldown_days: int = Field(default=7, ge=0)
    """Days after a retrain for drift or age in which neither starts another one."""
