"""Each kind of file gives its headings and its text, and nothing else."""

from __future__ import annotations

import pytest

from trunkline_text import SUFFIXES, UnreadableFile
from trunkline_text.readers import decode, read_text

_MARKDOWN = """---
layout: x
---
# Guide *to* it

Intro with a [link](http://x.example) and `code`.

## Install

- first
- second
  continued

```python
x  =  1
```

| a | b |
|---|---|
| 1 | 2 |

<div>raw <b>HTML</b><script>evil()</script></div>

Setext
------
last ![image words](x.png)
"""


def test_markdown_keeps_structure_and_words() -> None:
    """Headings nest, items, code, tables and raw HTML leave their words, metadata and scripts do not."""
    page = read_text(_MARKDOWN, ".md", "guide.md")

    assert page.title == "Guide to it"
    assert [section.headings for section in page.sections] == [
        ("Guide to it",),
        ("Guide to it", "Install"),
        ("Guide to it", "Setext"),
    ]
    assert page.sections[0].blocks == ("Intro with a link and code.",)
    assert page.sections[1].blocks == (
        "- first",
        "- second\ncontinued",
        "x  =  1",
        "a | b",
        "1 | 2",
        "raw HTML",
    )
    assert page.sections[2].blocks == ("last image words",)


def test_a_title_outside_the_head_is_no_text() -> None:
    """HTML may leave out its head; the title is still a title and no section of its own."""
    page = read_text("<title>Web</title><h1>Leaks</h1><p>tracemalloc</p>", ".html", "short.html")

    assert page.title == "Web"
    assert [(section.headings, section.blocks) for section in page.sections] == [(("Leaks",), ("tracemalloc",))]


_HTML = """<!doctype html><html><head><title>The  page</title><style>p{}</style></head><body>
<nav><a href=/>home</a></nav><h1>Top</h1><p>One <b>bold</b> word.<br>And <!-- hidden --> more.</p>
<h2>Second</h2><ul><li>item <i>a</i></li><li>item b</li></ul><pre>def f():
    pass</pre><table><tr><th>k</th><td>v</td></tr></table>loose text<script>evil()</script></body></html>"""


def test_html_keeps_structure_and_drops_what_is_no_text() -> None:
    """Headings, paragraphs, items, code and table rows stay; navigation, styles, scripts and comments go."""
    page = read_text(_HTML, ".html", "a/page.html")

    assert page.title == "The page"
    assert [(section.headings, section.blocks) for section in page.sections] == [
        (("Top",), ("One bold word. And more.",)),
        (("Top", "Second"), ("- item a", "- item b", "def f():\n    pass", "k | v", "loose text")),
    ]


def test_html_may_nest_as_deep_as_it_likes() -> None:
    """A page of fifty thousand open tags is read without recursion."""
    page = read_text("<div>" * 5_000 + "deep" + "</div>" * 5_000, ".html", "deep.html")

    assert page.sections[0].blocks == ("deep",)


_RST = """
=====
Title
=====

Intro with :func:`os.path.join`, :ref:`a label <there>` and ``literal``.

Part
====

* item one
* item two

::

    code  here

.. note:: A note.

.. function:: spam(eggs)

   Describes spam.

.. include:: /etc/passwd

.. raw:: html

   <script>evil()</script>

.. csv-table:: t
   :file: /etc/hostname
"""


def test_rst_keeps_structure_and_reads_no_other_file() -> None:
    """Headings nest, Sphinx roles and directives leave their words, inclusion and raw output do not work."""
    page = read_text(_RST, ".rst", "doc.rst")

    everything = "\n".join(block for section in page.sections for block in section.blocks)
    assert page.title == "Title"
    assert [section.headings for section in page.sections] == [("Title",), ("Title", "Part")]
    assert page.sections[0].blocks == ("Intro with os.path.join, a label and literal.",)
    assert page.sections[1].blocks[:4] == ("- item one", "- item two", "code  here", "A note.")
    assert "Describes spam." in everything
    assert "root:" not in everything


def test_broken_rst_still_gives_its_text() -> None:
    """Errors in the markup are no reason to lose the document."""
    page = read_text("Title\n==\n\n*unclosed `broken_ \n\n.. bad::\n", ".rst", "x.rst")

    assert "unclosed" in "".join(block for section in page.sections for block in section.blocks)


def test_plain_text_is_paragraphs() -> None:
    """A text without markup takes its title from its name."""
    page = read_text("one\ntwo\n\n \n\nthree\n", ".txt", "notes/today.txt")

    assert page.title == "today"
    assert page.sections[0].blocks == ("one\ntwo", "three")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@pytest.mark.parametrize(
    "text", ["", " \n\t\n", "\ufeff", "x" * 100_000, "# \n\n## \n", "<", "\\", "=\n=\n=", "{" * 5000]
)
def test_odd_texts_do_no_harm(suffix: str, text: str) -> None:
    """Empty, huge and senseless texts are read by every reader."""
    read_text(text, suffix, f"odd{suffix}")


def test_bytes_become_text_or_a_reason() -> None:
    """A mark is dropped, line ends are made one kind, binary and broken bytes are told apart."""
    assert decode(b"\xef\xbb\xbfa\r\nb\rc") == "a\nb\nc"
    with pytest.raises(UnreadableFile, match="binary"):
        decode(b"PK\x03\x04\x00\x00")
    with pytest.raises(UnreadableFile, match=r"byte 3 \(line 2\)"):
        decode(b"ab\n\xff\xfe")
