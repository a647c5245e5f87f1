"""The names that people gave topics, in `topics.yaml`: `negative-3: Login and codes`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from mlops_assets.failures import BadSetting
from mlops_assets.params.file import read_yaml
from mlops_assets.reviews.topics.stored import StoredTopics

FILE = "topics.yaml"
_ID = re.compile(r"(negative|positive)-([1-9]\d{0,5})")
_LONGEST = 60


def read_names(path: Path, given: Mapping[str, int]) -> dict[str, str]:
    """Names by topic id; empty without a file. `given` says how many ids each sentiment ever had.

    An id whose topic is gone keeps its name here: nobody has to edit the file when topics change. Raises `BadSetting`.
    """
    try:
        content: Any = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSetting(f"{path} cannot be read: {error}".replace("\n", " ")) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadSetting(f"{FILE} must name topics, one a line, such as negative-3: Login and codes, got {content!r}")
    for topic, name in content.items():
        known = _ID.fullmatch(str(topic))
        if not known or int(known[2]) > given.get(known[1], 0):
            shown = ", ".join(f"{sentiment}-1 to {sentiment}-{count}" for sentiment, count in given.items() if count)
            raise BadSetting(
                f"{FILE} names {topic}, which was never a topic; known are {shown or 'none yet'}: the page of the "
                "asset topics and the overview list them"
            )
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST:
            raise BadSetting(f"{FILE}: {topic} must be text of 1 to {_LONGEST} characters, got {name!r}")
    return {str(topic): name.strip() for topic, name in content.items()}


def named(about: StoredTopics, path: Path, given: Mapping[str, int]) -> StoredTopics:
    """The topics with the names of the file; raises `BadSetting`."""
    names = read_names(path, given)
    return replace(about, topics=[replace(topic, name=names.get(topic.id, "")) for topic in about.topics])
