"""Markdown from data: what comes out is text, whatever went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from privrad.report import markdown, tables
from privrad.report.number import Number, Said

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NASTY = (
    "<script>alert(1)</script>",
    "[here](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "a | b | c",
    "`code` ``more``",
    "**bold** _it_ ~~gone~~",
    "1. first\n2. second",
    "- item\n\n# heading\n---\n",
    "=====",
    "&lt;b&gt; & <b>",
    "back\\slash \\| \\*",
    "<!-- comment -->",
    "| a |\n| - |\n| b |",
    "$x$ {{ name }} {% raw %}",
    "@someone #1 https://example.org www.example.org",
    "\u202egnp.exe \x00\x1b[0m\u2028two\x85lines",
)


def inline(text: str) -> list[Token]:
    """The pieces of a paragraph that the text must be."""
    block = PARSER.parse(text)
    assert [token.type for token in block] == ["paragraph_open", "inline", "paragraph_close"]
    return block[1].children or []


@pytest.mark.parametrize("text", NASTY)
def test_text_from_data_stays_text(text: str) -> None:
    pieces = inline(markdown.escape(text))
    assert {token.type for token in pieces} <= {"text", "text_special"}
    assert "".join(token.content for token in pieces).split() == markdown.flat(text).split()


@given(st.text(max_size=60))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    plain = markdown.flat(text)
    if plain.strip():
        pieces = inline("x " + markdown.escape(text))
        assert {token.type for token in pieces} <= {"text", "text_special"}
        assert "".join(token.content for token in pieces).rstrip() == f"x {plain}".rstrip()


@given(st.text(max_size=60))
def test_code_holds_any_text(text: str) -> None:
    plain = markdown.flat(text)
    if plain.strip():
        assert "\n" not in markdown.code(text)
        shown = "".join(token.content for token in inline(f"x{markdown.code(text)}x") if token.type != "html_inline")
        assert shown.replace("\n", " ") == f"x{plain}x"


@pytest.mark.parametrize("text", NASTY)
def test_a_cell_never_breaks_its_table(text: str) -> None:
    cells = [tables.Cell((text,)), tables.Cell(("1",), (text,), marked=True), tables.Cell((text,), code=True)]
    found = PARSER.parse(markdown.table(tables.table(text, ["a", text, "c"], [cells, cells], source=text)))
    kinds = [token.type for token in found]
    assert (kinds.count("th_open"), kinds.count("td_open"), kinds.count("tr_open")) == (3, 6, 3)
    html = [child.content for token in found for child in token.children or [] if child.type == "html_inline"]
    assert set(html) <= {"<code>", "</code>"}
    assert not any(child.type in ("link_open", "image") for token in found for child in token.children or [])


def test_numbers_are_shown_as_in_the_report() -> None:
    hidden = Number("<10", "chest/evaluate/metrics.csv", "images")
    table = tables.table("t", ["a", "b"], [[("x ", hidden), tables.Cell((Said("0.5"),), ("0.4 to 0.6",))]])
    assert markdown.table(table).splitlines()[-1] == "| x &lt;10 | 0.5 (0.4 to 0.6) |"


def test_a_table_without_rows_says_so() -> None:
    assert markdown.table(tables.table("Nothing here", ["a"], [])) == "Nothing here.\n\nNone."


def test_markup_is_taken_by_its_text() -> None:
    assert markdown.piece(Markup('<data class="n">0.8</data> &amp; more')) == "0.8 &amp; more"


def test_spaces_between_pieces_are_kept() -> None:
    assert markdown.text((" a ", "b", " ", Said("c"))) == " a b c"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match=r"3 is a int, no text; say it in words first"):
        markdown.piece(3)


def test_a_block_of_code_outlasts_its_backticks() -> None:
    token = PARSER.parse(markdown.block("print('```')\n", "python"))[0]
    assert (token.type, token.content, token.info) == ("fence", "print('```')\n", "python")


def test_a_blank_is_visible_and_names_who_fills_it_in() -> None:
    assert markdown.blank("the hospital", "a [name]") == r"*To be filled in by the hospital (a \[name\]):* ____"
