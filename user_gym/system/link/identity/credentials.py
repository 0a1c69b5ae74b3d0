"""Identity as gRPC wants it, and as it gives it back. TLS 1.3 is what both ends of ours agree on; below 1.2 is refused.

grpcio 1.85 has no option that makes 1.3 the least: docs/link.md says so.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Sequence
from typing import Any

from user_gym.errors import MissingExtra
from user_gym.system.link.identity.authority import Authority
from user_gym.system.link.identity.bundle import Bundle

try:
    import grpc
    from grpc import aio
except ImportError as error:
    raise MissingExtra("grpcio", "link") from error

_TOKEN, _BEARER = "authorization", "Bearer "


def of_edge(bundle: Bundle) -> grpc.ChannelCredentials:
    """TLS that trusts the bundle's authority alone, and shows the edge's certificate to a hub that asks for one."""
    return grpc.ssl_channel_credentials(bundle.authority.encode(), bundle.key.encode(), bundle.certificate.encode())


def metadata(bundle: Bundle) -> Sequence[tuple[str, str]]:
    """What else says who an edge is; sent inside TLS alone."""
    return ((_TOKEN, f"{_BEARER}{bundle.token}"),)


def of_hub(authority: Authority, hosts: Sequence[str], mutual: bool) -> grpc.ServerCredentials:
    """TLS with a certificate for these hosts, made now; `mutual`: nobody without a certificate of the authority comes in."""
    issued = authority.for_hub(hosts)
    return grpc.ssl_server_credentials(
        [(issued.key, issued.certificate)], authority.pem if mutual else None, require_client_auth=mutual
    )


def token_of(context: aio.ServicerContext[Any, Any]) -> str | None:
    """The token that a caller shows."""
    for name, value in context.invocation_metadata() or ():
        if name == _TOKEN and isinstance(value, str) and value.startswith(_BEARER):
            return value.removeprefix(_BEARER)
    return None


def fingerprint_of(context: aio.ServicerContext[Any, Any]) -> str | None:
    """SHA-256 of the certificate that TLS has verified; None where the hub asks for none."""
    shown = next(iter(context.auth_context().get("x509_pem_cert") or ()), None)
    return None if shown is None else hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown.decode("ascii"))).hexdigest()


def hosts_of(address: str) -> Sequence[str]:
    """The host of an address that is listened at, where a certificate can say it."""
    host = address.rpartition(":")[0].strip("[]")
    return () if host in ("", "0.0.0.0", "::") else (host,)
