"""Claims about what is deployed."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.reporting.notifier import Notifier, trouble
from mlops_assets.settings import Settings
from mlops_assets.steps.refresh_dashboards import FactKeeper

CHANNELS = dg.AssetCheckKey(dg.AssetKey("deployed_image"), "notifications_reach_their_channels")

FACTS = dg.AssetCheckKey(dg.AssetKey("deployed_image"), "dashboards_have_every_run")


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `serving_image` and `deployed_image`."""

    @dg.asset_check(asset=dg.AssetKey("serving_image"))
    def packages_have_no_known_vulnerability(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """Every package of the server was audited, and none has a known vulnerability.

        It stops nothing, since a finding may be in the version that serves already. Where the auditor or its database
        cannot be reached the claim is not proven, so the check says *not audited*.
        """
        from mlops_assets.deploy.dependency_audit import recent_audit

        lock = settings.serving_lock
        if lock is None:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description="not audited: the server's lock is not in locks/, restore it with make lock",
            )
        found, at = recent_audit(lock, settings.instance_folder / "audit.json", settings.now())
        return dg.AssetCheckResult(
            passed=found.clean,
            severity=dg.AssetCheckSeverity.WARN,
            description=found.told(),
            metadata={
                "audited": found.audited,
                "audited_at": at.isoformat(timespec="seconds"),
                "not_audited": len(found.skipped),
                "findings": metadata.table([{"finding": one} for one in found.findings]),
            },
        )

    @dg.asset_check(asset=CHANNELS.asset_key)
    def notifications_reach_their_channels(notifier: dg.ResourceParam[Notifier]) -> dg.AssetCheckResult:
        """Every channel of NOTIFY_URLS and the heartbeat took what was sent to it last.

        It stops nothing: what a channel did not take waits in the outbox and is sent again. But who hears nothing may
        think that nothing happened. The sensor `deliver_notifications` tells this check too when a channel changes.
        """
        standings = notifier.channel_status()
        return dg.AssetCheckResult(
            passed=not trouble(standings),
            severity=dg.AssetCheckSeverity.WARN,
            description=trouble(standings) or _untroubled(len(standings)),
            metadata={"channels": metadata.table([vars(one) for one in standings])} if standings else {},
        )

    @dg.asset_check(asset=FACTS.asset_key)
    def dashboards_have_every_run(fact_keeper: dg.ResourceParam[FactKeeper]) -> dg.AssetCheckResult:
        """The database of the dashboards took what runs left so far.

        It stops nothing: the facts are on disk, and the sensor `record_facts` writes what is missing and tells this
        check. But who looks at a dashboard in the meantime sees the past and may take it for the present.
        """
        trouble = fact_keeper.trouble()
        return dg.AssetCheckResult(
            passed=not trouble,
            severity=dg.AssetCheckSeverity.WARN,
            description=trouble or ("it did" if fact_keeper.database else "there is none: POSTGRES_HOST is empty"),
        )

    return [packages_have_no_known_vulnerability, notifications_reach_their_channels, dashboards_have_every_run]


def _untroubled(channels: int) -> str:
    if not channels:
        return "no channel: NOTIFY_URLS and HEARTBEAT_URL are empty, so nobody is told"
    return f"{channels} channel{'' if channels == 1 else 's'}, none in trouble"
