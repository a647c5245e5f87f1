"""Commands about reviews, versions and releases, from import and erase to approve, prune and audit."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import document
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.choices import is_file
from mlops_assets.reviews.labels.table import FOLDER, NAME, LabelTable
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.deploy.approval import Decision


def import_file(settings: Settings, file: str) -> int:
    """`make import FILE=`: a cleaned copy in data/imports."""
    from mlops_assets.reviews.files.balance import keep_record
    from mlops_assets.reviews.files.imports import SOURCE, clean_file, earlier_imports
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.steps.take_imports import FOLDER

    if not file:
        raise PermanentFailure("FILE names no file: make import FILE=reviews.csv")
    rules = FileRules.of(settings, source=SOURCE)
    target, balance = clean_file(Path(file).expanduser().absolute(), settings.data / FOLDER, rules)
    keep_record(balance, settings.data)
    print("\n".join(balance))
    print(f"Wrote {target}, without names and avatars. The next run of source file or play_store takes it in.")
    if earlier := earlier_imports(target):
        print(
            f"An earlier import of a file of this name stays in use beside it: {', '.join(map(str, earlier))}. Delete "
            "it if the new one replaces it."
        )
    return 0


def erase_reviews(settings: Settings, *, author: str, review: str) -> int:
    """`make erase`: a person's reviews out of every current file, and which versions still hold them."""
    from mlops_assets import outside
    from mlops_assets.reviews.drift import newest
    from mlops_assets.reviews.files.imports import SOURCE, files_in, files_that_hold
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.sources.references import file_rules, path_of
    from mlops_assets.reviews.stored.erase import erase
    from mlops_assets.reviews.stored.privacy import Erased
    from mlops_assets.steps.mirroring.mirrors import Mirrors
    from mlops_assets.steps.refresh_dashboards import Dashboards
    from mlops_assets.versioning.checkout import KEPT

    key = settings.author_key.get_secret_value() if settings.author_key else None
    copies = [settings.root / KEPT, settings.instance_folder / "snapshot"]
    done = erase(
        settings.data,
        review=review or None,
        author=author or None,
        author_key=key,
        copies=copies,
        forget_texts=lambda digests: _forget_in_log(settings, digests),
        forget_labels=lambda digests: _forget_labels(settings, copies, digests),
    )
    (settings.instance_folder / newest.NAME).unlink(missing_ok=True)
    for name, rows in done.rows.items():
        print(f"{name}: {rows} rows removed")
    erased = Erased.load(settings.data / "raw")
    own = files_that_hold(files_in(settings.data / "imports"), erased, FileRules.of(settings, source=SOURCE))
    for path in (path_of(settings, entry) for entry in filter(is_file, settings.reference_apps)):
        own |= files_that_hold([path], erased, file_rules(settings, path)) if path.is_file() else {}
    for path, rows in own.items():
        name = path.relative_to(settings.root) if path.is_relative_to(settings.root) else path
        print(f"{name}: {rows} rows left in your own file, which no run takes in again: remove them there")
    if not done.rows:
        print("No other current file holds it." if own else "No current file holds it.")
    if done.note:
        print(f"Note: {done.note}.")
    trouble = Dashboards.of(settings).refresh().trouble
    if trouble:
        print(f"NOT removed from the dashboards, which may still show it: {trouble}. Run this command again.")
    mirrors = Mirrors.of(settings)
    if held := mirrors.forget(done.review_ids, print):
        print(f"NOT removed from {held}. Run this command again; the next pass of make mirror removes it too.")
    else:
        mirrors.catch_up(lambda _: None, within_s=30)
    versions = outside.build(settings)["repository"].versions()
    print("\nThese versions were made before and may still hold it:")
    print(table([{"commit": v.commit[:12], "data version": v.dataset_version or ""} for v in versions]) or "none")
    print(
        "\nTo purge them: run the pipeline once, so that a version without it is current, then remove the older ones "
        "with\n  git branch -D pipeline && rm -rf .pipeline .dvc-remote   (and delete the branch and the remote's "
        "objects elsewhere)"
        "\nModels and their cards that were made before may quote its text: make run FORCE_RETRAIN=1 makes them anew."
    )
    return 1 if trouble or held else 0


def _forget_labels(settings: Settings, copies: Sequence[Path], digests: frozenset[str]) -> None:
    """Remove what people said of these texts."""
    tables = [settings.data / FOLDER, *(path.parent for folder in copies for path in folder.rglob(NAME))]
    for folder in tables:
        if gone := LabelTable(folder).erase(digests):
            print(f"{(folder / NAME).relative_to(settings.root)}: {gone} labels removed")


def _forget_in_log(settings: Settings, digests: frozenset[str]) -> None:
    """Remove texts from the service's log of predictions; older entries may hold them unmasked."""
    from mlops_assets.masking import mask
    from mlops_assets.serving.log.spool import SPOOL, Spool
    from mlops_assets.steps.prune import existing_log
    from mlops_assets.text import text_digest

    if waiting := len(Spool(settings.service_folder / SPOOL)):
        print(
            f"NOT searched: {waiting} predictions that wait until their database answers. Run this command again then."
        )
    store = existing_log(settings)
    if store is None:
        if settings.prediction_log:
            print(f"NOT searched: the log of predictions, which is not at {settings.prediction_log} on this machine")
        return
    count = store.forget_texts(lambda text: not digests.isdisjoint({text_digest(text), text_digest(mask(text))}))
    store.close()
    print(f"log of predictions: the text of {count} predictions removed")


def show_versions(settings: Settings) -> int:
    """`make versions`: what each version holds, what was trained on it, which one is live."""
    from mlops_assets import outside

    things = outside.build(settings)
    live = things["service"].live()
    rows = [version.row() for version in things["repository"].versions(live and live.model_version)]
    print(table(rows) or "No version yet: make run")
    return 0


def show_deployments(settings: Settings, newest: int = 50) -> int:
    """`make deployments`: what was live when, who or what put it there, with which data; the newest first."""
    from mlops_assets import outside

    rows = [
        {
            "at": entry.at[:19],
            "outcome": entry.outcome,
            "release": entry.release_version,
            "model": entry.model_version,
            "data": entry.dataset_version,
            "target": entry.target,
            "caused by": entry.caused_by,
            "reason": entry.reason,
        }
        for entry in outside.service(settings).log.entries(newest)
    ]
    print(table(rows) or "No deployment yet: make run")
    return 0


def restore_version(settings: Settings, version: str) -> int:
    """`make restore VERSION=`: data, models and the service back to a commit, a data or a model version."""
    from mlops_assets import outside
    from mlops_assets.steps.restore import restore, restore_service

    if not version:
        raise PermanentFailure("VERSION names no version: make versions lists them, make restore VERSION=<commit>")
    things = outside.build(settings)
    done = restore(things["repository"], version)
    print(f"Restored {done.version.commit[:12]} ({done.version.subject}): {', '.join(done.changed) or 'nothing to do'}")
    if done.kept:
        print(f"What was there before is kept in {done.kept}")
        if (kept := done.kept / "data" / FOLDER / NAME).is_file():
            print(f"Labels that people gave since then are in it: make labels FILE={shlex.quote(str(kept))} adds them")
    restore_service(settings, things["repository"], things["service"], things["git_history"], done.version, print)
    return 0


def roll_back(settings: Settings, to: str) -> int:
    """`make rollback [TO=]`: an earlier release live again, from this machine alone."""
    from mlops_assets import outside

    done = outside.service(settings).roll_back(settings.releases, to, print, asked_by="make rollback")
    print(f"Release {done.release_version} with model {done.model_version} serves at {done.url}")
    return 0


def decide_about_release(settings: Settings, decision: "Decision", release: str, *, by: str, comment: str) -> int:
    """`make approve` and `make reject`: a person's decision about the release that waits; an approved one goes live."""
    from mlops_assets import outside
    from mlops_assets.deploy.approval import user_of_machine
    from mlops_assets.steps.put_live import decide, deploy_approved

    service, how = outside.service(settings), f"make {decision}"
    decided = decide(settings, service, decision, release, by=by or user_of_machine(), how=how, comment=comment)
    print(f"Release {decided.release_version} is {decided.outcome} by {decided.caused_by}")
    if decision == "approve":
        print(deploy_approved(settings, service, decided, print, caused_by=f"approval by {decided.caused_by}").reason)
    return 0


def resume_service(settings: Settings) -> int:
    """The end of `make up`: the release that was live last serves, with the settings of now."""
    from mlops_assets import outside

    done = outside.service(settings).resume(settings.releases, print, caused_by="make up")
    if done is None:
        print("No model was live yet: the first run of the pipeline deploys one")
    else:
        started = "serves, started anew" if done.changed else "serves as before"
        print(f"Model {done.model_version} {started}, at {done.url}")
    return 0


def prune_everything(settings: Settings, *, dry_run: bool) -> int:
    """`make prune [DRY_RUN=1]`: say what nothing needs any more, then remove it, as the nightly job does."""
    from mlops_assets import outside
    from mlops_assets.automation.housekeeping import prune_runs
    from mlops_assets.cli.instance import open_instance
    from mlops_assets.steps.prune import prune

    things = outside.build(settings)
    prune(settings, things["repository"], things["service"], print, dry_run=dry_run)
    with open_instance(settings) as instance:
        prune_runs(instance, settings, print, dry_run=dry_run)
    print("DRY_RUN=1: nothing was removed" if dry_run else "Done.")
    return 0


def catch_up_mirrors(settings: Settings) -> int:
    """`make mirror`: bring the mirrors up to date; 1 if one of them is still behind."""
    from mlops_assets.steps.mirroring.mirrors import Mirrors

    mirrors = Mirrors.of(settings)
    if not mirrors.addresses:
        print("No mirror: MONGO_URL with MONGO_DB, or MLFLOW_TRACKING_URI, names one (docs/mirrors.md)")
    behind = mirrors.catch_up(print)
    for line in behind:
        print(f"Waits: {line}")
    return 1 if behind else 0


def write_sbom(settings: Settings) -> int:
    """`make sbom`: a CycloneDX bill of materials of what serves, else of the champion's release."""
    from mlops_assets import outside
    from mlops_assets.deploy.docker.engine import DockerEngine
    from mlops_assets.deploy.docker.ssh_machine import machine_of
    from mlops_assets.deploy.release import build_release, read_release
    from mlops_assets.deploy.sbom import bill_of_materials, installed_here, installed_in
    from mlops_assets.training.champion import champion_folder

    service = outside.service(settings)
    live = service.live()
    if live is not None and (settings.releases / live.release_version).is_dir():
        release = read_release(settings.releases / live.release_version)
    else:
        champion = champion_folder(settings.models)
        if champion is None:
            raise PermanentFailure("nothing serves and there is no champion, so there is nothing to bill: make run")
        release = build_release(champion, settings.releases, lock=settings.serving_lock)
    target = settings.releases / f"{release.version}.cdx.json"
    image = service.packaged(release.version)
    if image is None:
        installed = installed_here()
    else:
        with DockerEngine(machine_of(settings)) as engine:
            engine.fetch(image.reference)
            installed = installed_in(engine, image.reference)
    target.write_text(bill_of_materials(release, installed), encoding="utf-8")
    print(f"Wrote {target}")
    return 0


def audit_locks(settings: Settings) -> int:
    """`make audit`: every lock; 1 unless each package was audited and none has a vulnerability that is not accepted."""
    from mlops_assets.deploy.dependency_audit import ACCEPTED, audit, read_accepted

    locks = settings.root / "locks"
    accepted = read_accepted(locks / ACCEPTED)
    found = {
        lock.name: audit(lock, today=settings.now().date(), accepted=accepted) for lock in sorted(locks.glob("*.txt"))
    }
    print(table([{"lock": name, "result": result.summary()} for name, result in found.items()]))
    return 0 if found and all(result.clean for result in found.values()) else 1


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows in aligned columns, the keys of the first as header."""
    return document.text(document.Table.of(rows))
