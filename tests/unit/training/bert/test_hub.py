"""A pre-trained model from a folder and from a hub: opened whole, or refused with the cause and the next step."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.params.models import BertRecipe
from mlops_assets.training.bert import compact, hub
from mlops_assets.training.bert import data as bert_data
from tests.fakes.hub import COMMIT, FakeHub

pytestmark = pytest.mark.slow

LABELS = ("negative", "neutral", "positive")
NAME = "someone/small-bert"
TOKENS = ("unk", "sep", "pad", "cls", "mask")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pre-trained BERT as a hub keeps it: the language model's head, a vocab.txt, no classifier."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("hub") / "small-bert"
    folder.mkdir()
    vocabulary = [*compact.SPECIAL, "bagus", "jelek", "sekali", "apli", "##kasi", "!"]
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
    )
    model.config.save_pretrained(folder)
    weights = {name: value.clone() for name, value in model.state_dict().items() if "decoder" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder


def copied(saved: Path, to: Path, **config: object) -> Path:
    to.mkdir()
    for file in saved.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    (to / "config.json").write_text(json.dumps({**json.loads((saved / "config.json").read_text()), **config}))
    return to


def recipe(base_model: str | Path, **changes: object) -> BertRecipe:
    return BertRecipe.from_params({"base_model": str(base_model), "max_length": 32, **changes})


def embedding(model) -> np.ndarray:
    return model.bert.embeddings.word_embeddings.weight.detach().numpy()


def test_a_folder_is_opened_with_its_weights_its_vocabulary_and_a_new_head(saved: Path) -> None:
    from safetensors.numpy import load_file

    base = hub.load_base(recipe(saved), LABELS)

    expected = load_file(saved / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(embedding(base.model), expected)
    assert base.model.classifier.out_features == 3
    assert base.source == "folder small-bert"
    assert list(bert_data.encode(base.tokenizer, ["Bagus sekali!"], 32)) == [[2, 5, 7, 10, 3]]


def test_the_new_head_comes_from_the_recipe_s_seed_alone(saved: Path) -> None:
    import torch

    def head(seed: int, before: int) -> bytes:
        torch.manual_seed(before)
        model = hub.load_base(recipe(saved, seed=seed), LABELS).model
        assert torch.initial_seed() == before
        return model.classifier.weight.detach().numpy().tobytes()

    assert head(1, before=5) == head(1, before=6)
    assert head(1, before=5) != head(2, before=5)


def test_a_name_is_fetched_from_the_hub_at_its_pinned_revision(saved: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in saved.iterdir()} | {
        "pytorch_model.bin": b"code",
        "README.md": b"---\nlanguage: id\nlicense: mit\n---\n# A model\n",
        "notes.txt": b"",
    }
    with FakeHub(NAME, files) as there:
        base = hub.load_base(recipe(NAME, revision="pinned"), LABELS, endpoint=there.address, cache=tmp_path)

    assert base.source == f"{NAME}@{COMMIT[:12]}"
    np.testing.assert_array_equal(embedding(base.model), embedding(hub.load_base(recipe(saved), LABELS).model))
    assert base.licence == "mit"
    assert not any(path.endswith((".bin", "notes.txt")) for path in there.asked)


def test_indobert_means_the_commit_whose_files_have_no_tokenizer_json_and_an_empty_tokenizer_config(
    saved: Path, tmp_path: Path
) -> None:
    name, commit = "indobenchmark/indobert-base-p1", "9f7ba973c27c7e6762a63cbaa0847b0d9901edc1"
    files = {file.name: file.read_bytes() for file in saved.iterdir()} | {
        "tokenizer_config.json": b"{}",
        "special_tokens_map.json": json.dumps({f"{each}_token": f"[{each.upper()}]" for each in TOKENS}).encode(),
        "README.md": b"---\nlanguage: id\nlicense: mit\n---\n",
    }
    with FakeHub(name, files, commit=commit) as there:
        base = hub.load_base(recipe("indobert"), LABELS, endpoint=there.address, cache=tmp_path)

    assert (base.source, base.licence) == (f"{name}@{commit[:12]}", "mit")
    assert any(f"/tree/{commit}" in path for path in there.asked)
    assert list(bert_data.encode(base.tokenizer, ["Bagus sekali!"], 32)) == [[2, 5, 7, 10, 3]]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (None, None),
        ("# A model\n---\nlicense: mit\n---\n", None),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlanguage: id\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\nmit\n---\n", None),
    ],
)
def test_the_licence_is_the_one_that_the_front_matter_states(
    saved: Path, tmp_path: Path, card: str | None, licence: str | None
) -> None:
    folder = copied(saved, tmp_path / "model")
    if card is not None:
        (folder / "README.md").write_text(card)

    assert hub.load_base(recipe(folder), LABELS).licence == licence


def test_a_hub_that_does_not_answer_is_named_with_its_cause_and_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(hub.HubUnreachable, match=r"someone/small-bert cannot be fetched .*refused.* set bert.base"):
            hub.load_base(recipe(NAME), LABELS, endpoint=address, cache=tmp_path)


@pytest.mark.parametrize(
    ("asked", "revision", "gated", "message"),
    [
        ("someone/other", None, False, "the hub has no model 'someone/other': correct bert.base_model"),
        (NAME, "lost", False, "no revision 'lost': correct bert.revision"),
        (NAME, None, True, "only to accounts that accepted its terms"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_next_step(
    saved: Path, tmp_path: Path, asked: str, revision: str | None, gated: bool, message: str
) -> None:
    with (
        FakeHub(NAME, {"config.json": (saved / "config.json").read_bytes()}, gated=gated) as there,
        pytest.raises(hub.BaseUnusable, match=message),
    ):
        hub.load_base(recipe(asked, revision=revision), LABELS, endpoint=there.address, cache=tmp_path)


def test_weights_that_can_execute_code_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(hub.BaseUnusable, match=r"no safetensors weights, only pytorch_model.bin.*bert.revision"):
        hub.load_base(recipe(folder), LABELS)


def test_a_folder_that_is_no_whole_bert_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(hub.BaseUnusable, match="holds a 'gpt2' model"):
        hub.load_base(recipe(copied(saved, tmp_path / "other", model_type="gpt2")), LABELS)
    with pytest.raises(hub.BaseUnusable, match=r"lacks the weights bert\.encoder\.layer\.1"):
        hub.load_base(recipe(copied(saved, tmp_path / "short", num_hidden_layers=2)), LABELS)
    with pytest.raises(hub.BaseUnusable, match="is 128, but folder small-bert reads at most 64 tokens: lower it"):
        hub.load_base(recipe(saved, max_length=128), LABELS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(hub.BaseUnusable, match=r"holds no config.json"):
        hub.load_base(recipe(tmp_path / "empty"), LABELS)


def test_a_path_that_is_no_folder_is_never_asked_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(hub.BaseUnusable, match=r"is no folder: correct the path"):
        hub.load_base(recipe(tmp_path / "absent"), LABELS)
    with pytest.raises(hub.BaseUnusable, match="is a folder: leave revision out"):
        hub.load_base(recipe(tmp_path, revision="main"), LABELS)
