"""A file of reviews with given content, read or refused."""

import pytest

from mlops_assets.reviews.files.tables.tables import UnreadableFile, read_table


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes, name: str = "reviews.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def read(written):
    return lambda content: read_table(written(content))


@pytest.fixture
def refusal(written):
    def refused(content: str | bytes) -> str:
        path = written(content)
        with pytest.raises(UnreadableFile) as refused:
            read_table(path)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return refused
