"""Names of the `language` header field; the index is the byte of a binary header (Java: `LanguageCode`)."""

from typing import Final, Literal

LANGUAGES: Final = (
    "JAVA",
    "CPP",
    "DOTNET",
    "PYTHON",
    "DELPHI",
    "ERLANG",
    "RUBY",
    "OTHER",
    "HTTP",
    "GO",
    "PHP",
    "OMS",
    "RUST",
    "NODE_JS",
)

LanguageName = Literal[
    "JAVA",
    "CPP",
    "DOTNET",
    "PYTHON",
    "DELPHI",
    "ERLANG",
    "RUBY",
    "OTHER",
    "HTTP",
    "GO",
    "PHP",
    "OMS",
    "RUST",
    "NODE_JS",
]

OTHER: Final = "OTHER"
ORDINALS: Final[dict[str, int]] = {name: ordinal for ordinal, name in enumerate(LANGUAGES)}
_BY_BYTE: Final[tuple[str, ...]] = LANGUAGES + (OTHER,) * (256 - len(LANGUAGES))


def name_of(ordinal: int) -> str:
    """The name for the byte (0 to 255) of a binary header; unknown ones are "OTHER"."""
    return _BY_BYTE[ordinal & 0xFF]
