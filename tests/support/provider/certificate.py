"""A self-signed certificate, made with the `openssl` command."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {host}
[extensions]
subjectAltName = {kind}:{host}
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files; `cert` is also the bundle that makes clients trust it."""

    cert: Path
    key: Path


def self_signed(folder: Path, host: str = "127.0.0.1") -> Certificate:
    """A certificate for `host`, good for two days. The folder must exist."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "the openssl command is needed to make a certificate"
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    config = folder / "openssl.cnf"
    kind = "IP" if host.replace(".", "").isdigit() or ":" in host else "DNS"
    config.write_text(_CONFIG.format(host=host, kind=kind), encoding="utf-8")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-config", str(config), "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run([openssl, "req", "-x509", "-days", "2", *curve, *files], check=True, capture_output=True)
    return made
