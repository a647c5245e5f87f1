"""The usual server, honestly: FastAPI, one text per forward pass, torch fp32, padded to 128 tokens.

python -m benchmarks.reference_server FOLDER PORT
"""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from mlops_assets.text import normalise

PADDED_TO = 128


class Request(BaseModel):
    """One review."""

    text: str


def app_of(folder: Path) -> FastAPI:
    """The app around the model in transformers' format in `folder`."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    labels = ("negative", "positive")
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    def predict(request: Request) -> dict[str, object]:
        inputs = tokenizer(
            normalise(request.text), padding="max_length", truncation=True, max_length=PADDED_TO, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        shares = torch.softmax(logits, dim=-1)[0].tolist()
        best = max(range(len(shares)), key=shares.__getitem__)
        return {
            "sentiment": labels[best],
            "confidence": shares[best],
            "probabilities": dict(zip(labels, shares, strict=True)),
        }

    return app


if __name__ == "__main__":
    uvicorn.run(
        app_of(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False
    )
