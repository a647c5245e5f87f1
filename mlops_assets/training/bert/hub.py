"""A pre-trained BERT from a hub or from a local folder in the hub's format; only safetensors weights are accepted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.params.models import HUB_MODELS, BertRecipe
from mlops_assets.proxies import through_proxy
from mlops_assets.training.bert.compact import Base

WANTED_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab.txt",
    "special_tokens*",
    "README.md",  # states the licence
)

_HUB = "https://huggingface.co"


class BaseUnusable(PermanentFailure):
    """The base model is not there, or is no BERT with safetensors weights."""


class HubUnreachable(OutsideFailure):
    """The hub does not answer."""


def load_base(
    recipe: BertRecipe,
    labels: Sequence[str],
    *,
    key: str = "base_model",
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Base:
    """The pre-trained model of the recipe with a new head for `labels`.

    `key` is the parameter that names the model, for messages.
    `endpoint` is the hub's address and `cache` where downloads stay; without them the hub's own settings count
    (HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE). What was downloaded before is taken when the hub does not answer.
    """
    name, revision = HUB_MODELS.get(recipe.base_model, (recipe.base_model, recipe.revision))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if recipe.revision:
            raise BaseUnusable(f"bert.revision is {recipe.revision!r}, but {name} is a folder: leave revision out")
        return _open(folder, recipe, labels, source=f"folder {folder.name}", key=key)
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        other = "a hub model or compact" if key == "base_model" else "a hub model"
        raise BaseUnusable(f"bert.{key} {name!r} is no folder: correct the path, or name {other}")
    folder = _download(name, revision, endpoint, cache, key)
    return _open(folder, recipe, labels, source=f"{name}@{folder.name[:12]}", key=key)


def _download(name: str, revision: str | None, endpoint: str | None, cache: Path | None, key: str) -> Path:
    """The folder of the hub's snapshot, whose name is the commit."""
    from huggingface_hub import HfApi, errors

    hint = _folder_hint(key)
    at = f"{name} at revision {revision}" if revision else name
    try:
        return Path(
            HfApi(endpoint=endpoint).snapshot_download(
                name, revision=revision, allow_patterns=list(WANTED_FILES), cache_dir=cache
            )
        )
    except errors.GatedRepoError as error:
        raise BaseUnusable(
            f"the hub gives {at} only to accounts that accepted its terms: set HF_TOKEN, {hint}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BaseUnusable(f"the hub has {name}, but no revision {revision!r}: correct bert.revision") from error
    except errors.RepositoryNotFoundError as error:
        raise BaseUnusable(
            f"the hub has no model {name!r}: correct bert.{key}, set HF_TOKEN if it is private, {hint}"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        why = f"{_root_cause(error)}{through_proxy(endpoint or _HUB)}"
        raise HubUnreachable(f"{at} cannot be fetched from the hub ({why}): try again, {hint}") from error


def _folder_hint(key: str) -> str:
    files = "config.json, model.safetensors, tokenizer.json or vocab.txt"
    return f"or put the model into a folder ({files}) and set bert.{key} to its path"


def _open(folder: Path, recipe: BertRecipe, labels: Sequence[str], *, source: str, key: str) -> Base:
    """Read a folder in the hub's format."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    config = _config(folder)
    if config.get("model_type") != "bert":
        raise BaseUnusable(f"{folder} holds a {config.get('model_type')!r} model: bert.{key} must be of type bert")
    if not any(folder.glob("*.safetensors")):
        others = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.h5"), *folder.glob("*.msgpack")))
        has = f", only {', '.join(others)}, which can execute code on loading" if others else ""
        raise BaseUnusable(
            f"{source} has no safetensors weights{has}: pin a revision that has them with bert.revision (a hub often "
            f"offers a converted one as refs/pr/N), {_folder_hint(key)}"
        )
    limit = int(config.get("max_position_embeddings", 512))
    if recipe.max_length > limit:
        raise BaseUnusable(
            f"bert.max_length is {recipe.max_length}, but {source} reads at most {limit} tokens: lower it"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # of the new head
        loaded: Any = BertForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            hidden_dropout_prob=recipe.dropout,
            attention_probs_dropout_prob=recipe.attention_dropout,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    model, loading = loaded
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(("classifier.", "bert.pooler.")))
    if missing:
        raise BaseUnusable(f"{source} lacks the weights {missing[0]} and {len(missing) - 1} more: it is no whole BERT")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    backend = tokenizer.backend_tokenizer
    if backend.get_vocab_size() > model.config.vocab_size:
        raise BaseUnusable(
            f"{source}: the tokenizer has {backend.get_vocab_size()} tokens, the model "
            f"{model.config.vocab_size}: they do not belong together"
        )
    return Base(model=model, tokenizer=backend, source=source, licence=_licence(folder))


def _licence(folder: Path) -> str | None:
    """The licence that the front matter of the folder's README.md names, as hubs ask for."""
    import yaml

    card = folder / "README.md"
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n") if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        about = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    stated = about.get("license") if isinstance(about, dict) else None
    return stated and ", ".join(map(str, stated if isinstance(stated, list) else [stated]))


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaseUnusable(f"{folder} holds no config.json: it is no model folder in the hub's format") from None
    except (OSError, ValueError) as error:
        raise BaseUnusable(f"{folder / 'config.json'} cannot be read: {error}") from error


def _root_cause(error: BaseException) -> str:
    """The innermost message, on one line: the outer ones only say that something failed."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(f"{type(error).__name__}: {error}".split())
