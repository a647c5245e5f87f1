"""The files in stack/made/: the door's logins and certificate, and the passwords of the database roles."""

import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mlops_assets.deploy.docker.gateway_config import require_pem
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.team_server.instance import PREDICTION_LOG, READER
from mlops_assets.team_server.required_settings import Login

LOGINS, ROLES, CERTIFICATE = "door/logins.cfg", "door/roles.map", "door/cert.pem"
PASSWORDS = {READER: "grafana/reader_password", PREDICTION_LOG: "prediction_log_password"}
"""By database role."""
_HASHED = re.compile(r"^  user (\S+) password (\S+) groups", re.MULTILINE)
_SELF_SIGNED_DAYS = 825
_ROUNDS = 1000
"""SHA-512 with few rounds: every UI request checks a password, and passwords made of words are refused."""


def write_logins(folder: Path, logins: Sequence[Login]) -> None:
    """Write the door's users by role, with hashes instead of passwords, and the roles alone for its log.

    A hash that fits its password stays: the door starts anew only if its files change.
    """
    target = folder / LOGINS
    kept = dict(_HASHED.findall(target.read_text(encoding="utf-8"))) if target.is_file() else {}
    roles = ("look", "operate", "grafana_admin")
    lines = ["userlist logins", *(f"  group {role}" for role in roles)]
    for login in logins:
        hashed = _fitting(login.password, kept.get(login.name))
        lines.append(f"  user {login.name} password {hashed} groups {login.role}")
    _write(target, "\n".join(lines) + "\n")
    _write(folder / ROLES, "".join(f"{login.name} {login.role}\n" for login in logins))


def write_certificate(folder: Path, certificate: Path | None) -> str | None:
    """Write `certificate`, or a self-signed one that is kept from then on. Returns a note about a self-signed one."""
    target = folder / CERTIFICATE
    if certificate is not None:
        pem = certificate.read_text(encoding="ascii")
        require_pem(pem, f"DOOR_CERTIFICATE {certificate}")
        _write(target, pem)
        return None
    if not target.is_file():
        created = subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", str(_SELF_SIGNED_DAYS), "-subj", "/CN=mlops-door", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "-", "-out", "-",
            ],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        _write(target, created.stdout)
    return "DOOR_CERTIFICATE is empty: the door uses a certificate made here, and browsers warn about it"


def passwords(folder: Path) -> dict[str, str]:
    """The passwords of the database roles, each created once."""
    for name in PASSWORDS.values():
        if not (folder / name).is_file():
            _write(folder / name, secrets.token_hex(24))
    return {role: (folder / name).read_text(encoding="ascii") for role, name in PASSWORDS.items()}


def _fitting(password: str, kept: str | None) -> str:
    """The hash `kept` if it is the password's, else a new one."""
    if kept and _hash(password, kept.removeprefix("$6$").rpartition("$")[0]) == kept:
        return kept
    return _hash(password, f"rounds={_ROUNDS}${secrets.token_hex(8)}")


def _hash(password: str, salt: str) -> str:
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "-stdin"], input=password, check=True, capture_output=True, text=True
    )
    return hashed.stdout.strip()


def _write(path: Path, text: str) -> None:
    """Leaves a file with this content as it is."""
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        replace_file(path, text, mode=0o600)
    except PermissionError as error:
        raise PermanentFailure(
            f"{path} cannot be written by user {os.getuid()}: the clone must belong to STACK_UID "
            f"(chown -R it, or set STACK_UID to its owner)"
        ) from error
