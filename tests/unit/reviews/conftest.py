"""A file of reviews with given content, read or refused."""

import pytest

from mlops_assets.reviews.files.tables.cells import NoTable
from mlops_assets.reviews.files.tables.tables import Table, decode
from mlops_assets.reviews.files.tables.text import unpacked


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes, name: str = "reviews.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def decoded(content: str | bytes) -> Table:
    """What `read_table` does, but without a process for each workbook and each Parquet file."""
    content = content.encode() if isinstance(content, str) else content
    return decode(unpacked(content) if content.startswith(b"\x1f\x8b") else content)


@pytest.fixture
def read():
    return decoded


@pytest.fixture
def refusal():
    def refused(content: str | bytes) -> str:
        with pytest.raises(NoTable) as refused:
            decoded(content)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return refused
