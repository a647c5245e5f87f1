"""The model folder, in the format that training writes and the server reads.

    manifest.json   written last; names the SHA-256 of every other file
    golden.json     sentences with the probabilities that this model must answer
    …               weights and vocabulary, as `kind` says; no file executes code on loading

A folder without a manifest is not a model. Standard library only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, sha256
from mlops_assets.trained_on import TrainedOn

FORMAT = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.json"

Kind = Literal["bert", "classic", "blend"]
METRICS_FILES: Mapping[Kind, str] = {
    "classic": "metrics.json",
    "bert": "bert_metrics.json",
    "blend": "blend_metrics.json",
}
"""The kinds of model, the cheapest to serve first, each with its metrics file beside its folder below `models/`."""
MEMBERS: tuple[Kind, ...] = ("bert", "classic")
"""The kinds that a blend is made of; each lies whole in a folder of its name in the blend's."""


class BrokenArtifact(PermanentFailure):
    """The folder is no model, or a file in it is not the one that was sealed."""


@dataclass(frozen=True)
class Golden:
    """One sentence and the probabilities (in the order of the labels) that the model answered when it was sealed."""

    text: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class TrainedWith:
    """What a model was trained with. It is due again if any of this but the data version changed.

    `training_data` is a digest of what training reads of the labelled reviews and of the reference apps', `reviews` the
    number of the former, `references` a digest of which apps are references and of their weight, `split` how texts were
    dealt to the sides. Manifests of older versions lack all four.
    """

    dataset_version: str
    label_rule: str
    recipe: str
    code: str
    training_data: str = ""
    reviews: int = 0
    references: str = ""
    split: str = ""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`. It holds no time and no run, so that equal inputs give an equal version.

    `training_files` are those of `files` that no server reads: without them the folder is whole.
    """

    kind: Kind
    labels: tuple[str, ...]
    text_version: int
    trained_with: TrainedWith
    metrics: Mapping[str, Any]
    files: Mapping[str, str]
    runtime: Mapping[str, Any] = field(default_factory=dict)
    training_files: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def trained_on(self) -> TrainedOn:
        """From the metrics: what they say of the data, else the apps among their slices."""
        data = self.metrics.get("data", {})
        slices = [str(row["slice"]) for row in self.metrics.get("slices", ())]
        apps = data.get("apps") or [name.removeprefix("app ") for name in slices if name.startswith("app ")]
        return TrainedOn(tuple(apps), tuple(data.get("sources", ())))


def seal(  # noqa: PLR0913  # what a manifest holds
    folder: Path,
    *,
    kind: Kind,
    labels: Sequence[str],
    text_version: int,
    trained_with: TrainedWith,
    metrics: Mapping[str, Any],
    golden: Sequence[Golden],
    runtime: Mapping[str, Any] | None = None,
    training_files: Sequence[str] = (),
) -> str:
    """Write `golden.json` and then `manifest.json` over what lies in `folder`; return the model version.

    `runtime` holds what the server needs beside the files: temperature, truncation, vote weights. `training_files`
    names what it does not need.
    """
    _write_json(folder / GOLDEN, [{"text": g.text, "probabilities": list(g.probabilities)} for g in golden])
    manifest = Manifest(
        kind=kind,
        labels=tuple(labels),
        text_version=text_version,
        trained_with=trained_with,
        metrics=metrics,
        files={name: sha256(folder / name) for name in _content(folder)},
        runtime=runtime or {},
        training_files=tuple(sorted(training_files)),
    )
    _write_json(folder / MANIFEST, asdict(manifest))
    return model_version(folder)


def model_version(folder: Path) -> str:
    """The first 12 hex digits of the SHA-256 of the manifest; raises `BrokenArtifact` where there is none."""
    return _manifest_digest(folder)[:12]


def read(folder: Path, *, verify: bool = True) -> Manifest:
    """The manifest; with `verify`, every file is hashed and must be the sealed one, no more and no fewer.

    Files that only training reads may be absent.
    """
    _manifest_digest(folder)
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(
            **{
                **raw,
                "labels": tuple(raw["labels"]),
                "training_files": tuple(raw.get("training_files", ())),
                "trained_with": TrainedWith(**raw["trained_with"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise BrokenArtifact(f"{folder / MANIFEST} cannot be read ({error}): train the model again") from error
    if manifest.format != FORMAT:
        raise BrokenArtifact(
            f"{folder} has format {manifest.format}, this version reads {FORMAT}: train the model again"
        )
    if verify:
        found = {name: sha256(folder / name) for name in _content(folder)}
        wanted = manifest.files.keys() - (set(manifest.training_files) - found.keys())
        wrong = sorted(name for name in found.keys() | wanted if found.get(name) != manifest.files.get(name))
        if wrong:
            raise BrokenArtifact(
                f"{folder}: {', '.join(wrong)} not as sealed: restore the folder or train the model again"
            )
    return manifest


def is_whole(folder: Path) -> bool:
    """Whether the folder holds a model, every file as it was sealed."""
    try:
        read(folder)
    except BrokenArtifact:
        return False
    return True


def read_golden(folder: Path) -> tuple[Golden, ...]:
    """The golden sentences of a sealed folder."""
    raw = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    return tuple(Golden(text=item["text"], probabilities=tuple(item["probabilities"])) for item in raw)


def _content(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != MANIFEST)


def _manifest_digest(folder: Path) -> str:
    path = folder / MANIFEST
    if not path.is_file():
        raise BrokenArtifact(f"{folder} holds no {MANIFEST}: it is no finished model, train it again")
    return sha256(path)


def _write_json(path: Path, value: object) -> None:
    replace_file(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True))
