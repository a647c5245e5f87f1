"""The bodies of requests and answers, and the rules for a text."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from mlops_assets.serving.models.onnx_session import Device


def text_problem(text: object, max_chars: int) -> str | None:
    """The rule that `text` breaks, or None."""
    if not isinstance(text, str):
        return f"must be a string, got {type(text).__name__}"
    if len(text) > max_chars:
        return f"must have at most {max_chars} characters, got {len(text)}"
    if not text.strip():
        return "must not be empty"
    if "\0" in text:
        return "must not hold the character NUL"
    if not _encodable(text):
        return "must be Unicode without lone surrogates"
    return None


def _encodable(text: str) -> bool:
    # Ten times as fast as a search: a thousand long texts must not hold up the event loop.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class PredictRequest(_Body):
    """One review."""

    text: Annotated[StrictStr, Field(examples=["aplikasi bagus, sangat membantu"])]


class BatchRequest(_Body):
    """Several reviews. Each is classified on its own, so an unusable text does not affect the others."""

    texts: Annotated[list[Any], Field(examples=[["bagus", "sering error"]])]


class Feedback(_Body):
    """The right label of an earlier prediction."""

    request_id: Annotated[StrictStr, Field(min_length=1, max_length=64, pattern=r"^[0-9a-f]{32}(-[0-9]{1,6})?$")]
    label: StrictStr


class _Warned(_Answer):
    """An answer with a warning about the model, if its reader needs it."""

    warning: Annotated[
        str | None,
        Field(description="Present only if the model was trained on generated reviews."),
    ] = None


class PredictAnswer(_Warned):
    """`probabilities` are calibrated and sum to 1; `confidence` is the largest."""

    sentiment: str
    confidence: float
    probabilities: dict[str, float]
    model_version: str
    dataset_version: str
    request_id: str


class BatchAnswer(_Warned):
    """`results[i]` belongs to `texts[i]`: an answer, or `error` with a problem document."""

    results: list[Mapping[str, Any]]
    model_version: str
    dataset_version: str
    request_id: str


class Word(_Answer):
    """`weight`: how much the label's probability falls when the word is left out."""

    word: str
    weight: float


class Explanation(_Warned):
    """The answer and the words that drove it, in the text's order; no words if the text has over 80."""

    sentiment: str
    confidence: float
    words: list[Word]
    model_version: str
    request_id: str


class FeedbackAnswer(_Answer):
    """The label as it was recorded."""

    request_id: str
    label: str


class Live(_Answer):
    """The process runs."""

    status: str


class Health(_Answer):
    """`status` is `loading`, `ready` or `broken`."""

    status: str
    reason: str
    model_version: str | None
    dataset_version: str | None
    release_version: str
    since: datetime


class Origin(_Answer):
    """Whose reviews the model was trained on; empty if its folder does not say."""

    apps: list[str]
    sources: list[str]
    generated: bool


class ModelInfo(_Warned):
    """What the model's manifest says; `device` computes the answers."""

    kind: str
    device: Device
    labels: list[str]
    model_version: str
    dataset_version: str
    trained_on: Origin
    release_version: str
    since: datetime
    code_version: str
    metrics: dict[str, Any]
    authentication: str
    golden: int
