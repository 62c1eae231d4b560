"""Remove the parameters of a URL that only sign it, because a file with a new signature is the same file."""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEMES: Final = ("http", "https")

# by storage service: the documented parameters of a signed link, in lower case
_AWS_V4: Final = re.compile(r"x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token)")
_GOOGLE_V4: Final = re.compile(r"x-goog-(algorithm|credential|date|expires|signedheaders|signature)")
_ALIYUN_V4: Final = re.compile(
    r"x-oss-(signature-version|credential|date|expires|signature|security-token|additional-headers)"
)
_TENCENT: Final = re.compile(
    r"q-(sign-algorithm|ak|sign-time|key-time|header-list|url-param-list|signature)|x-cos-security-token"
)
_ALWAYS: Final = (_AWS_V4, _GOOGLE_V4, _ALIYUN_V4, _TENCENT)

_WITH: Final[tuple[tuple[frozenset[str], frozenset[str]], ...]] = (
    # AWS, version 2
    (frozenset({"awsaccesskeyid", "signature"}), frozenset({"awsaccesskeyid", "signature", "expires"})),
    # Google, version 2
    (frozenset({"googleaccessid", "signature"}), frozenset({"googleaccessid", "signature", "expires"})),
    # Aliyun, version 1
    (
        frozenset({"ossaccesskeyid", "signature"}),
        frozenset({"ossaccesskeyid", "signature", "expires", "security-token"}),
    ),
    # CloudFront, with a canned or a custom policy
    (frozenset({"key-pair-id", "signature"}), frozenset({"key-pair-id", "signature", "expires", "policy"})),
    # Azure's shared access signatures: short names, which mean this only beside a signature and its version
    (
        frozenset({"sig", "sv"}),
        frozenset(
            {"sv", "ss", "srt", "sp", "se", "st", "spr", "sig", "sip", "sr", "si"}
            | {"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid", "sdd", "ses"}
        ),
    ),
)
"""Names that sign only together: if all of the first set are present, those of the second set only sign."""


def without_signature(address: str) -> str:
    """Return a URL without its fragment and its signature, host in lower case and percent escapes decoded. Text that is
    no http(s) URL is returned unchanged."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if parts.scheme.lower() not in _SCHEMES or not parts.netloc:
        return address
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    signing = _signing({name.lower() for name, _ in pairs})
    rest = sorted((name, value) for name, value in pairs if name.lower() not in signing)
    query = "&".join(f"{name}={value}" for name, value in rest)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{unquote(parts.path)}" + (f"?{query}" if query else "")


def _signing(names: set[str]) -> set[str]:
    signing = {name for name in names if any(pattern.fullmatch(name) for pattern in _ALWAYS)}
    for required, signing_together in _WITH:
        if required <= names:
            signing |= names & signing_together
    return signing
