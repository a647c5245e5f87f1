"""Materialization metadata: tables, pictures and counts as the UI shows them."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.document import Block, Code, Paragraph, Picture, Table, markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mlops_assets.reviews.files.balance import Balances

Metadata = dict[str, Any]

_MONTHS = 400
"""Rows of the table of balances that Dagster keeps with each run."""

COLUMN_MEANINGS: Mapping[str, tuple[str, str]] = {
    "review_id": ("string", "the source's id of the review"),
    "app_id": ("string", "the app's package name"),
    "review_text": ("string", "as written; newlines and emoji kept"),
    "rating": ("int64", "stars, 1 to 5"),
    "thumbs_up": ("int64", "how many people found it helpful"),
    "app_version": ("string", "the version reviewed, where known"),
    "review_date": ("timestamp[us, UTC]", "last change of the review; its month is the partition"),
    "reply_text": ("string", "the developer's reply"),
    "reply_date": ("timestamp[us, UTC]", "when the developer replied"),
    "scraped_at": ("timestamp[us, UTC]", "when this form of the review was first collected"),
    "source": ("string", "sample, file, play_store or import"),
    "author": ("string", "keyed hash of the author; empty without AUTHOR_KEY"),
    "deleted_at": ("timestamp[us, UTC]", "when the review was found to be gone"),
}


def review_schema() -> dg.TableSchema:
    """The columns of a stored review, for the asset's page."""
    return dg.TableSchema(columns=[dg.TableColumn(name, kind, text) for name, (kind, text) in COLUMN_MEANINGS.items()])


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Rows as a Markdown table; the keys of the first are the header."""
    return shown(Table.of(rows))


def shown(*blocks: Block) -> dg.MetadataValue:
    """A document as Markdown."""
    return dg.MetadataValue.md(markdown(*blocks) or "none")


def balances(found: "Balances", *, brief: bool = False) -> Metadata:
    """What became of each row of the files that were read, `brief` in one line; empty if no file was read."""
    if not found.files:
        return {}
    if brief:
        return {"balance": f"nothing new in {found.summary()}"}
    return {"balance": shown(Code("\n".join(found))), "balance_by_month": table(found.table()[:_MONTHS])}


def references(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> Metadata:
    """The reviews of reference apps, which count in no other figure; empty if there are none."""
    blocks: list[Block] = [Table.of(rows)] if rows else []
    blocks += [Paragraph(note) for note in notes]
    return {"references": shown(*blocks)} if blocks else {}


def picture(png: bytes, alt: str) -> dg.MetadataValue:
    """A PNG within the page."""
    return shown(Picture(png, alt))


def link(path: Path) -> dg.MetadataValue:
    return dg.MetadataValue.path(str(path))


def rows_in(path: Path) -> int:
    """Rows of a Parquet file from its footer; 0 without a file."""
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows if path.is_file() else 0


def rating_mix(frame: "pd.DataFrame") -> dg.MetadataValue:
    """How many reviews have 1 to 5 stars, as a bar chart."""
    counts = frame["rating"].value_counts()
    stars = [1, 2, 3, 4, 5]
    figure, axes = _figure(4.2, 2.2)
    bars = axes.bar([str(star) for star in stars], [int(counts.get(star, 0)) for star in stars], color="#4c72b0")
    axes.bar_label(bars, fontsize=8)
    axes.set_title(f"Reviews by stars (n = {len(frame)})", fontsize=9)
    axes.margins(y=0.15)
    return picture(_png(figure), "reviews by stars")


def positive_share_by_month(frame: "pd.DataFrame") -> dg.MetadataValue:
    """The share of positive labels of each month, the sample size as the size of the dot."""
    positive = (frame["label"] == "positive").groupby(frame["month"], observed=True)
    months, shares, counts = list(positive.groups), positive.mean().tolist(), positive.size().tolist()
    figure, axes = _figure(max(4.2, 0.16 * len(months) + 2), 2.4)
    axes.axhspan(0.3, 0.9, color="#dfe8f3")
    axes.plot(range(len(months)), shares, color="#4c72b0", linewidth=1)
    axes.scatter(range(len(months)), shares, s=[4 + 0.08 * count for count in counts], color="#4c72b0")
    step = max(1, len(months) // 8)
    axes.set_xticks(range(0, len(months), step), list(months)[::step], fontsize=7, rotation=45)
    axes.set_ylim(0, 1)
    axes.set_title(f"Positive share by month (n = {sum(counts)}; band: what a version may have)", fontsize=8)
    return picture(_png(figure), "positive share by month")


def _figure(width: float, height: float) -> tuple["Figure", Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
