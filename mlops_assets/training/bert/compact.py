"""A small BERT made here: its own WordPiece vocabulary and random weights, so that training needs no download."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.params.models import BertRecipe
from mlops_assets.text import normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET = 500
"""Characters that have a token of their own, the most frequent ones; emoji are most of them."""


@dataclass(frozen=True)
class Base:
    """What fine-tuning starts from. `model` is a BertForSequenceClassification on the CPU in fp32."""

    model: Any
    tokenizer: "Tokenizer"
    source: str
    """What it is, for the record: `compact`, a folder, or a hub's name and commit."""
    licence: str | None = None
    """As its model card states it; None if it states none, or if nothing was taken from others."""


def build(texts: Sequence[str], recipe: BertRecipe, labels: Sequence[str]) -> Base:
    """A compact BERT with the vocabulary of `texts` (the train side, and nothing else)."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = train_vocabulary([normalise(text) for text in texts], recipe.vocabulary_size)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.hidden,
        max_position_embeddings=recipe.max_length,
        type_vocab_size=1,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.attention_dropout,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = BertForSequenceClassification(config)
    return Base(model=model, tokenizer=tokenizer, source="compact")


def train_vocabulary(texts: Sequence[str], size: int) -> "Tokenizer":
    """A WordPiece tokenizer over the texts: the same texts in any order give the same one.

    The trainer numbers single characters in the order of a hash map, differently in each run, and breaks ties by those
    numbers. So the characters go in as special tokens, in an order of ours, and a tokenizer without that
    specialness is made from the vocabulary that comes out.
    """
    from tokenizers import models, processors, trainers

    learner = _bare(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of the vocabulary, no password
    seen = Counter(character for text in texts for character in learner.normalizer.normalize_str(text))
    ranked = sorted(
        (character for character in seen if not character.isspace()),
        key=lambda character: (-seen[character], character),
    )
    alphabet = ranked[:ALPHABET]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=len(alphabet),
        initial_alphabet=alphabet,
        special_tokens=[*SPECIAL, *alphabet, *(f"##{character}" for character in alphabet)],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    tokenizer = _bare(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"))  # noqa: S106 - as above
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _bare(model: Any) -> Any:
    """A tokenizer around a WordPiece model that cuts texts as BERT does."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer: Any = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
