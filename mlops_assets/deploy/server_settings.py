"""The settings that a server was started with, as digests that nobody can read, and which of them have changed."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.files import replace_file
from mlops_assets.serving.options import BadOption, ServerOptions

_KEY = "settings.key"


@dataclass(frozen=True, eq=False)
class ServerSettings:
    """The present settings: the server's environment and the public address. `folder` is the service's own and holds
    the key of the digests, for its owner alone.

    Settings are passwords too, and many have few possible values: without the key a digest could be guessed. If the
    key is lost, every setting counts as changed.
    """

    folder: Path
    environment: Mapping[str, str]
    host: str = "127.0.0.1"

    def digests(self) -> dict[str, str]:
        """A digest of each setting that is not empty, to be kept with a server that starts with them."""
        path = self.folder / _KEY
        if not path.is_file():
            replace_file(path, secrets.token_bytes(32), mode=0o600)
        return self._digests(path.read_bytes())

    def differing(self, started_with: Mapping[str, str]) -> str:
        """The names of the settings that a server with these digests does not have; empty if it has all."""
        path = self.folder / _KEY
        present = self._digests(path.read_bytes() if path.is_file() else b"")
        return ", ".join(
            name for name in sorted({*present, *started_with}) if present.get(name) != started_with.get(name)
        )

    def _digests(self, key: bytes) -> dict[str, str]:
        values = {**self.environment, "HOST_ADDRESS": self.host}
        return {
            name: hmac.digest(key, f"{name}={value}".encode(), hashlib.sha256).hex()[:16]
            for name, value in sorted(values.items())
            if value
        }


def refuse_unusable(environment: Mapping[str, str], deploy_key: str, host: str) -> None:
    """Raise `BadOption` for what the server would refuse, and for keys without the one that a deployment asks with."""
    options = ServerOptions.from_environment(environment)
    options.refuse_open_host(host)
    digest = hashlib.sha256(deploy_key.encode()).hexdigest()
    if options.api_keys and digest not in options.api_keys.values():
        raise BadOption(
            f"API_KEYS is set and DEPLOY_KEY is {'none of its keys' if deploy_key else 'empty'}: a deployment could "
            "not ask its golden sentences, so set DEPLOY_KEY to a key that API_KEYS names by its sha256"
        )
