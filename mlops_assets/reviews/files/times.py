"""A file's columns of times, with the zone of those cells that name none. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from mlops_assets.reviews.files.values import times_of_file
from mlops_assets.reviews.files.zone import FoundZone, find_zone
from mlops_assets.settings import DateOrder


@dataclass
class FileTimes:
    """values: by stored column, in UTC
    written: review_date as its cells say it, in no zone
    naive: by stored column, whether a cell named no zone
    assumed: what was decided, one phrase each
    """

    values: dict[str, pd.Series]
    written: pd.Series
    naive: dict[str, pd.Series]
    assumed: list[str]
    _given: str | None
    _in_zone: Callable[[str], dict[str, pd.Series]] = field(repr=False)

    def settle(self, rows: pd.DataFrame, of_play: Callable[[str], pd.DataFrame] | None) -> None:
        """Decide the zone of the naive times. `rows` has app_id, review_id, review_text and rating."""
        naive = self.naive["review_date"] & self.values["review_date"].notna()
        if not naive.any():
            return
        if self._given:
            self.assumed.append(f"times without a zone are of {self._given}, as TIME_ZONE says")
            return
        found = _known(pd.DataFrame(rows[naive]).assign(review_date=self.written[naive]), of_play)
        if found is None:
            self.assumed.append("times without a zone are UTC (TIME_ZONE=Asia/Jakarta says another one)")
            return
        if found.zone:
            self.values = self._in_zone(found.zone)
        else:
            self.values = {
                name: values.where(~self.naive[name], values - found.ahead) for name, values in self.values.items()
            }
        self.assumed.append(f"times without a zone are {found}")


def read_times(columns: Mapping[str, pd.Series], naive_zone: str | None, order: DateOrder | None) -> FileTimes:
    """The file's times, naive ones in `naive_zone`, else in UTC until the zone is settled. Raises `AmbiguousDates`."""
    found = times_of_file(columns, naive_zone or "UTC", order)
    deciding = next((times for times in found.values() if times.order), None)
    plain = found if naive_zone is None else times_of_file(columns, "UTC", order)
    return FileTimes(
        values={name: times.values for name, times in found.items()},
        written=plain["review_date"].values,
        naive={name: ~times.zone_given for name, times in found.items()},
        assumed=[f"dates are {deciding.order}, {deciding.why}"] if deciding else [],
        _given=naive_zone,
        _in_zone=lambda zone: {name: times.values for name, times in times_of_file(columns, zone, order).items()},
    )


def _known(rows: pd.DataFrame, of_play: Callable[[str], pd.DataFrame] | None) -> FoundZone | None:
    if of_play is None:
        return None
    apps = [str(app) for app in rows["app_id"].dropna().unique()]
    known = [reviews.assign(app_id=app) for app in apps if len(reviews := of_play(app))]
    return find_zone(rows, pd.concat(known, ignore_index=True)) if known else None
