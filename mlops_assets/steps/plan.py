"""What is due below `versioned_dataset`, stage by stage, each with its reason."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.workspace import TOPIC_NAMES, TOPICS

if TYPE_CHECKING:
    from mlops_assets.deploy.history import Hold
    from mlops_assets.reviews.stored.counts import Counts
    from mlops_assets.training.due import Due


@dataclass(frozen=True)
class StageDue:
    """Whether an asset has something to do in this run, and why."""

    stage: str
    due: bool
    reason: str


def not_to_deploy(settings: Settings, git_history: GitHistory, *, skip: bool) -> str | None:
    """Why this run puts nothing live: it was asked not to, or HEAD is on no release branch."""
    if skip:
        return "skip_deploy is set"
    position = git_history.position(settings.git_branches)
    if position.on and position.release is None:
        return f"{position}, and only {', '.join(settings.git_branches)} deploy: set GIT_BRANCH to change that"
    return None


def due_below(
    settings: Settings,
    service: Service,
    git_history: GitHistory,
    dataset_version: str,
    counts: "Counts",
    *,
    force_retrain: bool,
    skip_deploy: bool,
) -> list[StageDue]:
    """Every stage below `versioned_dataset`; where no stage is due the run ends there.

    Raises `BadSetting`, before a training, if the target cannot put a release live as `deploy.steps` says.
    """
    from mlops_assets.params.operations import RetrainRules
    from mlops_assets.training.champion import champion_due
    from mlops_assets.training.due import score_by_people_due, training_due
    from mlops_assets.training.kinds import KINDS
    from mlops_assets.training.metrics import Metrics

    held = not_to_deploy(settings, git_history, skip=skip_deploy)
    if held is None:
        service.refuse_steps_without_shares()
    models = settings.models
    trainings = {
        kind.asset: training_due(
            models / kind.name,
            models / kind.metrics_file,
            kind.trained_with(
                dataset_version,
                settings.label_rule,
                settings.sections,
                training_data=counts.training_data,
                reviews=counts.labelled,
                references=counts.references,
                split=counts.split,
            ),
            settings.section(RetrainRules),
            settings.now(),
            force=force_retrain,
        )
        for kind in KINDS.values()
    }
    stages = {
        kind.asset: trainings[kind.asset]
        or score_by_people_due(Metrics.read(models / kind.metrics_file), counts.people_texts, counts.people_labels)
        or trainings[kind.asset]
        for kind in KINDS.values()
    }
    verdict = champion_due(models)
    serving = serving_due(settings, service, held)
    scored = predictions_due(settings, dataset_version)
    counted = topics_due(settings, dataset_version)
    return [
        *(StageDue(asset, stage.due, stage.reason) for asset, stage in stages.items()),
        StageDue("champion_model", verdict.due, verdict.reason),
        StageDue("serving_image", serving.due, serving.reason),
        StageDue("deployed_image", serving.due, serving.reason),
        StageDue("predictions", scored.due, scored.reason),
        StageDue("topics", counted.due, counted.reason),
    ]


def predictions_due(settings: Settings, dataset_version: str) -> "Due":
    """Whether the champion has to be asked about the reviews of the data version."""
    from mlops_assets.reviews.predictions.stored import progress_of
    from mlops_assets.training.champion import champion_folder, last_decision
    from mlops_assets.training.due import Due

    if champion_folder(settings.models) is None:
        return Due(True, "there is no champion yet")
    model_version = last_decision(settings.models).model_version
    progress = progress_of(settings.predictions)
    if progress is None:
        return Due(True, "there are no predictions yet")
    if progress.model_version != model_version:
        return Due(True, f"model {model_version} is the champion, the predictions are of {progress.model_version}")
    if progress.dataset_version != dataset_version:
        return Due(True, f"data {dataset_version} is current, the predictions are of {progress.dataset_version}")
    if progress.behind:
        return Due(True, f"{progress}")
    return Due(False, f"model {model_version} scored data {dataset_version}")


def topics_due(settings: Settings, dataset_version: str) -> "Due":
    """Whether reviews have to be given to topics."""
    from mlops_assets.reviews.topics.stored import TopicStore
    from mlops_assets.training.due import Due

    about = TopicStore(settings.data / TOPICS).about()
    if about is None:
        return Due(True, "there are no topics yet")
    if about.made_of != topics_made_of(settings, dataset_version):
        return Due(True, "predictions, parameters or names changed since the topics were counted")
    return Due(False, f"the topics of data {about.dataset_version} are counted")


def topics_made_of(settings: Settings, dataset_version: str) -> str:
    """Changes with everything that topics are made of."""
    from mlops_assets.files import stamp
    from mlops_assets.params.topics import TopicRules
    from mlops_assets.reviews.predictions.stored import INDEX

    files = [settings.predictions / INDEX, settings.root / TOPIC_NAMES]
    stamps = [stamp(path) if path.is_file() else None for path in files]
    return repr((dataset_version, settings.section(TopicRules).digest(), stamps))


def serving_due(settings: Settings, service: Service, held: str | None) -> "Due":
    """Whether the champion's release has to be built or put live; `held` says why it is not to go live."""
    from mlops_assets.deploy.release import release_version
    from mlops_assets.training.champion import champion_folder
    from mlops_assets.training.due import Due

    champion = champion_folder(settings.models)
    if champion is None:
        return Due(True, "there is no champion yet")
    wanted = release_version(champion, lock=settings.serving_lock)
    if held:
        built = (settings.releases / wanted).is_dir() and (
            service.target == "process" or service.packaged(wanted) is not None
        )
        return Due(not built, f"release {wanted} is {f'built, and {held}' if built else 'not built yet'}")
    hold, must_ask = service.held_back(wanted), service.approval.must_ask(wanted)
    if hold and (must_ask or not hold.release_version):
        return Due(must_ask, hold.reason)
    return _live_due(service, wanted, hold)


def _live_due(service: Service, wanted: str, hold: "Hold | None") -> "Due":
    from mlops_assets.training.due import Due

    to_serve = hold.release_version if hold else wanted
    live = service.live()
    if live is None:
        return Due(True, "the service does not answer")
    reasons = {
        f"target {service.target} is wanted, {live.target} serves": live.target != service.target,
        f"release {to_serve} is wanted, {live.release_version} is live": live.release_version != to_serve,
        f"{live.canary}: a deployment is under way, or was killed": live.canary,
        f"the service was started in {live.moved_from}, which was moved: it starts anew here": live.moved_from,
        f"release {to_serve} is live with other settings than these: {live.other_settings}": live.other_settings,
    }
    if reason := next((reason for reason, holds in reasons.items() if holds), ""):
        return Due(True, reason)
    return Due(False, hold.reason if hold else f"release {wanted} is live")
