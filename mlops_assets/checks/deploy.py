"""Claims about what is deployed."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.document import as_markdown_text
from mlops_assets.reporting.notifier import Notifier, trouble
from mlops_assets.settings import Settings
from mlops_assets.steps.refresh_dashboards import Dashboards

CHANNELS = dg.AssetCheckKey(dg.AssetKey("deployed_image"), "notifications_reach_their_channels")

FACTS = dg.AssetCheckKey(dg.AssetKey("deployed_image"), "dashboards_have_every_run")


@dg.asset_check(asset=dg.AssetKey("serving_image"))
def packages_have_no_known_vulnerability(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """Every package of the server was audited and has no known vulnerability.

    It stops nothing, since a finding may be in the version that serves already. If the auditor or its database cannot
    be reached, nothing is proven and the check says *not audited*.
    """
    from mlops_assets.deploy.dependency_audit import BadException, recent_audit

    lock = settings.serving_lock
    if lock is None:
        return _not_audited("the server's lock is not in locks/, restore it with make lock")
    try:
        found, at = recent_audit(lock, settings.instance_folder / "audit.json", settings.now())
    except BadException as error:
        return _not_audited(str(error))
    return dg.AssetCheckResult(
        passed=found.clean,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(found.summary()),
        metadata={
            "audited": found.audited,
            "audited_at": at.isoformat(timespec="seconds"),
            "not_audited": len(found.skipped),
            "findings": metadata.table([{"finding": finding} for finding in found.findings]),
        },
    )


def _not_audited(reason: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not audited: {reason}")


@dg.asset_check(asset=CHANNELS.asset_key)
def notifications_reach_their_channels(notifier: dg.ResourceParam[Notifier]) -> dg.AssetCheckResult:
    """Every channel of NOTIFY_URLS and the heartbeat took what was sent to it last.

    It stops nothing: a message that a channel did not take waits in the outbox and is sent again. But until
    then nobody is told. The sensor `deliver_notifications` reports to this check too when a channel changes.
    """
    channels = notifier.channel_status()
    return dg.AssetCheckResult(
        passed=not trouble(channels),
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(trouble(channels) or _untroubled(len(channels))),
        metadata={"channels": metadata.table([vars(channel) for channel in channels])} if channels else {},
    )


@dg.asset_check(asset=FACTS.asset_key)
def dashboards_have_every_run(dashboards: dg.ResourceParam[Dashboards]) -> dg.AssetCheckResult:
    """The database of the dashboards holds the facts of all runs so far.

    It stops nothing: the facts are on disk, and the sensor `record_facts` writes what is missing and reports to this
    check. But until then a dashboard shows the past as if it were the present.
    """
    trouble = dashboards.trouble()
    return dg.AssetCheckResult(
        passed=not trouble,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(
            trouble or ("every run is there" if dashboards.has_database else "no database: POSTGRES_HOST is empty")
        ),
    )


def _untroubled(channels: int) -> str:
    if not channels:
        return "no channel: NOTIFY_URLS and HEARTBEAT_URL are empty, so nobody is told"
    return f"{channels} channel{'' if channels == 1 else 's'}, all of them work"


CHECKS = [packages_have_no_known_vulnerability, notifications_reach_their_channels, dashboards_have_every_run]
