"""The training loop on a model of a few thousand weights: what it chooses, what it repeats, what it refuses."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.params.models import BertRecipe
from mlops_assets.training.bert import checkpoint, compact
from mlops_assets.training.bert import data as bert_data
from mlops_assets.training.bert import train as bert
from mlops_assets.training.bert.device import find_device
from mlops_assets.training.bert.state import TrainingDiverged

GOOD, BAD = ["bagus sekali", "mantap cepat", "suka mudah"], ["jelek sekali", "lambat eror", "kecewa susah"]
RECIPE = {"layers": 1, "hidden": 16, "heads": 2, "vocabulary_size": 200, "max_length": 32, "batch_size": 8, "epochs": 3}


pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Stands for whatever ends a process in mid-epoch."""


def start(**changes: Any) -> tuple[Any, BertRecipe, bert_data.Examples, int]:
    recipe = BertRecipe.from_params({**RECIPE, **changes})
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 90)
    texts = [f"{random.choice((BAD, GOOD)[label])} {random.choice(['app', 'ini', 'saya'])}" for label in labels]
    base = compact.build(texts, recipe, ("negative", "positive"))
    ids = bert_data.encode(base.tokenizer, texts, recipe.max_length)
    return base.model, recipe, bert_data.Examples(ids, labels.astype(np.int64)), bert_data.mask_id(base.tokenizer)


def train(checkpoints: Path | None = None, said: list[str] | None = None, **changes: Any):
    model, recipe, examples, mask_id = start(**changes)
    progress = bert.fit(
        model,
        examples,
        examples,
        recipe,
        mask_id=mask_id,
        device=find_device("cpu", "fp32"),
        report=(said if said is not None else []).append,
        checkpoints=checkpoints,
        identity="the same",
    )
    return model, progress


def weights(model: Any) -> dict[str, Any]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_it_learns_and_the_best_epoch_is_what_remains() -> None:
    model, progress = train(epochs=6, learning_rate=5e-3)
    _, recipe, examples, _ = start()

    best = progress.epochs[progress.best_epoch - 1]
    assert best["accuracy"] == max(epoch["accuracy"] for epoch in progress.epochs) > 0.9
    again = bert.validate(model, examples.ids, examples.labels, recipe, find_device("cpu", "fp32"))
    assert again == {name: best[name] for name in ("accuracy", "loss")}


def test_a_seed_gives_the_same_weights_and_another_seed_does_not() -> None:
    one, _ = train(token_dropout=0.2)
    other, _ = train(token_dropout=0.2)
    third, _ = train(token_dropout=0.2, seed=7)

    assert same(one, other)
    assert not same(one, third)


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(epochs=1)

    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("saves", [1, 3, 5, 6])
def test_a_training_stopped_anywhere_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    undisturbed, expected = train(checkpoint_steps=5)
    really, left = checkpoint.save, saves

    def save_and_stop(*arguments: Any) -> None:
        nonlocal left
        really(*arguments)
        left -= 1
        if not left:
            raise Stopped

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    with pytest.raises(Stopped):
        train(tmp_path, checkpoint_steps=5)
    monkeypatch.undo()
    said: list[str] = []
    resumed, progress = train(tmp_path, said, checkpoint_steps=5)

    assert "continues from the checkpoint" in said[0]
    assert progress.resumed_at
    assert (progress.epochs, progress.curve) == (expected.epochs, expected.curve)
    assert same(resumed, undisturbed)


def test_a_checkpoint_of_another_training_is_not_continued(tmp_path: Path) -> None:
    state = checkpoint.Checkpoint(tensors={}, state={"step": 3})
    checkpoint.save(tmp_path, "this data", state)

    assert checkpoint.load(tmp_path, "other data") is None
    assert checkpoint.load(tmp_path, "this data") == state


def test_tokens_that_no_text_holds_keep_their_embedding() -> None:
    import torch

    model, _, examples, mask_id = start()
    before = weights(model)["bert.embeddings.word_embeddings.weight"]
    used = sorted({i for text in examples.ids for i in text} | {mask_id})
    cut = bert_data.CutEmbedding(model, [bert_data.Ids.of([used])])
    assert cut.rows < len(before)
    assert list(cut.narrow(bert_data.Ids.of([[used[-1]]]))) == [[len({*used, 0}) - 1]]
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    cut.restore()

    after = weights(model)["bert.embeddings.word_embeddings.weight"]
    unused = sorted(set(range(len(before))) - {*used, 0})
    assert unused
    np.testing.assert_array_equal(after[unused], before[unused])
    np.testing.assert_allclose(after[used], before[used] + 1, rtol=1e-6)


def test_a_cut_embedding_answers_as_the_whole_one() -> None:
    model, recipe, examples, mask_id = start()
    device = find_device("cpu", "fp32")
    whole = bert.score(model, examples.ids, recipe.max_length, device)
    cut = bert_data.CutEmbedding(model, [examples.ids])

    np.testing.assert_array_equal(bert.score(model, cut.narrow(examples.ids), recipe.max_length, device), whole)
    with pytest.raises(ValueError, match="outside the cut embedding"):
        cut.narrow(bert_data.Ids.of([[mask_id]]))


def test_the_rate_climbs_and_falls_to_nearly_nothing() -> None:
    rates = [bert.rate_at(step, 100, 0.1) for step in range(100)]

    assert rates[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert all(later < earlier for earlier, later in pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.02


def test_a_loss_that_is_no_number_ends_the_training_with_the_next_step() -> None:
    import torch

    model, recipe, examples, mask_id = start()
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"the loss was nan before step \d+: lower bert.learning_rate"):
        bert.fit(
            model,
            examples,
            examples,
            recipe,
            mask_id=mask_id,
            device=find_device("cpu", "fp32"),
            report=lambda _: None,
        )


def test_hidden_tokens_are_inner_ones_and_the_same_for_a_seed() -> None:
    ids = [[2, *range(10, 40), 3]] * 20
    hidden = bert_data.hide(ids, 0.3, 4, (1, 2, 3))

    share = np.mean([text.count(4) / 30 for text in hidden])
    assert 0.2 < share < 0.4
    assert all(text[0] == 2 and text[-1] == 3 for text in hidden)
    assert hidden == bert_data.hide(ids, 0.3, 4, (1, 2, 3)) != bert_data.hide(ids, 0.3, 4, (1, 2, 4))
