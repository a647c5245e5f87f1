from datetime import UTC, datetime

from mlops_assets.deploy.history import DeploymentLog, Entry


def entry(hour, version, outcome="live"):
    at = datetime(2026, 1, 1, hour, tzinfo=UTC).isoformat()
    return Entry(at, "process", version, f"model-{version}", "data", "run 1", outcome, "")


def test_it_tells_what_was_live_when(tmp_path):
    log = DeploymentLog(tmp_path / "log.sqlite")
    found = [log.newest()]
    for item in (entry(1, "a"), entry(3, "b"), entry(4, "c", "refused"), entry(6, "b", "stopped")):
        log.add(item)
        found.append(log.newest())
    live = [item.release_version if item and item.outcome == "live" else None for item in found]
    assert live == [None, "a", "b", "b", None]


def test_the_last_live_releases_are_named_once_and_refused_ones_never(tmp_path):
    log = DeploymentLog(tmp_path / "log.sqlite")
    for item in (entry(1, "a"), entry(2, "b"), entry(3, "x", "refused"), entry(4, "a"), entry(5, "c")):
        log.add(item)
    assert [item.release_version for item in log.last_live(2)] == ["c", "a"]
    assert [item.release_version for item in log.last_live(9)] == ["c", "a", "b"]
