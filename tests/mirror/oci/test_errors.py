from __future__ import annotations

import json

import pytest

from mirror.oci import errors
from mirror.oci.errors import OciError

CODES = {
    "BLOB_UNKNOWN": 404, "MANIFEST_UNKNOWN": 404, "NAME_UNKNOWN": 404, "NAME_INVALID": 400,
    "DIGEST_INVALID": 400, "UNAUTHORIZED": 401, "DENIED": 403, "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 503,
}  # fmt: skip


def subclasses() -> list[type[OciError]]:
    return [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, OciError) and each is not OciError
    ]


@pytest.mark.parametrize("kind", subclasses(), ids=lambda kind: kind.__name__)
def test_body_is_the_specification_s_document(kind: type[OciError]) -> None:
    error = kind('it is "gone"\n', headers={"X": "y"})
    assert json.loads(error.body()) == {"errors": [{"code": kind.code, "message": str(error)}]}
    assert error.headers == {"X": "y"}


def test_codes_go_out_with_their_status() -> None:
    found = {kind.code: kind.status for kind in subclasses() if kind.code != "RANGE_INVALID"}
    assert found == CODES
    assert {errors.RangeMalformed.status, errors.RangeNotSatisfiable.status} == {400, 416}


def test_what_nobody_foresaw_is_500() -> None:
    assert (OciError("x").status, OciError("x").code) == (500, "UNKNOWN")
