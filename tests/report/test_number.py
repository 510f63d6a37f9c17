"""Every number on the page leads to the cell of the file that it came from."""

from pathlib import Path

import pytest
from markupsafe import Markup

from privrad.report import number, words
from privrad.report.number import Number
from privrad.report.tables import Cell, Given, table
from tests.report import reading, tree
from tests.report.test_report import written


@pytest.mark.parametrize("private", [False, True])
def test_every_number_is_that_of_its_file(private: bool, tmp_path: Path) -> None:
    built = tree.build(tmp_path, private=private, seeds="0, 1", budgets="0.29, 7.89, inf")
    page = reading.Page(written(built))
    files = reading.Files(built.results, built.study)
    looked_up = [one for one in page.numbers if one.column != "computed:composed_epsilon"]
    assert len(looked_up) > 2000
    hidden = [one for one in looked_up if one.text in number.NOT_SHOWN or one.text[0] in "<>"]
    assert {
        one.text: files.written(one) for one in looked_up if one not in hidden and one.text != files.written(one)
    } == {}
    assert not private or {"withheld", "<10", "too few"} <= {one.text for one in hidden}
    assert {one.kind for one in page.numbers} == ({"public", "suppressed", "epsilon"} if private else {"public"})


@pytest.mark.parametrize("private", [False, True])
def test_every_digit_is_a_number_or_said_to_be_none(private: bool, tmp_path: Path) -> None:
    built = tree.build(tmp_path, private=private, seeds="0, 1", budgets="0.29, inf", name="site_2")
    assert reading.Page(written(built)).bare == []
    assert reading.Page("<p>8 <code>9</code></p>").bare == ["8 "]


def test_what_numbers_share_stands_around_them() -> None:
    rows: list[list[Given]] = [
        [f"group {group}", *(one(f"0.{group}", row={"group": group, "metric": metric}) for metric in ("a", "b"))]
        for group in ("1", "2")
    ]
    body = table("caption", ["", "a", "b"], rows).body
    assert body.count("data-file") == body.count("data-form") == body.count("data-kind") == 1
    assert body.count("data-row") == 6
    page = reading.Page(f"<table>{body}</table>")
    assert [held.row for held in page.numbers] == [
        {"group": group, "metric": metric} for group in ("1", "2") for metric in ("a", "b")
    ]
    assert {(held.file, held.form, held.kind) for held in page.numbers} == {("x/y.csv", "auroc", "public")}


def test_a_number_unlike_those_around_it_says_so_itself() -> None:
    odd = Number("3", "x/z.json", "/a/0", form="count", kind="epsilon")
    body = table(
        "caption", ["", "", ""], [["name", one("0.1", row={"k": "v"}), Cell((odd, one("0.2", row={"k": "v"})))]]
    ).body
    page = reading.Page(f"<table>{body}</table>")
    assert [(held.file, held.row, held.form) for held in page.numbers] == [
        ("x/y.csv", {"k": "v"}, "auroc"),
        ("x/z.json", {}, "count"),
        ("x/y.csv", {"k": "v"}, "auroc"),
    ]


@pytest.mark.parametrize("value", ["a;b=c%", "[30,60)", "<b>\"quoted\" & 'so'", ""])
def test_any_key_comes_through(value: str) -> None:
    page = reading.Page(str(Markup("{}").format(one("0.1", row={"group": value, "metric": "auroc"}))))
    assert page.numbers[0].row == {"group": value, "metric": "auroc"}


def test_text_is_said_where_it_has_digits() -> None:
    assert number.joined([number.said("under 30"), " & ", number.said("female")]) == (
        "<span data-said>under 30</span> &amp; female"
    )


def test_a_hidden_value_is_shown_by_its_text() -> None:
    facts = {"split": "test", "column": "all", "value": "all", "images": float("nan"), "images_shown": "<10"}
    shown = number.of_table("x", "balance.csv", facts, "images", form="count", kind="suppressed")
    assert (shown.text, shown.row) == ("<10", frozenset({("split", "test"), ("column", "all"), ("value", "all")}))
    bare = number.of_table("x", "balance.csv", facts | {"images_shown": ""}, "images", form="count", kind="suppressed")
    assert bare.text == words.DASH


@pytest.mark.parametrize(
    ("value", "text", "said"),
    [("value", "withheld", "withheld"), ("mean", "too few", "too few"), ("value", "> 0.93", "withheld"),
     ("ours", "withheld", "withheld"), ("value", "", words.DASH)],
)  # fmt: skip
def test_what_goes_with_a_hidden_value_is_hidden_and_not_missing(value: str, text: str, said: str) -> None:
    facts = {"arm": "eps-1", value: float("nan"), f"{value}_shown": text, "sd": float("nan"), "n": 3}
    facts |= {"images": float("nan"), "images_shown": ""}
    told = {
        column: number.of_table("x", "seeds.csv", facts, column, form="count", kind="suppressed").text
        for column in ("sd", "n", "images")
    }
    assert told == {"sd": said, "n": "3", "images": words.DASH}


def test_a_json_key_is_escaped_in_its_pointer() -> None:
    assert number.of_json("x.json", ("a/b", "c~d", 0), 1.5, kind="public").column == "/a~1b/c~0d/0"


def one(text: str, *, row: dict[str, str]) -> Number:
    return Number(text, "x/y.csv", "value", frozenset(row.items()), "auroc", "public")
