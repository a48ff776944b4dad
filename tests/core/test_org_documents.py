"""Where an organisation's document is kept: a name of its own, which can be read back."""

from itertools import product

import pytest

from core import org_documents

PREFIX = org_documents.secret_prefix("stack")
LETTERS = ["a", "A", "=", "41", "/", ".", "-", " ", "\\", "é", "e\u0301", "\u2028", "🦆"]


def test_no_two_names_share_a_place_and_each_is_read_back():
    names = {"".join(letters) for letters in product(LETTERS, repeat=3)}
    secrets = {org_documents.secret_name(PREFIX, name) for name in names}
    files = {(org_documents.file_name(name) or "").lower() for name in names}
    assert len(secrets) == len(files) == len(names)
    assert {org_documents.org_of_secret(PREFIX, secret or "") for secret in secrets} == names
    assert {org_documents.org_of_file(org_documents.file_name(n) or "") for n in names} == names


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 600, "🦆" * 200])
def test_a_name_that_fits_nowhere_has_no_place(name: str):
    assert org_documents.secret_name(PREFIX, name) is None
    assert org_documents.file_name(name) is None


@pytest.mark.parametrize("name", ["stack/org/=41", "stack/org/=c3", "stack/org/", "other/org/a"])
def test_a_secret_that_we_would_not_have_named_so_is_none_of_ours(name: str):
    assert org_documents.org_of_secret(PREFIX, name) is None
