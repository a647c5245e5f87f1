from mlops_assets.cli.data import show_deployments
from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.settings import Settings
from tests.repository import ROOT


def test_what_was_live_when_is_shown_the_newest_first(tmp_path, capsys):
    settings = Settings.load({"DEPLOY_TARGET": "process"}, ROOT).model_copy(update={"root": tmp_path})
    assert show_deployments(settings) == 0
    assert "No deployment yet: make run" in capsys.readouterr().out
    log = DeploymentLog(settings.service_folder / "deployments.sqlite")
    at = "2026-01-01T03:04:05.678+00:00"
    log.add(Entry(at, "process", "first", "model-1", "data-1", "run 1", "live", ""))
    log.add(Entry(at, "process", "second", "model-2", "data-2", "run 2", "refused", "it is too slow"))
    assert show_deployments(settings) == 0
    header, newest, oldest = capsys.readouterr().out.splitlines()
    assert header.split() == ["at", "outcome", "release", "model", "data", "target", "caused", "by", "reason"]
    assert newest.split()[1:7] == ["refused", "second", "model-2", "data-2", "process", "run"]
    assert newest.endswith("it is too slow")
    assert oldest.split()[1:6] == ["live", "first", "model-1", "data-1", "process"]
