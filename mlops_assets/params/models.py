"""The sections about models: `classic` and `bert` (training) and `evaluate` (measuring and promotion)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mlops_assets.params.section import Rule, Section, Seed


class ClassicRecipe(Section):
    """How the classic model is trained: a logistic regression on word and character n-grams, and a random forest.

    Where a key lists several values, the validation side decides among them. A change retrains the model.
    """

    section: ClassVar[str] = "classic"
    later: ClassVar[frozenset[str]] = frozenset({"most_reviews"})

    word_longest: int = Field(default=2, ge=1, le=5)
    """The longest word n-gram: n-grams of 1 to this many words are features."""
    char_shortest: int = Field(default=2, ge=1, le=8)
    """The shortest character n-gram."""
    char_longest: int = Field(default=5, ge=1, le=8)
    """The longest character n-gram, at least `char_shortest`."""
    min_reviews: int = Field(default=2, ge=1, le=1000)
    """An n-gram is a feature if at least this many reviews contain it (1 below 200 reviews)."""
    max_word_features: int = Field(default=30_000, ge=1, le=1_000_000)
    """The most word n-grams that are kept. Lower it for a smaller and faster model."""
    max_char_features: int = Field(default=60_000, ge=1, le=1_000_000)
    """The most character n-grams that are kept. Lower it for a smaller and faster model."""
    vocabulary_reviews: int = Field(default=100_000, ge=100, le=10_000_000)
    """N-grams are chosen from at most this many reviews, drawn at random. Lower it to use less memory."""
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Rule("a list of at least one number above 0")] = (
        Field(default=(0.5, 1.0, 2.0, 4.0), min_length=1, strict=False)
    )
    """Inverse regularisation strengths of the logistic regression to try."""
    votes: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...], Rule("a list of at least one share from 0 to 1")
    ] = Field(default=(0.0, 0.15, 0.3, 0.45, 0.6), min_length=1, strict=False)
    """Shares of the forest in the vote to try. If 0 is in the list, the forest votes only if that helps."""
    search_reviews: int = Field(default=20_000, ge=100, le=1_000_000)
    """`strengths` are compared on at most this many reviews. The final model is trained on all."""
    trees: int = Field(default=200, ge=1, le=2000)
    """Trees of the forest. Fewer train faster."""
    max_leaf_nodes: int = Field(default=200, ge=2, le=10_000)
    """The most leaves of a tree. More make a larger model."""
    tree_reviews: int = Field(default=20_000, ge=100, le=1_000_000)
    """Each tree is grown on at most this many reviews."""
    most_reviews: int = Field(default=500_000, ge=1000, le=100_000_000)
    """The most reviews to train on, those of reference apps included. Distinct and recent texts are taken first, spread
    over labels, apps and months. The metrics say what was left out, and what it would bring."""
    seed: Seed = 42
    """Seed of everything random: the same seed and data give the same model."""

    @model_validator(mode="after")
    def _longest_is_not_shorter(self) -> Self:
        if self.char_longest < self.char_shortest:
            raise ValueError(f"classic.char_longest must be from {self.char_shortest} to 8, got {self.char_longest}")
        return self


DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["auto", "fp32", "bf16"]

COMPACT = "compact"
HUB_MODELS = {"indobert": ("indobenchmark/indobert-base-p1", "9f7ba973c27c7e6762a63cbaa0847b0d9901edc1")}
"""Short names of hub models, with their commits. IndoBERT has safetensors weights only in its refs/pr/3, which is this
commit."""

_COMPACT_ONLY = ("vocabulary_size", "layers", "hidden", "heads")

_PRETRAINED = {"epochs": 3, "learning_rate": 3e-5, "dropout": 0.1, "token_dropout": 0.0, "label_smoothing": 0.0}
"""What suits a pre-trained model if params.yaml does not say; the fields' own defaults suit `compact`."""


class BertRecipe(Section):
    """How the BERT model is trained, from a pre-trained model or, as `compact`, from scratch. A change retrains it.

    A pre-trained model has other defaults: epochs 3, learning_rate 3e-5, dropout 0.1, token_dropout 0 and
    label_smoothing 0. The last four keys shape the compact model, and a pre-trained model refuses them.
    """

    section: ClassVar[str] = "bert"
    later: ClassVar[frozenset[str]] = frozenset({"most_reviews", "most_minutes", "teacher"})

    base_model: Annotated[str, Rule("compact, indobert, a hub name or a folder")] = Field(
        default=COMPACT, pattern=r"\S"
    )
    """`compact`, `indobert` (IndoBERT base at a pinned commit of the Hugging Face hub), another hub model's name,
    or a local folder in the hub's format (begin its path with /, . or ~)."""
    teacher: Annotated[str | None, Rule("indobert, a hub name or a folder")] = Field(default=None, pattern=r"\S")
    """A pre-trained model that teaches `compact`, named as in `base_model`. It is fine-tuned, answers all texts of the
    train side, those without a label too, and the compact model learns from its answers. Its three trainings
    share `most_minutes`. New and erased texts without a label train again too."""
    revision: str | None = None
    """A commit, tag or branch of the hub model (or teacher). Pin a commit, so that every training starts from the same
    model."""
    epochs: int = Field(default=5, ge=1, le=100)
    """How often the training goes through all texts."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Texts in a training step. Lower it if memory runs out."""
    most_reviews: int = Field(default=200_000, ge=1000, le=100_000_000)
    """The most reviews to train on, as `classic.most_reviews`. The compact model takes about 15 minutes for 75,000 on
    two cores."""
    most_minutes: int = Field(default=120, ge=1, le=100_000)
    """The longest training, in minutes. Once the speed is known, a training that would take longer is planned shorter,
    its learning rate fitted to that. A second model that is trained to compare with has as long again."""
    learning_rate: float = Field(default=5e-4, ge=1e-7, le=1e-1)
    """The highest learning rate."""
    warmup: float = Field(default=0.1, ge=0, le=0.9)
    """The share of all steps in which the learning rate rises. After that it falls to zero."""
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    """Weight decay of AdamW."""
    clip_norm: float = Field(default=1.0, ge=1e-3, le=1e3)
    """Gradients are clipped to this norm."""
    max_length: int = Field(default=128, ge=8, le=512)
    """Tokens of a text that the model reads; the rest is cut off."""
    dropout: float = Field(default=0.2, ge=0, le=0.9)
    """Dropout, except in the attention."""
    attention_dropout: float = Field(default=0.0, ge=0, le=0.9)
    """Dropout in the attention. Leave it at 0: only then can the fast attention kernels run."""
    token_dropout: float = Field(default=0.3, ge=0, le=0.9)
    """The share of a text's tokens that each training step hides, so that few texts are not learnt by heart."""
    label_smoothing: float = Field(default=0.1, ge=0, le=0.5)
    """Label smoothing, against overconfident answers."""
    seed: Seed = 42
    """Seed of everything random: the same seed and data give the same model."""
    device: DeviceName = "auto"
    """What the training runs on. auto takes a GPU if there is one."""
    precision: PrecisionName = "auto"
    """Number format of the training. auto takes bf16 if the processor multiplies it."""
    checkpoint_steps: int = Field(default=100, ge=1, le=1_000_000)
    """Steps between two checkpoints. A training that was killed goes on from the last one."""
    serve: Literal["int8", "fp32"] = "int8"
    """Number format of the served model. int8 is several times faster and is used only if its labels agree with
    fp32's on up to 2,000 texts that were not learned from. A GPU needs fp32."""
    vocabulary_size: int = Field(default=3000, ge=200, le=100_000)
    """Tokens in the vocabulary of the compact model."""
    layers: int = Field(default=4, ge=1, le=48)
    """Layers of the compact model."""
    hidden: int = Field(default=256, ge=16, le=4096)
    """Width of the compact model, a multiple of `heads`."""
    heads: int = Field(default=4, ge=1, le=64)
    """Attention heads of the compact model."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_a_pretrained_model(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        base_model = values.get("base_model", COMPACT)
        if base_model == COMPACT:
            return values
        if refused := [name for name in _COMPACT_ONLY if name in values]:
            raise ValueError(
                f"bert.{refused[0]} shapes the compact model only, but base_model is {base_model!r}: "
                "leave one of the two out"
            )
        return {**_PRETRAINED, **values}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.teacher is not None and not self.compact:
            raise ValueError(
                f"bert.teacher teaches the compact model only, but base_model is {self.base_model!r}: "
                "leave one of the two out"
            )
        if self.teacher == COMPACT:
            raise ValueError("bert.teacher must be pre-trained (indobert, a hub name or a folder), got 'compact'")
        name, key = (self.base_model, "base_model") if self.teacher is None else (self.teacher, "teacher")
        if self.revision and (name == COMPACT or name in HUB_MODELS):
            raise ValueError(f"bert.revision must be empty if {key} is {name}, got {self.revision!r}")
        if self.hidden % self.heads:
            raise ValueError(f"bert.hidden must be a multiple of heads ({self.heads}), got {self.hidden}")
        return self

    @property
    def compact(self) -> bool:
        return self.base_model == COMPACT

    def of_teacher(self) -> Self:
        """How the teacher is fine-tuned: as a pre-trained model by default, with what the student shares with it."""
        shared = (
            "revision",
            "batch_size",
            "max_length",
            "seed",
            "device",
            "precision",
            "checkpoint_steps",
            "most_minutes",
        )
        return self.from_params({"base_model": self.teacher, **{name: getattr(self, name) for name in shared}})

    def digest(self) -> str:
        """The digest of everything but where the training runs and how often it is saved: these make no other model."""
        return super(BertRecipe, self.model_copy(update={"device": "auto", "checkpoint_steps": 100})).digest()


class Evaluation(Section):
    """How models are measured, and when one may replace another. A change judges both models again."""

    section: ClassVar[str] = "evaluate"
    later: ClassVar[frozenset[str]] = frozenset({"most_texts"})
    gone: ClassVar[Mapping[str, str]] = {
        "margin_points": "use evaluate.worse_points, which bounds the estimate instead of its interval, in points of "
        "accuracy; without it 0.75"
    }

    newest_months: int = Field(default=3, ge=1, le=120)
    """The latest months of the gate and test sides that are also measured by themselves, as the newest reviews."""
    most_texts: int = Field(default=50_000, ge=100, le=100_000_000)
    """The most distinct texts of each held-out side that models are tuned, judged and measured on. They stay the same
    as reviews come; texts that people labelled are asked besides."""
    rounds: int = Field(default=2000, ge=200, le=100_000)
    """Resamples of each bootstrap. More make intervals steadier and the evaluation slower."""
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    """Confidence of the intervals."""
    worse_points: float = Field(default=0.75, ge=0, le=100)
    """If a new model is needed, its accuracy on the gate side (each distinct text once) may be this many points below
    that of the live model. The default is half-way between 3 points worse and 1.5 points better."""
    tie_points: float = Field(default=0.5, ge=0, le=100)
    """Of models whose accuracy differs by at most this many points the cheapest kind is chosen: classic, then BERT."""
    anchor_days: int = Field(default=90, ge=1, le=3650)
    """The anchor is the model that was live so many days ago (the oldest one if all are younger)."""
    anchor_points: float = Field(default=1.5, ge=0, le=100)
    """After two promotions of models that were only as good, more need proof that they are at most this many points
    below the anchor."""
    slice_points: float = Field(default=2.0, ge=0, le=100)
    """The new model is refused if its accuracy on a slice (such as one app's reviews, or those with slang) falls by
    more than this many points, with the whole interval beyond it. Intervals are corrected for the number of slices."""
    slice_reviews: int = Field(default=30, ge=1, le=100_000)
    """A slice with fewer distinct texts on the gate side is shown, but decides nothing."""
    max_calibration_error: float = Field(default=0.15, ge=0.01, le=1)
    """The largest calibration error (ECE) of a model that may go live, unless chance explains a larger one."""
    max_milliseconds: float = Field(default=250.0, gt=0)
    """The longest median time to answer one review, in milliseconds, of a model that may go live."""
    max_megabytes: float = Field(default=1500.0, gt=0)
    """The largest size of a model that may go live, in megabytes."""
    seed: Seed = 7
    """Seed of the resamples."""
