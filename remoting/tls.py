"""TLS settings, with the keys of Java's `tls.config.file` (`TlsSystemConfig`, `TlsHelper`).

    tls.server.mode              disabled, permissive (default) or enforcing
    tls.server.need.client.auth  none (default), optional or require
    tls.server.{keyPath,keyPassword,certPath,authClient,trustCertPath}
    tls.client.{keyPath,keyPassword,certPath,authServer,trustCertPath}
    tls.test.mode.enable         true (default): self-signed server certificate, client trusts everybody
    tls.enable                   clients use TLS

Plain and encrypted peers share a port: a first byte of 0x16 begins a TLS handshake, and no frame does.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from remoting.errors import TlsConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TLS_CONFIG_FILE = "/etc/rocketmq/tls.properties"


class TlsMode(Enum):
    """What a server port takes."""

    DISABLED = "disabled"
    """Plain text only."""
    PERMISSIVE = "permissive"
    """Both."""
    ENFORCING = "enforcing"
    """TLS only."""


class ClientAuth(Enum):
    """Whether a server asks its clients for a certificate."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRE = "require"


_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRE: ssl.CERT_REQUIRED,
}


@attrs.frozen(kw_only=True)
class KeyFiles:
    """Where one side's key and trust lie; all PEM. Empty texts mean "none".

    Attributes:
        key_path: private key.
        key_password: of an encrypted key.
        cert_path: certificate chain.
        trust_cert_path: certificates of those whom this side trusts.
    """

    key_path: str = ""
    key_password: str = attrs.field(default="", repr=False)
    cert_path: str = ""
    trust_cert_path: str = ""


@attrs.frozen(kw_only=True)
class TlsSettings:
    """TLS of both sides.

    Attributes:
        mode: what server ports take.
        test_mode: self-signed server certificate; the client trusts everybody.
        enabled: whether clients use TLS.
        need_client_auth: whether the server asks for certificates.
        auth_client: whether the server verifies the certificates that clients show.
        auth_server: whether the client verifies the server.
        server, client: keys.
    """

    mode: TlsMode = TlsMode.PERMISSIVE
    test_mode: bool = True
    enabled: bool = False
    need_client_auth: ClientAuth = ClientAuth.NONE
    auth_client: bool = False
    auth_server: bool = False
    server: KeyFiles = attrs.field(factory=KeyFiles)
    client: KeyFiles = attrs.field(factory=KeyFiles)

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> TlsSettings:
        """Settings from the entries of a `tls.config.file`; other entries are ignored.

        Raises:
            TlsConfigError: names the key whose value is not allowed.
        """

        def flag(key: str, default: bool) -> bool:
            return properties[key].strip().lower() == "true" if key in properties else default

        def keys(side: str) -> KeyFiles:
            return KeyFiles(
                key_path=properties.get(f"tls.{side}.keyPath", "").strip(),
                key_password=properties.get(f"tls.{side}.keyPassword", "").strip(),
                cert_path=properties.get(f"tls.{side}.certPath", "").strip(),
                trust_cert_path=properties.get(f"tls.{side}.trustCertPath", "").strip(),
            )

        def choice(key: str, kind: type[TlsMode] | type[ClientAuth], default: str) -> TlsMode | ClientAuth:
            value = properties.get(key, default).strip().lower()
            try:
                return kind(value)
            except ValueError:
                allowed = ", ".join(each.value for each in kind)
                raise TlsConfigError(f"{key}={value}: allowed are {allowed}") from None

        mode = choice("tls.server.mode", TlsMode, "permissive")
        need_client_auth = choice("tls.server.need.client.auth", ClientAuth, "none")
        assert isinstance(mode, TlsMode)  # noqa: S101 - for the type checker
        assert isinstance(need_client_auth, ClientAuth)  # noqa: S101 - for the type checker
        return cls(
            mode=mode,
            test_mode=flag("tls.test.mode.enable", True),
            enabled=flag("tls.enable", False),
            need_client_auth=need_client_auth,
            auth_client=flag("tls.server.authClient", False),
            auth_server=flag("tls.client.authServer", False),
            server=keys("server"),
            client=keys("client"),
        )

    def server_context(self) -> ssl.SSLContext:
        """The context of server ports. Reads files, and makes a key in test mode: a few milliseconds.

        Raises:
            TlsConfigError: a file is missing or not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.test_mode:
            _load_self_signed(context)
            return context
        if not self.server.key_path or not self.server.cert_path:
            raise TlsConfigError(
                "tls.server.keyPath and tls.server.certPath are needed when tls.test.mode.enable=false"
            )
        _load_chain(context, self.server)
        if self.auth_client:
            _load_trust(context, self.server)
            context.verify_mode = _VERIFY[self.need_client_auth]
        return context

    def client_context(self) -> ssl.SSLContext:
        """The context of clients. Host names are not checked, as in Java: certificates name the cluster.

        Raises:
            TlsConfigError: a file is missing or not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        if self.test_mode or not self.auth_server:
            context.verify_mode = ssl.CERT_NONE
        elif self.client.trust_cert_path:
            _load_trust(context, self.client)
        else:
            context.load_default_certs()
        if not self.test_mode and self.client.cert_path and self.client.key_path:
            _load_chain(context, self.client)
        return context


def _load_chain(context: ssl.SSLContext, files: KeyFiles) -> None:
    try:
        context.load_cert_chain(files.cert_path, files.key_path, files.key_password or "")
    except (OSError, ssl.SSLError) as error:
        raise TlsConfigError(f"certificate {files.cert_path}, key {files.key_path}: {error}") from error


def _load_trust(context: ssl.SSLContext, files: KeyFiles) -> None:
    if not files.trust_cert_path:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(files.trust_cert_path)
    except (OSError, ssl.SSLError) as error:
        raise TlsConfigError(f"trusted certificates {files.trust_cert_path}: {error}") from error


def _load_self_signed(context: ssl.SSLContext) -> None:
    """A fresh P-256 key and a certificate for "rocketmq", in memory but for the moment of loading."""
    # Not at the top: importing it takes longer than everything else at the start of a process.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rocketmq")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    with tempfile.TemporaryDirectory(prefix="rocketmq-tls-") as directory:
        path = Path(directory, "self-signed.pem")
        path.touch(mode=0o600)
        path.write_bytes(pem)
        context.load_cert_chain(path)
