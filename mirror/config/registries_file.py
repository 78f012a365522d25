"""The schema of registries.yaml, checked by pydantic: the edge, and nothing else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from mirror.errors import SetupError

_MAX_ENTRIES = 1000


def _or_empty(kind: type[list[object]] | type[dict[str, object]] | type[str]) -> BeforeValidator:
    """`key:` with nothing behind it is the empty value, as in Go."""
    return BeforeValidator(lambda value: kind() if value is None else value)


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("a line break or control character")
    return text


def _base64_pair(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        if text and ":" not in base64.b64decode(text, validate=True).decode():
            raise ValueError("base64 of username:password")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("base64 of username:password") from error
    return secret


def _secret_line(secret: SecretStr) -> SecretStr:
    _one_line(secret.get_secret_value())
    return secret


Text = Annotated[
    str,
    _or_empty(str),
    Field(max_length=4096, coerce_numbers_to_str=True),
    AfterValidator(_one_line),
]
Secret = Annotated[
    SecretStr,
    BeforeValidator(lambda value: "" if value is None else str(value)),
    Field(max_length=65536),
    AfterValidator(_secret_line),
]


class _Model(BaseModel):
    # Keys that a later K3s may add are passed over, as K3s itself does.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class AuthModel(_Model):
    """`configs.<host>.auth`."""

    username: Text = ""
    password: Secret = SecretStr("")
    auth: Annotated[Secret, AfterValidator(_base64_pair)] = SecretStr("")
    identity_token: Secret = SecretStr("")

    @model_validator(mode="after")
    def _no_colon(self) -> AuthModel:
        if ":" in self.username:
            raise ValueError(
                "a username without a colon: basic authentication has no way to send it"
            )
        return self


class TlsModel(_Model):
    """`configs.<host>.tls`."""

    ca_file: Text = ""
    cert_file: Text = ""
    key_file: Text = ""
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _pair(self) -> TlsModel:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file together")
        return self


class ConfigModel(_Model):
    """`configs.<host>`."""

    auth: AuthModel | None = None
    tls: TlsModel | None = None


class MirrorModel(_Model):
    """`mirrors.<registry>`."""

    endpoint: Annotated[list[Text], _or_empty(list), Field(max_length=100)] = []
    rewrite: Annotated[dict[str, Text], _or_empty(dict), Field(max_length=100)] = {}


class RegistriesModel(_Model):
    """The file."""

    mirrors: Annotated[
        dict[str, Annotated[MirrorModel, _or_empty(dict)]],
        _or_empty(dict),
        Field(max_length=_MAX_ENTRIES),
    ] = {}
    configs: Annotated[
        dict[str, Annotated[ConfigModel, _or_empty(dict)]],
        _or_empty(dict),
        Field(max_length=_MAX_ENTRIES),
    ] = {}


def read_model(document: Mapping[str, object], source: str) -> RegistriesModel:
    """Checks the content of a registries.yaml.

    Raises:
        SetupError: It does not follow the schema; names the file and the key, never a secret.
    """
    try:
        return RegistriesModel.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ": ".join(str(part) for part in first["loc"])
        raise SetupError(f"{source}: {key}: {first['msg']}") from None
