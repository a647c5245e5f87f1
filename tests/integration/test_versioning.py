"""Versions with real git and real DVC: a colleague gets everything, and what is lost or damaged comes back."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import versioning
from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.objects import ObjectFolder, folder_object, pointed_object
from mlops_assets.versioning.git.pipeline_commit import FILES, parse_trailers
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.version_writer import DataVersion
from tests.user_clone import APP, QUICK_DVC, REAL_DVC, UserClone, sh

pytestmark = pytest.mark.usefixtures("home")


def test_a_version_travels_to_a_colleague_and_is_read_with_plain_commands(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", origin=True)
    data = user.version_data()
    models = user.version_models("first", accuracy=0.8)
    again = user.version_models("second", accuracy=0.9, run_id="run-2")
    assert data.changed
    assert models.changed
    assert again.changed
    assert (data.origin, models.origin) == ("pushed", "pushed")
    assert user.git("log", "-3", "--first-parent", "--format=%H", "pipeline").splitlines() == [
        again.commit, models.commit, data.commit,
    ]  # fmt: skip

    for source in ("origin.git", "user"):
        colleague = tmp_path / f"colleague-of-{source}"
        sh(tmp_path, "git", "clone", "-q", source, str(colleague))
        sh(colleague, "git", "checkout", "-q", "pipeline")
        sh(colleague, str(REAL_DVC), "pull", "-q")
        for folder in ("data/raw", "models/bert", "models/classic", "models/metrics.json"):
            assert _content(colleague / folder) == _content(user.root / folder), folder
        assert _content(colleague / "data/validated") == _content(user.root / "data/raw")
        assert sh(colleague, "git", "status", "--porcelain") == ""

    clone = user.clone
    assert sh(clone, "git", "log", "-1", "--format=%H").strip() == again.commit
    shown = json.loads(sh(clone, str(REAL_DVC), "metrics", "show", "--json"))
    assert shown[""]["data"]["models/metrics.json"]["data"]["test"]["accuracy"] == 0.9
    difference = json.loads(sh(clone, str(REAL_DVC), "metrics", "diff", "HEAD~1", "--json"))
    assert difference["models/metrics.json"]["test.accuracy"] == {
        "old": 0.8, "new": 0.9, "diff": pytest.approx(0.1),
    }  # fmt: skip
    assert "learning_rate" in sh(clone, str(REAL_DVC), "params", "diff", f"{user.git('rev-parse', 'HEAD~1')}")
    assert "file://" in sh(clone, str(REAL_DVC), "plots", "show")
    assert (clone / "dvc_plots" / "index.html").is_file()
    sh(clone, "git", "checkout", "-q", models.commit)
    sh(clone, str(REAL_DVC), "checkout", "-q")
    assert (clone / "models/bert/weights.bin").read_text() == "bert first"
    assert user.repository().prepare() == again.commit
    assert sh(clone, "git", "symbolic-ref", "--short", "HEAD").strip() == "pipeline"


def test_the_commit_is_heads_tree_and_the_pipelines_files_with_both_parents(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    first = user.version_data()
    user.write("code.py", "print('later')\n")
    user.git("rm", "-q", "dvc.yaml")
    user.git("commit", "-q", "-am", "later")
    user.month("2026-03", b"march")
    second = user.version_data(run_id="run-2")
    head = user.git("rev-parse", "HEAD")
    assert user.git("log", "-1", "--format=%P", second.commit).split() == [first.commit, head]
    changed = set(user.git("diff", "--name-only", head, second.commit).splitlines())
    assert changed == {"data/raw.dvc", "data/validated.dvc", ".dvc/config", ".dvc/.gitignore"} <= set(FILES)
    pointer = user.git("show", f"{second.commit}:data/validated.dvc")
    assert second.dataset_version == pointed_object(pointer)[:12]
    trailers = parse_trailers(user.git("log", "-1", "--format=%B", second.commit))
    assert trailers["Pipeline-Run"] == "run-2"
    assert trailers["Data-Version"] == second.dataset_version
    assert json.loads(trailers["Data-Summary"])["rows"] == {APP: 3}
    assert trailers["Code"] == head
    assert user.git("log", "-1", "--format=%an <%ae> %cn <%ce>", second.commit) == (
        "Review pipeline <pipeline@localhost> Review pipeline <pipeline@localhost>"
    )


def test_nothing_new_is_no_commit_and_calls_no_dvc(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    first, models = user.version_data(), user.version_models("w")
    user.dvc = tmp_path / "no-such-program"
    again, same_models = user.version_data(run_id="run-2"), user.version_models("w", run_id="run-2")
    assert (again.changed, again.dataset_version, again.pushed_objects) == (False, first.dataset_version, 0)
    assert (same_models.changed, same_models.commit) == (False, models.commit)


def test_the_smallest_gate_side_ever_used_stays_on_record(tmp_path: Path) -> None:
    """Of generated and real reviews apart, also under models, for a colleague, and if only the share fell."""
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC, origin=True)
    repository = user.repository()

    def commit(percent: int, source: str = "file") -> DataVersion:
        repository.prepare()
        repository.stage_data(user.months, user.months)
        summary = {"source": source, "rows": {APP: 2}}
        return repository.commit_data("run-1", "Data", summary, gate_percent=percent)

    assert repository.smallest_gate() is None
    assert commit(20).changed
    assert not commit(20).changed
    assert commit(12).changed
    user.month("2026-03", b"march")
    assert commit(30).changed
    user.version_models("first")
    assert (repository.smallest_gate(), repository.smallest_gate(generated=True)) == (12, None)
    colleague = UserClone.of_origin(tmp_path / "colleague").repository()
    colleague.prepare()
    assert colleague.smallest_gate() == 12
    user.month("2026-04", b"april")
    commit(18, "sample")
    assert (repository.smallest_gate(), repository.smallest_gate(generated=False)) == (18, 12)


def test_data_of_a_version_that_records_no_gate_side_had_five_percent_on_it(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    assert user.repository().smallest_gate() == 5
    assert user.repository().smallest_gate(generated=True) is None


def test_a_models_commit_keeps_the_data_and_names_what_it_was_trained_on(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    data, models = user.version_data(), user.version_models("w")
    trailers = parse_trailers(user.git("log", "-1", "--format=%B", models.commit))
    assert trailers["Data-Version"] == data.dataset_version
    assert trailers["Models-Data-Version"] == "0" * 12
    assert set(trailers["Model-Versions"].split()) == {f"{kind}={_version(user, kind)}" for kind in ("bert", "classic")}
    user.month("2026-03", b"march")
    later = user.version_data(run_id="run-2")
    carried = parse_trailers(user.git("log", "-1", "--format=%B", later.commit))
    assert carried["Model-Versions"] == trailers["Model-Versions"]
    assert carried["Data-Version"] == later.dataset_version


def test_the_quick_program_of_the_tests_writes_what_dvc_writes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    real, quick = UserClone(tmp_path / "a" / "user"), UserClone(tmp_path / "b" / "user", dvc=QUICK_DVC)
    real.version_data()
    quick.version_data()
    for path in ("data/raw.dvc", "data/validated.dvc"):
        assert real.git("show", f"pipeline:{path}") == quick.git("show", f"pipeline:{path}")
    for folder in (".pipeline/.dvc/cache/files", ".dvc-remote/files"):
        assert _content(real.root / folder) == _content(quick.root / folder)


def test_a_new_clone_starts_from_the_branch_of_its_origin(tmp_path: Path) -> None:
    first = UserClone(tmp_path / "first", origin=True, dvc=QUICK_DVC)
    done = first.version_data()
    sh(tmp_path, "git", "clone", "-q", "origin.git", "second")
    second = UserClone.__new__(UserClone)
    second.root, second.dvc, second.months = tmp_path / "second", QUICK_DVC, first.months
    repository = second.repository(remote_url=first.remote_url)
    assert repository.prepare() == done.commit
    repository.stage_data(second.months, second.months)
    again = repository.commit_data("run-2", "again")
    assert (again.changed, again.commit) == (False, done.commit)
    assert second.git("rev-parse", "pipeline") == done.commit


def test_a_new_clone_with_a_remote_of_its_own_names_nothing_that_the_remote_lacks(tmp_path: Path) -> None:
    first = UserClone(tmp_path / "first", origin=True, dvc=QUICK_DVC)
    first.version_data()
    first.version_models("w")
    sh(tmp_path, "git", "clone", "-q", "origin.git", "second")
    second = UserClone.__new__(UserClone)
    second.root, second.dvc, second.months = tmp_path / "second", QUICK_DVC, first.months
    second.remote_url = ".dvc-remote"
    done = second.version_data(run_id="run-2")
    names = second.git("ls-tree", "-r", "--name-only", done.commit).splitlines()
    assert "data/raw.dvc" in names
    assert not [name for name in names if name.startswith("models/")]
    assert "Model-Versions" not in parse_trailers(second.git("log", "-1", "--format=%B", done.commit))


@pytest.mark.parametrize("lost", ["one object", "the list", "everything"])
def test_a_remote_that_lost_objects_gets_them_again(lost: str, tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=REAL_DVC if lost == "one object" else QUICK_DVC)
    user.version_data()
    remote = user.root / ".dvc-remote" / "files" / "md5"
    if lost == "everything":
        shutil.rmtree(user.root / ".dvc-remote")
    else:
        next(
            path
            for path in sorted(remote.rglob("*"))
            if path.is_file() and (path.suffix == ".dir") == (lost == "the list")
        ).unlink()
    done = user.version_data(run_id="run-2")
    assert not done.changed
    assert done.pushed_objects
    assert user.remote_holds_the_tip()


def test_a_truncated_object_in_the_remote_is_noticed_and_replaced(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    remote = user.root / ".dvc-remote" / "files" / "md5"
    bad = next(path for path in sorted(remote.rglob("*")) if path.is_file() and path.suffix != ".dir")
    bad.chmod(0o644)
    bad.write_bytes(b"")
    user.version_data(run_id="run-2")
    assert bad.stat().st_size
    assert user.remote_holds_what_the_tip_names()


@pytest.mark.long
@pytest.mark.parametrize("unseen", [False, True])
def test_a_damaged_cache_never_reaches_the_remote(tmp_path: Path, *, unseen: bool) -> None:
    user = UserClone(tmp_path / "user")
    user.version_data()
    shutil.rmtree(user.root / ".dvc-remote")
    for path in (user.clone / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            before = path.stat()
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[::-1] if unseen else b"damaged!")
            if unseen:  # as a failing disk does it: same size, same time
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    user.version_data(run_id="run-2")
    assert user.remote_holds_what_the_tip_names()


def test_a_staged_file_and_its_object_are_one_file_on_the_disk(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user")
    user.version_data()
    user.write(f"data/raw/{APP}/2026-01.parquet", "changed")
    user.version_data(run_id="run-2")
    cache = ObjectFolder(user.clone / ".dvc" / "cache")
    for output in ("data/raw", "data/validated"):
        staging = Staging(user.clone)
        for name, md5 in staging.objects(output, user.months).items():
            assert (user.clone / output / name).samefile(cache.path(md5)), name
        staging.make(output, user.months)
        assert staging.bytes_copied == 0


def test_a_gitignore_that_hides_pointers_is_refused_with_the_rule(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user")
    user.write(".gitignore", "/data/*\n!/data/*.dvc\n/.pipeline/\n/.dvc-remote/\n")
    user.git("commit", "-q", "-am", "a gitignore under which DVC finds no stage")
    with pytest.raises(PermanentFailure, match=r"never /data/\*"):
        user.version_data()
    assert user.git("branch", "--list", "pipeline") == ""


def test_a_new_remote_gets_everything_that_the_branch_names(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data()
    user.version_models("w")
    moved = tmp_path / "elsewhere"
    done = user.version_data(user.repository(remote_url=str(moved)), run_id="run-2")
    assert done.changed
    assert _content(moved) == _content(user.root / ".dvc-remote")
    shutil.rmtree(user.root / ".dvc-remote")
    assert user.remote_holds_the_tip()


def test_the_users_own_dvc_settings_stay_on_the_branch(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.write(".dvc/config", "[core]\n    remote = mine\n['remote \"mine\"']\n    url = s3://mine/data\n")
    user.git("add", "--force", ".dvc/config")
    user.git("commit", "-q", "-m", "own remote")
    user.version_data()
    config = user.git("show", "pipeline:.dvc/config")
    assert "url = s3://mine/data" in config
    assert f"url = {user.root}/.dvc-remote" in config
    assert "remote = storage" in config


def test_a_folder_is_named_as_dvc_names_it() -> None:
    # `dvc add` 3.67.1 of a folder with these two files.
    files = {"b.txt": "415290769594460e2e485922904f345d", "a/c.txt": "0cc175b9c0f1b6a831c399e269772661"}
    assert folder_object(files) == folder_object(dict(reversed(files.items())))
    assert folder_object(files).endswith(".dir")


def _content(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _version(user: UserClone, kind: str) -> str:
    from mlops_assets.artifact import model_version

    return model_version(user.root / "models" / kind)


@pytest.mark.long
def test_one_changed_month_costs_what_that_month_alone_costs() -> None:
    figures = versioning.cost_follows_the_change(REAL_DVC, months=100, month_bytes=100_000)
    assert figures["one_changed_month_against_that_month_alone_cpu"] < 2
    assert figures["nothing_changed"]["cpu_s"] < 2
    assert figures["remote_grew_by_bytes"] < 150_000


def test_optional_data_is_versioned_only_while_there_is_any(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    plain = user.version_data()
    labels = user.write("data/labels/labels.jsonl", "{}\n")
    repository = user.repository()

    def version(run_id: str, files: dict[str, Path]) -> Any:
        repository.prepare()
        repository.stage_data(user.months, user.months, {"data/labels": files})
        return repository.commit_data(run_id, run_id)

    labelled = version("run-2", {"labels.jsonl": labels})
    assert labelled.dataset_version not in {plain.dataset_version, None}
    assert repository.dataset_version() == labelled.dataset_version
    assert repository.stored_files("data/labels")["labels.jsonl"].read_text() == "{}\n"
    assert repository.stored_files("data/labels", plain.commit) == {}
    assert version("run-3", {"labels.jsonl": labels}).commit == labelled.commit
    gone = version("run-4", {})
    assert gone.dataset_version == plain.dataset_version
    assert repository.stored_files("data/labels") == {}
