"""A user's settings and filters do not reach `.pipeline/`, and every kind of clone is versioned."""

import os
from pathlib import Path

import pytest

from mlops_assets.versioning.git.pipeline_commit import FILES
from tests.user_clone import QUICK_DVC, REAL_DVC, UserClone, sh

LFS = """[filter "lfs"]
 clean = git-lfs clean -- %f
 smudge = git-lfs smudge -- %f
 process = git-lfs filter-process
 required = true
"""
SETTINGS = {
    "files": f"{LFS}[core]\n excludesFile = {{home}}/ignore\n attributesFile = {{home}}/attributes\n autocrlf = true\n"
    "[init]\n templateDir = {home}/template\n",
    "programs": "[core]\n fsmonitor = {home}/touch\n pager = {home}/touch\n[diff]\n external = {home}/touch\n"
    "[commit]\n gpgSign = true\n[push]\n gpgSign = true\n[user]\n useConfigOnly = true\n",
    "transport": "[protocol]\n allow = never\n[submodule]\n recurse = true\n[fetch]\n recurseSubmodules = true\n",
    "output": "[color]\n ui = always\n[log]\n showSignature = true\n[i18n]\n logOutputEncoding = UTF-16\n"
    "[diff]\n noprefix = true\n",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "template" / "hooks").mkdir(parents=True)
    (home / "ignore").write_text("data/\n*.dvc\nmodels\n")
    (home / "attributes").write_text("* text eol=crlf filter=lfs\n")
    touch = home / "touch"
    touch.write_text(f"#!/bin/sh\n: > {home}/touched\n")
    touch.chmod(0o755)
    (home / "template" / "hooks" / "post-checkout").symlink_to(touch)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_persons_settings_do_not_reach_the_pipelines_clone(settings: str, tmp_path: Path, home: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.write(".gitattributes", "*.bin filter=lfs\n*.json filter=lfs\n")
    user.write("weights.bin", "version https://git-lfs.github.com/spec/v1\n")
    user.git("add", "-A")
    user.git("commit", "-q", "-m", "as Git LFS stores it")
    first = user.version_data()
    (home / ".gitconfig").write_text(settings.replace("{home}", str(home)))
    before = user.all_but_the_branch()

    models = user.version_models("w")
    again = user.version_models("w", run_id="run-2")
    listed = user.repository().versions()

    assert models.changed
    assert not again.changed
    assert [version.commit for version in listed] == [models.commit, first.commit]
    assert user.git("show", "pipeline:models/metrics.json") == (user.root / "models/metrics.json").read_text().strip()
    assert not (home / "touched").exists()
    assert user.all_but_the_branch() | _trained(user) == before | _trained(user)


def _trained(user: UserClone) -> dict[str, tuple[int, str]]:
    return {name: about for name, about in user.all_but_the_branch().items() if name.startswith("models/")}


def test_a_person_who_ignores_data_everywhere_gets_versions_from_dvc(tmp_path: Path, home: Path) -> None:
    (home / ".gitconfig").write_text(f"[core]\n excludesFile = {home}/ignore\n")
    (home / ".config" / "dvc").mkdir(parents=True)
    (home / ".config" / "dvc" / "config").write_text(f"[cache]\n    dir = {home}/shared-cache\n")
    user = UserClone(tmp_path / "user", dvc=REAL_DVC)
    user.version_data()
    assert not (home / "shared-cache").exists()
    assert user.remote_holds_what_the_tip_names()
    shown = sh(user.clone, str(REAL_DVC), "data", "status", "--json")
    assert "uncommitted" not in shown


def test_the_clone_holds_what_dvc_and_the_pipeline_read_and_nothing_else(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.write("dvc.yaml", "params: [conf/a.yaml]\nvars: ['conf/b c.json:x']\nmetrics: [models/metrics.json]\n")
    for name in ("conf/a.yaml", "conf/b c.json", "conf/other.yaml", "films/large.bin", "sub/.gitignore"):
        user.write(name, "x: 1\n")
    user.git("add", "-A")
    user.git("commit", "-q", "-m", "more")
    user.version_data()
    expected = {"params.yaml", "dvc.yaml", ".gitignore", "sub/.gitignore", "conf/a.yaml", "conf/b c.json"}
    assert _tracked_and_there(user) == expected | (set(FILES) & set(_names(user, "pipeline")))
    assert sh(user.clone, "git", "status", "--porcelain") == ""
    assert user.git("show", "pipeline:films/large.bin") == "x: 1"


def test_a_clone_made_by_an_earlier_version_is_brought_up_to_date(tmp_path: Path, home: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    first = user.version_data()
    for name in ("core.sparseCheckout", "core.excludesFile", "core.attributesFile", "core.hooksPath"):
        sh(user.clone, "git", "config", "--unset", name)
    for name in ("attributes", "sparse-checkout"):
        (user.clone / ".git" / "info" / name).unlink()
    (user.clone / ".git" / "index").unlink()
    sh(user.clone, "git", "checkout", "-q", "--force", "pipeline")
    assert (user.clone / "code.py").is_file()
    kept = user.clone / ".dvc" / "cache"
    stamps = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}

    assert user.repository().prepare() == first.commit

    assert not (user.clone / "code.py").exists()
    assert sh(user.clone, "git", "config", "--local", "core.excludesFile").strip() == "/dev/null"
    assert sh(user.clone, "git", "status", "--porcelain") == ""
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()} == stamps


def test_a_filter_that_fails_on_a_touched_file_does_not_stop_a_run(tmp_path: Path, home: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.write(".gitattributes", "*.bin filter=lfs\n")
    user.write("weights.bin", "version https://git-lfs.github.com/spec/v1\n")
    user.git("add", "-A")
    user.git("commit", "-q", "-m", "as Git LFS stores it")
    (home / ".gitconfig").write_text(LFS)
    os.utime(user.root / "weights.bin", (1, 1))  # as after a copy of the clone: git asks the filter
    assert user.version_data().code.dirty is None


@pytest.mark.parametrize("kind", ["partial", "sparse", "with a submodule"])
def test_other_kinds_of_clones_are_versioned(kind: str, tmp_path: Path) -> None:
    first = UserClone(tmp_path / "first", origin=True, dvc=QUICK_DVC)
    first.write("films/large.bin", "large")
    if kind == "with a submodule":
        sh(tmp_path, "git", "init", "-q", "-b", "main", "other")
        sh(tmp_path / "other", "git", "commit", "-q", "--allow-empty", "-m", "other")
        first.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../other", "vendor")
    first.git("add", "-A")
    first.git("commit", "-q", "-m", "large")
    first.write("films/large.bin", "larger")
    first.git("commit", "-q", "-am", "larger")
    first.git("push", "-q", "origin", "main")
    sh(tmp_path / "origin.git", "git", "config", "uploadpack.allowFilter", "true")
    options = {"partial": ["--filter=blob:none"], "sparse": ["--sparse"]}.get(kind, [])
    sh(tmp_path, "git", "clone", "-q", *options, f"file://{tmp_path}/origin.git", "user")
    user = UserClone.__new__(UserClone)
    user.root, user.dvc, user.months = tmp_path / "user", QUICK_DVC, dict(first.months)
    user.remote_url = first.remote_url
    before = user.all_but_the_branch()
    done = user.version_data()
    assert done.origin == "pushed"
    assert user.all_but_the_branch() == before
    assert sh(tmp_path, "git", "--git-dir=origin.git", "rev-parse", "pipeline").strip() == done.commit


def test_what_git_said_first_is_in_the_error(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.git("remote", "add", "origin", "ssh://nobody@127.0.0.1:9/gone.git")
    user.remote_url = str(tmp_path / "store")
    done = user.version_data()
    assert "Connection refused" in done.origin


def _names(user: UserClone, commit: str) -> list[str]:
    return user.git("ls-tree", "-r", "--name-only", commit).splitlines()


def _tracked_and_there(user: UserClone) -> set[str]:
    listed = sh(user.clone, "git", "ls-files", "-z").split("\0")
    return {name for name in listed if name and (user.clone / name).is_file()}
