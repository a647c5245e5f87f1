"""How reviews are partitioned: by app and by UTC month of the review."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.workspace import known_apps

APP, MONTH = "app", "month"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def review_partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Every app of params.yaml (and the sample's) with every month from `first_month` to the clock's."""
    now, clock = settings.now(), datetime.now(UTC)
    ahead = max(0, (now.year - clock.year) * 12 + now.month - clock.month)
    return dg.MultiPartitionsDefinition(
        {
            APP: dg.StaticPartitionsDefinition(known_apps(settings)),
            MONTH: dg.MonthlyPartitionsDefinition(settings.first_month, fmt="%Y-%m", end_offset=1 + ahead),
        }
    )


def partitioned(settings: Settings, assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The assets by app and month; a backfill of them is one run."""
    partitions = review_partitions(settings)
    return [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(partitions_def=partitions)).with_attributes(
            backfill_policy=dg.BackfillPolicy.single_run()
        )
        for asset in assets
    ]


def last_month(settings: Settings) -> str:
    """The last month that is a partition: the clock's, or that of NOW where it is ahead of the clock."""
    return f"{max(settings.now(), datetime.now(UTC)):%Y-%m}"


def range_tags(settings: Settings, apps: Sequence[str], first: str, last: str) -> dict[str, str]:
    """The tags that make a run cover these apps (and any between them) from month `first` to `last`.

    Both ends are partitions: months before `first_month` of params.yaml or after the clock's are left out.
    """
    order = [app for app in known_apps(settings) if app in set(apps)]
    if not order:
        raise PermanentFailure(
            f"params.yaml names none of the apps {', '.join(apps) or '(none)'}: add one under apps, or set APP"
        )
    start, end = max(first, settings.first_month), min(last, last_month(settings))
    if start > end:
        raise PermanentFailure(
            f"no month from {first} to {last} is between first_month {settings.first_month} of params.yaml and the "
            f"clock's month {last_month(settings)}: set first_month to {first}, or correct the clock (NOW)"
        )
    return {RANGE_START: f"{order[0]}|{start}", RANGE_END: f"{order[-1]}|{end}"}


def months_by_app(context: dg.AssetExecutionContext) -> dict[str, list[str]]:
    """The months that this run covers, by app."""
    asked: dict[str, list[str]] = {}
    for key in _keys(context):
        if not isinstance(key, dg.MultiPartitionKey):
            raise TypeError(f"partition {key!r} has no app and month: use the partitions of review_partitions")
        asked.setdefault(key.keys_by_dimension[APP], []).append(key.keys_by_dimension[MONTH])
    return {app: sorted(months) for app, months in asked.items()}


def _keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The keys of the run's range where it has one, else those that Dagster names.

    Dagster 1.13 gives a backfill of a job, which "Materialize all" on a job's page is, the range and the key of its
    first month; `context.partition_keys` then holds that month alone.
    """
    tags, partitions = context.run.tags, context.assets_def.partitions_def
    if RANGE_START not in tags or partitions is None:
        return context.partition_keys
    return partitions.get_partition_keys_in_range(dg.PartitionKeyRange(tags[RANGE_START], tags[RANGE_END]))


def apps_covered(settings: Settings, tags: Mapping[str, str]) -> list[str]:
    """The apps that a run with these tags covers; all of them where it names none."""
    apps = known_apps(settings)
    if RANGE_START in tags:
        first, last = (tags[name].partition("|")[0] for name in (RANGE_START, RANGE_END))
    else:
        first = last = tags.get(f"dagster/partition/{APP}", "")
    return apps[apps.index(first) : apps.index(last) + 1] if {first, last} <= set(apps) else apps


def record_run(
    context: dg.AssetExecutionContext, rows: Mapping[tuple[str, str], int], whole: Mapping[str, Any]
) -> None:
    """The rows of every (app, month) on its partition's page, and the numbers of the `whole` run on the newest one's.

    Dagster copies the metadata of a result into the event of every partition: 39 kB each, 93 MB for 1,200 months.
    The asset's page shows the event that was written last, so that one holds the run's numbers too.
    """
    named = {str(key) for key in context.partition_keys}
    keys = [str(partition_key(*month)) for month in rows]
    whole = {**whole, "months_of_this_run": f"{len(keys)}, from {keys[0]} to {keys[-1]}"}
    shown = {keys[-1], _written_last(context)}
    for key, count in zip(keys, rows.values(), strict=True):
        about = {
            "dagster/partition_row_count": count,
            **(whole if key in shown else {"whole_run_at": keys[-1]}),
        }
        if key in named:
            context.add_asset_metadata(about, partition_key=key)
        else:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=about))


def _written_last(context: dg.AssetExecutionContext) -> str:
    """The partition whose event Dagster 1.13 writes last: it goes through a set of the keys that the run names."""
    partitions = context.assets_def.partitions_def
    if partitions is None:
        raise TypeError(f"{context.asset_key.to_user_string()} has no partitions: use `partitioned`")
    return [*partitions.subset_with_partition_keys(context.partition_keys).get_partition_keys()][-1]


def months_asked(by_app: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Every (app, month) of `months_by_app`, in order."""
    return [(app, month) for app, months in by_app.items() for month in months]


def partition_key(app_id: str, month: str) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({APP: app_id, MONTH: month})


def stored_range(settings: Settings, source: str) -> tuple[list[str], str, str] | None:
    """The apps of a source that have stored reviews, with the first and last stored month; None if there are none.

    Only partitions count. A file of another month, or one that is no month, stays where it is and starts no run.
    """
    real = source != "sample"
    folders = [settings.data / "raw" / app for app in known_apps(settings) if (app != SAMPLE_APP) == real]
    months = {
        folder.name: _partition_months(settings, (path.stem for path in folder.glob("*.parquet"))) for folder in folders
    }
    apps = [app for app, found in months.items() if found]
    if not apps:
        return None
    return apps, min(months[app][0] for app in apps), max(months[app][-1] for app in apps)


def _partition_months(settings: Settings, names: Iterable[str]) -> list[str]:
    last = last_month(settings)
    return sorted(name for name in names if _MONTH.fullmatch(name) and settings.first_month <= name <= last)
