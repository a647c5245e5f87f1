"""YAML that refuses a repeated key. PyYAML silently keeps the last of two equal keys."""

from collections.abc import Hashable
from typing import Any

import yaml


class _UniqueNames(yaml.SafeLoader):
    """The safe loader, which refuses a name that a mapping holds twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise yaml.YAMLError(
                        f"{key.value} stands twice, in line {seen[key.value]} and in line {line}: "
                        "keep one and write both contents there"
                    )
                seen[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The content of a YAML text; raises `yaml.YAMLError`, or `ValueError` where a day does not exist."""
    return yaml.load(text, Loader=_UniqueNames)  # noqa: S506  a safe loader
