"""The training loop of the BERT model, and around it everything from reviews to a sealed model folder."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.artifact import TrainedWith, model_version
from mlops_assets.params.models import BertRecipe, Evaluation
from mlops_assets.training.bert import checkpoint, compact, distil, hub, minutes, packing
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import export as bert_export
from mlops_assets.training.bert import state as bert_state
from mlops_assets.training.bert.device import Device, find_device
from mlops_assets.training.bert.state import Meter, Progress
from mlops_assets.training.judging import evaluate
from mlops_assets.training.judging.calibration import log_loss
from mlops_assets.training.references import JUDGED_ON, References, Weights
from mlops_assets.training.trained import Trained

Report = Callable[[str], None]

ALONE = "alone"
"""The folder below the checkpoints for those of the training without references."""
MOST_ALONE = 20_000
"""With more own reviews than this to train on, the model without references is not trained to compare with."""
SCORED_TOGETHER = 512
"""Texts that are packed and scored at a time: enough to fill rows, few enough for small memory."""


def train_bert(  # noqa: PLR0913 - what a training takes; each is a different thing
    frame: pd.DataFrame,
    recipe: BertRecipe,
    folder: Path,
    *,
    trained_with: TrainedWith,
    run_id: str,
    report: Report,
    checkpoints: Path,
    load: bert_export.Load,
    rules: Evaluation | None = None,
    references: References | None = None,
    budget: Mapping[str, Any] | None = None,
    unlabelled: Sequence[str] = (),
) -> Trained:
    """Train on the train side, choose on validation, write and seal the model in the empty `folder`, report all sides.

    `frame` has review_text, label and side. `references` are learned from too, and a second model, without them, shows
    what they bring. `budget` says for the metrics which reviews were left out before. `load` opens a sealed folder as
    the server does: every figure and every comparison with torch is made on what will serve. A killed run continues
    from `checkpoints` when called again. `unlabelled` are texts of the train side; if the recipe has a teacher, the
    model learns from its answers to all texts, these too.
    """
    labels = evaluate.label_names(frame)
    train, validation = (frame[frame["side"] == side] for side in ("train", "validation"))
    device = find_device(recipe.device, recipe.precision)
    both, beside = references.beside(train, labels) if references else (train, None)
    if recipe.teacher:
        recipe = recipe.model_copy(update={"most_minutes": max(1, recipe.most_minutes // distil.TRAININGS)})
    train_on = partial(
        _train_on, validation=validation, recipe=recipe, labels=labels, trained_with=trained_with, device=device
    )
    own = checkpoints / distil.WITHOUT if recipe.teacher else checkpoints
    base, progress = train_on(both, beside, report=report, checkpoints=own)
    from_references = dict[str, Any]()
    if references is not None:
        held_out = frame[frame["side"].isin(JUDGED_ON)]
        alone = None
        if references and len(train) <= MOST_ALONE:
            report("trains without the reference apps, to compare")
            without, _ = train_on(train, None, report=report, checkpoints=checkpoints / ALONE)
            alone = partial(answers, without, recipe=recipe, device=device)
        with_them = answers(base, held_out["review_text"].tolist(), recipe=recipe, device=device)
        from_references = references.figures(held_out, with_them, alone, labels, rules or Evaluation())
    teaching = distil.Teaching(
        recipe,
        labels,
        trained_with,
        checkpoints,
        report,
        partial(train_on, report=report),
        partial(answers, recipe=recipe, device=device),
    )
    from_teacher = dict[str, Any]()
    if recipe.teacher:
        held_out = frame[frame["side"].isin(evaluate.HELD_OUT)]
        without_teacher = answers(base, held_out["review_text"].tolist(), recipe=recipe, device=device)
        base, progress, from_teacher = teaching.taught(
            both, beside, unlabelled, held_out, without_teacher, rules or Evaluation()
        )
    metrics = bert_export.export(
        base,
        folder,
        frame,
        labels,
        progress=progress,
        recipe=recipe,
        trained_with=trained_with,
        report=report,
        load=load,
        rules=rules,
        more=from_references | from_teacher | _budget(budget or {}, minutes.on_record(progress, recipe.most_minutes)),
        unlabelled=unlabelled,
    )
    checkpoint.remove(checkpoints / ALONE)
    teaching.forget()
    checkpoint.remove(checkpoints)
    version = model_version(folder)
    training = {
        "device": str(device),
        "seconds": round(progress.seconds, 1),
        "reviews_per_second": round(progress.reviews / progress.seconds, 1),
        "resumed_at": progress.resumed_at,
    }
    return Trained(version, {**metrics, "run_id": run_id, "model_version": version, "training": training})


def _budget(reviews: Mapping[str, Any], time: Mapping[str, Any]) -> dict[str, Any]:
    """The entry `budget` of the metrics; none if all was trained on, as long as the recipe says."""
    said = " ".join(str(each["said"]) for each in (reviews, time) if each)
    return {"budget": {**reviews, **time, "said": said}} if said else {}


def _train_on(  # noqa: PLR0913 - what a training takes; each is a different thing
    train: pd.DataFrame,
    beside: Weights | None,
    *,
    validation: pd.DataFrame,
    recipe: BertRecipe,
    labels: Sequence[str],
    trained_with: TrainedWith,
    device: Device,
    report: Report,
    checkpoints: Path,
    taught: np.ndarray | None = None,
    key: str = "base_model",
) -> tuple[compact.Base, Progress]:
    """A base trained on the rows of `train`, weighed where reference apps are `beside` them, to its best epoch.

    `taught` are a teacher's probabilities (n, labels) for the rows, which then need no label. `key` is the
    parameter that names a pre-trained base.
    """
    texts = train["review_text"].tolist()
    base = compact.build(texts, recipe, labels) if recipe.compact else hub.load_base(recipe, labels, key=key)
    learned, asked = (
        bert_data.Examples(
            ids=bert_data.encode(base.tokenizer, rows["review_text"], recipe.max_length),
            labels=distil.indices(rows["label"], labels),
        )
        for rows in (train, validation)
    )
    learned = replace(learned, taught=taught)
    if beside is not None:
        learned = replace(learned, weights=beside.counted.astype(np.float32))
    report(
        f"{base.source} BERT, {sum(p.numel() for p in base.model.parameters()) / 1e6:.1f} M parameters, on {device}: "
        f"{len(texts)} reviews to train on, {len(validation)} to choose the epoch"
    )
    progress = fit(
        base.model,
        learned,
        asked,
        recipe,
        mask_id=bert_data.mask_id(base.tokenizer),
        device=device,
        report=report,
        checkpoints=checkpoints,
        identity=_identity(trained_with, base.source, learned, device),
    )
    return base, progress


def answers(base: compact.Base, texts: Sequence[str], *, recipe: BertRecipe, device: Device) -> np.ndarray:
    """Probabilities (n, labels) of a base as it was trained, neither exported nor calibrated."""
    base.model.to(device.kind)
    given = score(base.model, bert_data.encode(base.tokenizer, texts, recipe.max_length), recipe.max_length, device)
    base.model.to("cpu")
    return given


def fit(  # noqa: PLR0913 - what a training takes; each is a different thing
    model: Any,
    train: bert_data.Examples,
    validation: bert_data.Examples,
    recipe: BertRecipe,
    *,
    mask_id: int,
    device: Device,
    report: Report,
    checkpoints: Path | None = None,
    identity: str = "",
) -> Progress:
    """Train `model` in place to its best epoch by validation, going on from the checkpoint of `identity`.

    Without validation reviews the last epoch stands.
    """
    import torch

    mask = bert_data.Ids.of([[mask_id]])
    cut = bert_data.CutEmbedding(model, (train.ids, validation.ids, mask))
    train_ids, validation_ids, [[mask_id]] = (cut.narrow(ids) for ids in (train.ids, validation.ids, mask))
    varlen = device.varlen and recipe.attention_dropout == 0
    model.to(device.kind)
    optimizer = torch.optim.AdamW(groups(model, recipe.weight_decay), lr=recipe.learning_rate, fused=True)
    steps_an_epoch = -(-len(train_ids) // recipe.batch_size)
    steps = steps_an_epoch * recipe.epochs
    progress, best = Progress(full=steps, planned=steps), {}

    with bert_state.seeded(recipe.seed, device):
        if checkpoints and (found := checkpoint.load(checkpoints, identity)):
            progress, best = bert_state.restore(found, model, optimizer)
            report(f"continues from the checkpoint at step {progress.step} of {progress.planned}")
        meter = Meter(progress, recipe.epochs, report)
        while progress.step < progress.planned:
            epoch = progress.step // steps_an_epoch
            order = bert_data.order_of(len(train_ids), recipe.seed, epoch)
            for place in range(progress.step % steps_an_epoch, steps_an_epoch):
                chosen = order[place * recipe.batch_size : (place + 1) * recipe.batch_size]
                ids = bert_data.hide(
                    [train_ids[index] for index in chosen], recipe.token_dropout, mask_id, (recipe.seed, epoch, place)
                )
                batch = packing.pack(ids, recipe.max_length, one_row=varlen).to(device.kind)
                truth = torch.from_numpy(train.labels[chosen]).to(device.kind)

                model.train()
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * rate_at(progress.step, progress.planned, recipe.warmup)
                with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
                    logits = packing.logits(model, batch, varlen=varlen)  # (texts, labels)
                    loss = loss_of(logits.float(), truth, train, chosen, recipe)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

                meter.tick(loss.detach(), epoch, len(chosen))
                minutes.plan_again(progress, recipe.most_minutes, report)
                if progress.step >= progress.planned:
                    meter.settle()
                    break
                if place + 1 < steps_an_epoch and checkpoints and progress.step % recipe.checkpoint_steps == 0:
                    checkpoint.save(checkpoints, identity, bert_state.capture(progress, best, model, optimizer))

            scored = validate(model, validation_ids, validation.labels, recipe, device)
            progress.epochs.append({"epoch": epoch + 1, **scored})
            meter.report(f"epoch {epoch + 1} of {recipe.epochs}: validation {_named(scored)}")
            if progress.best_epoch == epoch + 1:
                best = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if checkpoints:
                checkpoint.save(checkpoints, identity, bert_state.capture(progress, best, model, optimizer))
    model.load_state_dict(best)
    model.to("cpu").eval()
    cut.restore()
    return progress


def loss_of(logits: Any, truth: Any, train: bert_data.Examples, chosen: np.ndarray, recipe: BertRecipe) -> Any:
    """The mean loss of a batch: `logits` (texts, labels) and label indices `truth` of the texts `chosen` of `train`."""
    import torch
    from torch.nn.functional import cross_entropy

    smoothing = recipe.label_smoothing
    if train.taught is not None:
        taught = torch.from_numpy(train.taught[chosen]).to(logits)
        losses = distil.taught_losses(logits, truth, taught, label_smoothing=smoothing)
    elif train.weights is None:
        return cross_entropy(logits, truth, label_smoothing=smoothing)
    else:
        losses = cross_entropy(logits, truth, label_smoothing=smoothing, reduction="none")
    if train.weights is not None:
        losses = losses * torch.from_numpy(train.weights[chosen]).to(losses)
    return losses.mean()


def rate_at(step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate at a step: it climbs over the first `warmup` of all steps, then falls to zero."""
    climb = max(1, round(steps * warmup))
    if step < climb:
        return (step + 1) / climb
    return (steps - step) / max(1, steps - climb + 1)


def validate(model: Any, ids: bert_data.Ids, truth: np.ndarray, recipe: BertRecipe, device: Device) -> dict[str, float]:
    """Accuracy and loss of the model as it stands; empty without validation reviews."""
    if not ids:
        return {}
    given = score(model, ids, recipe.max_length, device)
    accuracy = float((given.argmax(axis=1) == truth).mean())
    return {"accuracy": round(accuracy, 6), "loss": round(log_loss(given, truth), 6)}


def score(model: Any, ids: Sequence[list[int]], max_length: int, device: Device) -> np.ndarray:
    """Probabilities (n, labels) of texts given as token ids, in their order."""
    import torch

    if not ids:
        return np.zeros((0, model.config.num_labels))
    model.eval()
    parts: list[torch.Tensor] = []
    with torch.inference_mode(), torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
        for start in range(0, len(ids), SCORED_TOGETHER):
            batch = packing.pack(ids[start : start + SCORED_TOGETHER], max_length, one_row=device.varlen)
            logits = packing.logits(model, batch.to(device.kind), varlen=device.varlen)
            parts.append(logits.float().softmax(-1).cpu())
    return torch.cat(parts).numpy().astype(np.float64)


def groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _identity(trained_with: TrainedWith, source: str, train: bert_data.Examples, device: Device) -> str:
    """What a checkpoint must have been made of to be continued."""
    parts = [replace(trained_with, dataset_version="").__dict__, source, str(device), train.ids.digest()]
    parts.append(hashlib.sha256(train.labels.tobytes()).hexdigest())
    if train.weights is not None:
        parts.append(hashlib.sha256(train.weights.tobytes()).hexdigest())
    if train.taught is not None:
        parts.append(hashlib.sha256(train.taught.tobytes()).hexdigest())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _named(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items()) or "none"
