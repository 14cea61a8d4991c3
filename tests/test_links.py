"""Links in text and HTML."""

import pytest

from pysmtpd.links import links_in_html, links_in_text


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("Go to https://example.org/reset?token=a-b_c&x=1#top.", ["https://example.org/reset?token=a-b_c&x=1#top"]),
        ("(see http://example.org/a_(b)), or <http://example.org/c>!", ["http://example.org/a_(b)", "http://example.org/c"]),
        ("HTTPS://EXAMPLE.ORG, mailto:a@example.org; ftp://f.example/", ["HTTPS://EXAMPLE.ORG", "mailto:a@example.org", "ftp://f.example/"]),
        ("http://[::1]:8000/x?y[]=1", ["http://[::1]:8000/x?y[]=1"]),
        ("http:// nothing, xhttp://example.org and example.org neither", []),
        ('"https://münchen.example/ü"', ["https://münchen.example/ü"]),
    ],
)  # fmt: skip
def test_links_in_text(text, links):
    assert list(links_in_text(text)) == links


@pytest.mark.parametrize(
    ("html", "links"),
    [
        ('<a href="https://example.org/?a=1&amp;b=2">here</a>', ["https://example.org/?a=1&b=2"]),
        ("<A HREF=/relative>x</A><a href='#top'>up</a><a href>none</a>", ["/relative"]),
        ('<img src="http://example.org/i.png"><form action="http://example.org/f"><area href="http://example.org/a">',
         ["http://example.org/i.png", "http://example.org/f", "http://example.org/a"]),
        ("<p>or write out http://example.org/out.</p>", ["http://example.org/out"]),
        ("<style>@import 'http://example.org/css'</style><script>'http://example.org/js'</script>http://example.org/seen", ["http://example.org/seen"]),
        ("<!-- <a href='http://example.org/hidden'> --><p>nothing", []),
        ("x" * 20_000 + "1 < 2 <a href='http://example.org/long'>", ["http://example.org/long"]),
    ],
)  # fmt: skip
def test_links_in_html(html, links):
    assert links_in_html(html) == links
