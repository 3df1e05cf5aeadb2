"""URLs of HTTP calls."""

import pytest

from service.http_url import HttpUrl, parse_http_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://erp.test", HttpUrl("http", "erp.test", 80, "/")),
        ("https://erp.test/a/b.json?c=d/e?f", HttpUrl("https", "erp.test", 443, "/a/b.json?c=d/e?f")),
        ("https://erp.test:8443/%C3%A5%2f", HttpUrl("https", "erp.test", 8443, "/%C3%A5%2f")),
        ("HTTPS://ERP.Test:443/Å b?c=å d&e=+#part", HttpUrl("https", "erp.test", 443, "/%C3%85%20b?c=%C3%A5+d&e=+")),
        ("http://erp.test?a=b", HttpUrl("http", "erp.test", 80, "/?a=b")),
        ("http://erp.test/a%2/%zz", HttpUrl("http", "erp.test", 80, "/a%252/%25zz")),
        ("http://erp.test/a/../b/./c/..", HttpUrl("http", "erp.test", 80, "/b/")),
        ("http://erp.test/../../a", HttpUrl("http", "erp.test", 80, "/a")),
        ("http://erp.test/a?b=/../c", HttpUrl("http", "erp.test", 80, "/a?b=/../c")),
        ("http://10.1.2.3:80/", HttpUrl("http", "10.1.2.3", 80, "/")),
        ("http://[FD00::1]:81/", HttpUrl("http", "fd00::1", 81, "/")),
        ("http://bücher.test/", HttpUrl("http", "xn--bcher-kva.test", 80, "/")),
        ("http://erp.test./", HttpUrl("http", "erp.test.", 80, "/")),
        ("http://my_host/", HttpUrl("http", "my_host", 80, "/")),
        ("http://us%40er:p%3Aw@erp.test/", HttpUrl("http", "erp.test", 80, "/", "us@er", "p:w")),
        ("http://erp.test/a\r\nb", HttpUrl("http", "erp.test", 80, "/ab")),
        ("http://erp.test/'\"<>\\^`{|}", HttpUrl("http", "erp.test", 80, "/'%22%3C%3E%5C%5E%60%7B%7C%7D")),
    ],
)
def test_url_is_parsed(text: str, url: HttpUrl) -> None:
    assert parse_http_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "erp.test", "//erp.test/", "ftp://erp.test/", "http://", "http:///a", "http://:80/", "http://[::1",
        "http://[::1]x/", "http://[v1.a]/", "http://erp.test:65536/", "http://erp.test:-1/", "http://erp.test:a/",
        "http://2130706433/", "http://127.1/", "http://127.0.0.1./", "http://0177.0.0.1/", "http://256.1.1.1/",
        "http://a b/", "http://a..b/", "http://.a/", "http://a%00b/", "http://a<b/", "http://\ud800/",
    ],
)  # fmt: skip
def test_unusable_url_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is partly that of Python
        parse_http_url(text)


@pytest.mark.parametrize(
    ("text", "host_header", "authority"),
    [
        ("http://erp.test:80/", "erp.test", "erp.test"),
        ("https://u:s3cret@erp.test.:80/", "erp.test:80", "erp.test.:80"),
        ("https://[::1]/", "[::1]", "[::1]"),
        ("https://[::1]:81/", "[::1]:81", "[::1]:81"),
    ],
)
def test_host_header_and_authority(text: str, host_header: str, authority: str) -> None:
    url = parse_http_url(text)
    assert (url.host_header, url.authority) == (host_header, authority)
