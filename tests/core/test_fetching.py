"""The guard of what is fetched, and what becomes of it."""

from base64 import b64encode

import pytest
from yarl import URL

from core import addresses, fetching
from core.fetching import ForbiddenAddressError, Limits, Room
from core.media import Inline, MediaError, Wanted
from core.ports import Fetched

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PDF = b"%PDF-1.7\n"

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
)
PRIVATE = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "127.1",
    "0177.0.0.1",
    "0x7f000001",
    "2130706433",
    "localhost",
    "",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_asked(address: str):
    assert addresses.is_public(address)
    assert addresses.is_reachable(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_is_asked(address: str):
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("fd12::1", True),
        ("169.254.169.254", False),
        ("169.254.170.2", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost", False),
    ],
)
def test_with_private_addresses_allowed_the_clouds_secrets_stay_out(address: str, reachable: bool):
    assert addresses.is_reachable(address) is reachable


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://files.test/a.png?b=c", None),
        ("http://files.test:8080/", None),
        ("https://a_b.files.test./", None),
        ("https://bücher.test/", None),
        ("https://localhost/", None),
        ("http://0x7f.test/", None),
        ("https://8.8.8.8/a", "8.8.8.8"),
        ("https://[2606:4700:4700::1111]/", "2606:4700:4700::1111"),
        ("http://[::ffff:127.0.0.1]/", "::ffff:7f00:1"),
        ("http://127.0.0.1:65535/", "127.0.0.1"),
    ],
)
def test_a_host_is_a_name_to_resolve_or_an_address_to_check(url: str, address: str | None):
    fetching.check_url(url)
    found = checked(url)
    assert found == address or (found == "::ffff:127.0.0.1" and address == "::ffff:7f00:1")


def checked(url: str) -> str | None:
    target = URL(url, encoded=url.isascii())
    user = target.raw_user is not None or target.raw_password is not None
    return fetching.check_target(target.scheme, target.raw_host, target.port, has_user=user)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.test/",
        "file:///etc/passwd",
        "gopher://files.test:70/",
        "javascript:alert(1)",
        "//files.test/a.png",
        "/a.png",
        "",
        "https://",
        "https:///a.png",
        "https://user@files.test/",
        "https://user:password@files.test/",
        "https://:password@files.test/",
        "http://127.1/",
        "http://127.0.1/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://0x/",
        "http://2130706433/",
        "http://127.0.0.1./",
        "http://127.0.0.256/",
        "http://1.2.3.4.5/",
        "http://files.test:22/",
        "http://files.test:25/",
        "http://files.test:6/",
        "http://files.test:0/",
        "http://127%2e0%2e0%2e1/",
        "http://[fe80::1%25eth0]/",
        "http://exa$mple.test/",
        "http://-files.test/",
        "http://" + "a" * 254 + "/",
    ],
)
def test_what_is_no_plain_url_of_the_web_is_refused(url: str):
    with pytest.raises((ForbiddenAddressError, ValueError)):
        checked(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://files.test\\@127.0.0.1/",
        "https://files.test/a b",
        "https://files.test/a\r\nhost: 127.0.0.1",
        "https://files.test/\t",
        "https://files.test/\x7f",
        "\0https://files.test/",
    ],
)
def test_characters_that_parsers_disagree_about_are_refused(url: str):
    with pytest.raises(ForbiddenAddressError):
        fetching.check_url(url)


@pytest.mark.parametrize(
    ("before", "after", "followed", "goes"),
    [
        ("https", "https", 0, True),
        ("http", "https", 2, True),
        ("http", "http", 0, True),
        ("https", "http", 0, False),
        ("https", "https", 3, False),
    ],
)
def test_redirects_are_few_and_never_lose_encryption(
    before: str, after: str, followed: int, goes: bool
):
    if goes:
        fetching.check_redirect(before, after, followed, Limits())
    else:
        with pytest.raises(ForbiddenAddressError):
            fetching.check_redirect(before, after, followed, Limits())


def test_the_number_of_urls_is_limited():
    urls = [f"https://files.test/{number}" for number in range(21)]
    fetching.check_count(urls[:20], Limits())
    with pytest.raises(MediaError, match=r"^https://files.test/20 is one too many") as refused:
        fetching.check_count(urls, Limits())
    assert refused.value.url == urls[20]


def test_sizes_are_limited_for_each_and_for_all():
    room = Room(Limits(each=2 * fetching.MEGABYTE, total=3 * fetching.MEGABYTE))
    room.check("https://a.test", 2 * fetching.MEGABYTE)
    with pytest.raises(MediaError, match="larger than 2 MB"):
        room.check("https://a.test", 2 * fetching.MEGABYTE + 1)
    room.take("https://a.test", 2 * fetching.MEGABYTE, 2 * fetching.MEGABYTE)
    with pytest.raises(MediaError, match="together larger than 3 MB"):
        room.take("https://b.test", 2 * fetching.MEGABYTE, 2 * fetching.MEGABYTE)


@pytest.mark.parametrize(
    ("said", "data", "url", "found"),
    [
        ("image/png", PNG, "https://x.test/", "image/png"),
        ("image/jpeg", PNG, "https://x.test/", "image/png"),
        ("", b"\xff\xd8\xff\xe0", "https://x.test/", "image/jpeg"),
        ("", b"GIF87a", "https://x.test/", "image/gif"),
        ("text/plain", b"GIF89a", "https://x.test/", "image/gif"),
        ("", b"RIFF\0\0\0\0WEBPVP8 ", "https://x.test/", "image/webp"),
        ("", b"RIFF\0\0\0\0WAVEfmt ", "https://x.test/", "audio/wav"),
        ("", b"\0\0\0\x18ftypheic", "https://x.test/", "image/heic"),
        ("video/mp4", b"\0\0\0\x18ftypisom", "https://x.test/", "video/mp4"),
        ("application/octet-stream", PDF, "https://x.test/", "application/pdf"),
        ("image/jpg; q=1", b"?", "https://x.test/", "image/jpeg"),
        ("IMAGE/WEBP", b"?", "https://x.test/", "image/webp"),
        ("audio/mpeg", b"?", "https://x.test/", "audio/mp3"),
        ("image/png", b"\n <!DOCTYPE html>", "https://x.test/", "text/html"),
        ("", b"\xef\xbb\xbf<html>", "https://x.test/", "text/html"),
        ("text/plain", b"<html>", "https://x.test/", "text/plain"),
        ("binary/octet-stream", b"a,b", "https://x.test/a.csv?x=1", "text/csv"),
        ("", b"PK", "https://x.test/a.docx", DOCX := fetching.type_by_ending("https://x/a.docx")),
        ("", b"?", "https://x.test/a", ""),
        ("text/markdown; charset=utf-8", b"# a", "https://x.test/", "text/markdown"),
    ],
)
def test_a_type_is_told_by_the_bytes_then_by_the_server_then_by_the_name(
    said: str, data: bytes, url: str, found: str
):
    assert fetching.type_of(said, data, url) == found


URL_A = "https://x.test/a?signature=secret"


@pytest.mark.parametrize(
    ("wanted", "got", "inline"),
    [
        (
            Wanted(URL_A, "image"),
            Fetched("image/png", PNG),
            Inline("image", "image/png", b64encode(PNG).decode()),
        ),
        (
            Wanted(URL_A, "image"),
            Fetched("application/pdf", PDF),
            Inline("document", "application/pdf", b64encode(PDF).decode()),
        ),
        (
            Wanted(URL_A, "document"),
            Fetched("", PNG),
            Inline("image", "image/png", b64encode(PNG).decode()),
        ),
        (
            Wanted(URL_A, "document"),
            Fetched("text/html; charset=ISO-8859-1", "<p>é".encode("latin-1")),
            Inline("document", "text/plain", "<p>é"),
        ),
        (
            Wanted(URL_A, "document"),
            Fetched('text/csv; charset="utf-8"', "\ufeffé".encode()),
            Inline("document", "text/plain", "é"),
        ),
        (
            Wanted(URL_A, "document"),
            Fetched("text/plain; charset=unicode_escape", rb"\u00e9"),
            Inline("document", "text/plain", r"\u00e9"),
        ),
        (
            Wanted(URL_A, "document"),
            Fetched("application/json", b"{}"),
            Inline("document", "text/plain", "{}"),
        ),
        (
            Wanted("https://x.test/a.docx", "document"),
            Fetched("", b"PK"),
            Inline("document", DOCX or "", "UEs="),
        ),
        (
            Wanted(URL_A, "audio"),
            Fetched("audio/mpeg", b"ID3"),
            Inline("audio", "audio/mp3", "SUQz"),
        ),
        (Wanted(URL_A, "video"), Fetched("video/mp4", b"v"), Inline("video", "video/mp4", "dg==")),
    ],
)
def test_what_was_fetched_is_the_part_that_it_is(wanted: Wanted, got: Fetched, inline: Inline):
    assert fetching.opened([wanted, wanted], {wanted.url: got}) == {wanted.url: inline}


@pytest.mark.parametrize(
    ("wanted", "got", "why"),
    [
        (Wanted(URL_A, "image"), Fetched("image/png", b"<html>"), "is of the type text/html"),
        (Wanted(URL_A, "image"), Fetched("text/plain", b"a"), "is of the type text/plain"),
        (Wanted(URL_A, "image"), Fetched("video/mp4", b"a"), "is of the type video/mp4"),
        (
            Wanted("https://x.test/a.pdf", "document"),
            Fetched("text/html", b"<html>log in"),
            "is of the type text/html",
        ),
        (
            Wanted(URL_A, "document", "application/pdf"),
            Fetched("text/html", b"log in"),
            "is of the type text/html",
        ),
        (Wanted(URL_A, "document"), Fetched("application/zip", b"PK"), "application/zip"),
        (Wanted(URL_A, "document"), Fetched("audio/wav", b"a"), "audio/wav"),
        (Wanted(URL_A, "audio"), Fetched("image/png", PNG), "is no audio"),
        (Wanted(URL_A, "document"), Fetched("", b"?"), "does not say what type"),
        (Wanted(URL_A, "document"), Fetched("text/plain", b"\xff"), "is no text in UTF-8"),
        (
            Wanted(URL_A, "image"),
            Fetched("evil\n<script>/" + "x" * 500, b"?"),
            r"type evil\?\?script\?/x{66}, which",
        ),
    ],
)
def test_what_is_of_another_type_is_refused(wanted: Wanted, got: Fetched, why: str):
    with pytest.raises(MediaError, match=why) as refused:
        fetching.opened([wanted], {wanted.url: got})
    assert refused.value.status == 400
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("wanted", "inline"),
    [
        (Wanted(URL_A, "image"), ("image", "image/png")),
        (Wanted("https://x.test/a.gif", "image"), ("image", "image/gif")),
        (Wanted(URL_A, "document"), ("document", "application/pdf")),
        (Wanted("https://x.test/a.txt", "document"), ("document", "text/plain")),
        (Wanted(URL_A, "video"), ("video", "video/mp4")),
    ],
)
def test_an_explanation_has_a_note_in_the_place_of_the_bytes(
    wanted: Wanted, inline: tuple[str, str]
):
    found = fetching.note(wanted)
    assert (found.kind, found.media_type) == inline
    assert found.data.startswith("(fetched from https://x.test/a")
    assert "secret" not in found.data
