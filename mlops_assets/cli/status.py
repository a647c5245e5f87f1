"""`make status`: what serves, how the last run ended, whether the next is overdue, what waits."""

from datetime import datetime

from mlops_assets.deploy.docker.machine import EngineDown
from mlops_assets.deploy.live_model import trained_on
from mlops_assets.deploy.release import release_version
from mlops_assets.deploy.service import Live, Service
from mlops_assets.params.operations import OperationRules
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reporting.run_summary import WATCHED_JOBS, read_summary, summary_paths
from mlops_assets.reviews.predictions.stored import progress_of
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors
from mlops_assets.steps.refresh_dashboards import Dashboards
from mlops_assets.training.champion import champion_folder
from mlops_assets.versioning.repository import VersionRepository


def print_warning(settings: Settings, live: Live | None) -> None:
    """Warn if the live model was trained on generated reviews."""
    if live and (warning := trained_on(settings, live).warning):
        print(f"Warning: {warning}")


def print_service(settings: Settings, service: Service) -> bool:
    """Print what is live and what is wrong with it; False if nothing answers, or everybody without a key."""
    if settings.deploy_host:
        from mlops_assets.deploy.docker.ssh_machine import require_engine

        try:
            require_engine(settings)
        except EngineDown as error:
            print(f"Live: not known: {error}")
            return False
    live = service.live()
    print(f"Live: model {live.model_version}, data {live.dataset_version}, at {live.url}" if live else "Live: nothing")
    print_warning(settings, live)
    if trouble := service.trouble():
        print(f"Warning: {trouble}")
    if live and live.canary:
        rest = f"release {live.release_version} the rest"
        ended = "" if service.is_deploying() else ", and the deployment that began this has ended. make run finishes it"
        print(f"{'Waits' if ended else 'Canary'}: {live.canary}, {rest}{ended}")
    if live and live.other_settings:
        print(f"Waits: these settings of the service changed since it was started: {live.other_settings}. make run")
    champion = champion_folder(settings.models)
    if champion and (hold := service.held_back(release_version(champion, lock=settings.serving_lock))):
        print(f"{'Waits' if hold.waits else 'Held'}: {hold.reason}")
    is_open = "API_KEYS" in settings.server and service.answers_without_key()
    if is_open:
        print(f"Error: API_KEYS is set, and {service.url} answers without a key. make run")
    return live is not None and not is_open


def print_labels(settings: Settings, repository: VersionRepository) -> None:
    """Print how many labels people gave, and how many of them can score a model; nothing without any."""
    from mlops_assets.reviews.labels.table import FOLDER, LabelTable

    if LabelTable(settings.data / FOLDER).files():
        from mlops_assets.cli.label.numbers import progress_of

        print(f"Labels: {progress_of(settings, repository)}")


def print_status(settings: Settings) -> bool:
    """Print the last run, how many reviews are scored and what waits; False if a run of the pipeline is overdue."""
    summaries = map(read_summary, summary_paths(settings.instance_folder / "summaries"))
    ended = {
        datetime.fromisoformat(found.ended): found for found in summaries if found.job in WATCHED_JOBS and found.ended
    }
    last_ended = max(ended, default=None)
    if last_ended is not None:
        last = ended[last_ended]
        print(f"Last run: {last.run_id[:8]} of {last.job}, {last.stopped or last.status.lower()}, ended {last.ended}")
    if (predictions := progress_of(settings.predictions)) is not None:
        print(f"Predictions: {predictions}")
    late = overdue(last_ended, settings.now(), settings.section(OperationRules))
    if late:
        print(f"Overdue: {late}. make run")
    for line in _held_collections(settings):
        print(f"Waits: {line}")
    notifier = Notifier.of(settings)
    for name, since in notifier.firing():
        print(f"Alert: {name}, since {since}")
    for channel in notifier.channel_status():
        if channel.waiting or channel.error:
            error = f", {channel.error}" if channel.error else ""
            print(f"Waits: {channel.waiting} messages for {channel.name}{error}")
    if trouble := Dashboards.of(settings).trouble():
        print(f"Waits: {trouble}")
    for line in Mirrors.of(settings).behind():
        print(f"Waits: {line}")
    return late is None


def overdue(last_ended: datetime | None, now: datetime, rules: OperationRules) -> str | None:
    """Why a run is overdue; None if a run ended within the interval and its slack."""
    if last_ended is None:
        return "no run of the pipeline has ended yet"
    if now - last_ended <= rules.longest_gap:
        return None
    hours = (now - last_ended).total_seconds() / 3600
    return (
        f"the last run of the pipeline ended {hours:.1f} hours ago, and one is expected every "
        f"{rules.interval_hours:g} hours with {rules.slack_hours:g} to spare"
    )


def _held_collections(settings: Settings) -> list[str]:
    """Collections that stopped before the end of the feed, or whose deletions nobody has accepted: training waits."""
    from mlops_assets.params.reviews import CollectOptions
    from mlops_assets.reviews.play_store.crawl_state import CrawlState

    language = settings.section(CollectOptions).language
    states = {app: CrawlState.load(settings.data / "raw" / app, language) for app in settings.apps}
    return [
        f"the collection of {app}, {state.last['reason']}"
        for app, state in states.items()
        if state.last and state.last["status"] == "partial"
    ]
