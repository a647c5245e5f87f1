"""Find the spikes of negative reviews in the usable reviews, and what drives each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.code_version import code_version
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.steps.judge_reviews import Evidence

if TYPE_CHECKING:
    from mlops_assets.reviews.spikes.spikes import Spike, TopicsOf


@dataclass(frozen=True)
class SpikesFound:
    """The spikes of the last days, and a sentence for each app that has none."""

    spikes: "Sequence[Spike]"
    calm: Sequence[str]

    @property
    def reason(self) -> str:
        return "; ".join([*map(str, self.spikes), *self.calm]) or "not judged: no app has reviews of the last months"


def judge_spikes(evidence: Evidence, topics_of: "TopicsOf | None" = None) -> SpikesFound:
    """Judge the last days of every app. Only months that changed are read, and of a spike its texts. An app that was
    calm earlier in the day, and has the same counts, is not judged again.
    """
    from mlops_assets.reviews.spikes.days import count_days
    from mlops_assets.reviews.spikes.spikes import DAYS, find_spikes

    settings, today = evidence.settings, evidence.settings.now().date()
    counts = count_days(evidence.now, settings.instance_folder / "negative_days.json", settings.now(), DAYS)
    made_by = f"{today} {code_version('mlops_assets.reviews.spikes.spikes')}"
    kept = Kept(settings.instance_folder / "calm_days.json", made_by)
    spikes: list[Spike] = []
    calm: list[str] = []
    for app, of_app in sorted(counts.items()):
        counted = of_app.digest()
        found, said = [], kept.known(app, counted)
        if said is None:
            found, said = find_spikes(of_app, today)
            spikes += [_with_topic(spike, evidence.now, topics_of) if topics_of else spike for spike in found]
        if not found:
            kept.keep(app, counted, said)
            calm.append(said)
    kept.save()
    return SpikesFound(spikes, calm)


def _with_topic(spike: "Spike", files: Mapping[str, Path], topics_of: "TopicsOf") -> "Spike":
    from mlops_assets.reviews.spikes.days import negative_texts
    from mlops_assets.reviews.spikes.spikes import with_topic
    from mlops_assets.reviews.spikes.usual import PAST_DAYS

    start = spike.began - timedelta(days=PAST_DAYS)
    now = negative_texts(files, spike.app, spike.since, spike.until, spike.of_version)
    before = negative_texts(files, spike.app, start, spike.began - timedelta(days=1))
    return with_topic(spike, now, before, PAST_DAYS, topics_of)
