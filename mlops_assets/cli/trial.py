"""`make try`: what other recipes would bring, as Markdown; nothing that is here changes."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mlops_assets import document, outside
from mlops_assets.assets.model_page import score_row
from mlops_assets.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from mlops_assets.failures import BadSetting
from mlops_assets.params.overrides import with_overrides
from mlops_assets.settings import Settings
from mlops_assets.steps.deciding.trial import Trial, tried
from mlops_assets.steps.preconditions import refuse_bad_parameters
from mlops_assets.training.kinds import TITLES

_WIDTH = 49
"""Characters of a plot of intervals."""


def try_recipes(settings: Settings, *, params: str, to: str) -> int:
    """Print the report of the trial; with `to` the models, their metrics and the report with pictures go there."""
    recipes, changed = with_overrides(settings.root / "params.yaml", params)
    refuse_bad_parameters(settings)
    folder = Path(to).expanduser().absolute() if to else None
    if folder and folder.exists() and any(folder.iterdir()):
        raise BadSetting(f"TO={to} is not empty: name a new folder")
    signal.signal(signal.SIGTERM, _end)
    things = outside.build(settings)
    with tried(settings, things["repository"], things["service"].live, recipes, report=_tell) as (trial, models):
        blocks = list(report(trial, changed))
        if folder:
            shutil.copytree(models, folder / "models", ignore=shutil.ignore_patterns("champion*", "profiles"))
            (folder / "trial.md").write_text(document.markdown(*blocks) + "\n", encoding="utf-8")
            pictures = document.html("Trial", *blocks, *_pictures(trial))
            (folder / "trial.html").write_text(pictures, encoding="utf-8")
    print(document.markdown(*blocks))
    return 0


def report(trial: Trial, changed: Sequence[str]) -> Iterator[Block]:
    """The verdict, what was trained, and the figures with their intervals."""
    decision = trial.decision
    yield Heading("Trial of a recipe", level=1)
    yield Paragraph(_verdict(trial))
    yield Bullets(
        [
            f"Changed: {', '.join(changed)}" if changed else "Changed: nothing; the recipes are those of params.yaml",
            f"Data version {trial.dataset_version}; nothing was committed, deployed or kept",
            *(() if trial.serves else ["No model is live here; one that was chosen counts as if it were"]),
            *(
                f"{TITLES[kind]}: {'trained' if model.due else 'taken as it is'}, {model.due.reason}"
                for kind, model in trial.trained.items()
            ),
        ]
    )
    if changes := decision.figures["changes"] if decision and decision.against else {}:
        yield Heading("Accuracy on the gate side, in points above the present model")
        yield Table.of(
            [
                {
                    "model": kind,
                    "n, distinct texts": change["n"],
                    "points": f"{change['points']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]",
                }
                for kind, change in changes.items()
            ]
        )
        yield Code(
            interval_plot([(kind, each["low"], each["points"], each["high"]) for kind, each in changes.items()], mark=0)
        )
    yield Heading("Figures")
    yield Table.of(
        [
            {"model": f"{kind} {metrics.model_version}", **score_row(side, scores)}
            for kind, metrics in trial.metrics.items()
            for side, scores in metrics.measured().items()
        ]
    )
    yield Paragraph("n counts distinct texts; brackets hold 95 % bootstrap intervals over them. Accuracy on test:")
    known = [
        (kind, low, metrics.test.accuracy, high)
        for kind, metrics in trial.metrics.items()
        for low, high in [metrics.test.accuracy_interval or (None, None)]
        if low is not None and high is not None and metrics.test.accuracy is not None
    ]
    if known:
        yield Code(interval_plot(known))


def _verdict(trial: Trial) -> str:
    decision = trial.decision
    if decision is None:
        return f"No model was chosen yet, and none of these may be: {trial.refused}"
    against = f"the present model {decision.against}" if decision.against else "no model, since none was chosen yet"
    would = f"{decision.candidate} {decision.candidate_version} would {'' if decision.promoted else 'not '}go live"
    return f"{would}. It was compared with {against}: {decision.reason}"


def interval_plot(rows: Sequence[tuple[str, float, float, float]], *, mark: float | None = None) -> str:
    """A line of text for each name, low end, value and high end; `mark` is a value that every line shows as `|`."""
    ends = [end for _, low, _, high in rows for end in (low, high)] + ([] if mark is None else [mark])
    least, most = min(ends), max(ends)
    scale = (_WIDTH - 1) / ((most - least) or 1)
    longest = max(len(name) for name, *_ in rows)
    lines = []
    for name, *values in rows:
        low, value, high = (round((each - least) * scale) for each in values)
        line = [" "] * _WIDTH
        line[low : high + 1] = "-" * (high + 1 - low)
        if mark is not None:
            line[round((mark - least) * scale)] = "|"
        line[low], line[high], line[value] = "[", "]", "o"
        lines.append(f"{name:<{longest}}  {''.join(line)}".rstrip())
    axis = f"{least:<{_WIDTH - 8}.3g}{most:>8.3g}"
    return "\n".join([*lines, f"{'':<{longest}}  {axis}"])


def _pictures(trial: Trial) -> Iterator[Block]:
    from mlops_assets.training.judging import plots

    drawn: tuple[tuple[str, Callable[[Any], bytes]], ...] = (
        ("confusion_matrix", plots.confusion_matrix),
        ("reliability", plots.reliability),
        ("learning_curve", plots.learning_curve),
    )
    for kind, metrics in trial.metrics.items():
        yield Heading(TITLES[kind])
        for name, draw in drawn:
            if data := getattr(metrics, name):
                yield Picture(draw(data), f"{name.replace('_', ' ')} of {kind}")


def _tell(message: str) -> None:
    """Progress goes to standard error: standard output is the report alone."""
    print(message, file=sys.stderr, flush=True)


def _end(*_: object) -> NoReturn:
    """Clear up as after Ctrl-C: without this, SIGTERM would leave the trial's folder behind."""
    raise KeyboardInterrupt
