from __future__ import annotations

import logging

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.labels import MAX_LABEL_LENGTH, Batch, format_of, label, render
from airflow_mapping_kit.partitions import piece_key
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES

PARTITION = {"origin": "EWR", "date": "2013-01-01"}


def shown_by_jinja(template: str) -> str:
    """Return the format that reaches the macro when Jinja renders the template."""
    received: list[str] = []

    class Macros:
        class mapping_kit:
            label = staticmethod(lambda text: received.append(text) or "rendered")

    assert jinja2.Environment().from_string(template).render(macros=Macros) == "rendered"
    return received[0]


SECRET = {"account": "a1", "Password": "hunter2"}


class TestHidden:
    @pytest.mark.parametrize(
        ("text", "mapped", "arguments", "shown"),
        [
            ("", {"account": SECRET}, {}, "Password=*f52fbd32b2b3/account=a1"),
            ("{account} {Password}", {"partition": SECRET}, {}, "a1 *f52fbd32b2b3"),
            ("{account} {Password}", {"partition": [SECRET, SECRET]}, {}, "a1 *f52fbd32b2b3 … a1 *f52fbd32b2b3"),
            ("{x}", {"x": SECRET}, {}, "{'account': 'a1', 'Password': '*f52fbd32b2b3'}"),
            ("{x[Password]}", {"x": SECRET}, {}, "*f52fbd32b2b3"),
            ("{x}", {"x": [SECRET]}, {}, "{'account': 'a1', 'Password': '*f52fbd32b2b3'}"),
            ("{api_token} {x}", {"x": 1}, {"api_token": "hunter2", "x": 2}, "*f52fbd32b2b3 1"),
            ("{conf[tokens][0]}", {"x": 1}, {"conf": {"tokens": ["hunter2"]}}, "*f52fbd32b2b3"),
            ("{token_n} {has_token} {token}", {"token_n": 5, "has_token": True, "token": None}, {}, "5 True None"),
            ("{missing}", {"x": SECRET}, {}, "Password=*f52fbd32b2b3/account=a1"),
        ],
    )  # fmt: skip
    def test_a_digest_is_shown_of_what_airflow_hides_by_its_name(self, text, mapped, arguments, shown):
        assert render(text, mapped, arguments) == shown

    def test_the_items_of_a_batch_are_no_exception(self):
        batch = Batch(1, 2, 2, ((piece_key({"x": SECRET}), {"x": SECRET}), ("a2", {"x": SECRET})))
        assert render("{Password}", {}, {}, batch=batch) == "items 1–2 of 2: *f52fbd32b2b3 … *f52fbd32b2b3"

    def test_a_deployment_hides_what_else_it_says(self):
        hidden = HIDDEN_NAMES | {"account"}
        assert render("{account}", {"x": SECRET}, {}, hidden=hidden) == "*f55ff16f66f4"
        assert render("{Password}", {"x": SECRET}, {}, hidden=frozenset()) == "hunter2"


class TestLabel:
    @pytest.mark.parametrize(
        "text",
        [
            "{origin} {date}",
            "",
            "it's {origin}",
            '"{origin}"',
            "a\nb\\n{x}",
            "{{}} %}} {{%",
            "é … 😀 {x}",
            "{o[customer][name]}",
            "{n:03d} {s!r}",
            "{{{{ {x} }}}}",
            "{{# no comment #}}",
        ],
    )
    def test_reaches_the_macro_as_it_was_written(self, text):
        assert shown_by_jinja(label(text)) == text

    @given(st.text())
    def test_reaches_the_macro_whatever_it_holds(self, text):
        text = text.replace("{", "{{").replace("}", "}}")
        assert shown_by_jinja(label(text)) == text

    def test_falls_back_to_the_map_index_where_the_plugin_is_not_loaded(self):
        class Macros: ...

        class TaskInstance:
            map_index = 7

        template = jinja2.Environment().from_string(label("{origin}"))
        assert template.render(macros=Macros, ti=TaskInstance) == "7"

    @pytest.mark.parametrize(
        "text", ["{origin", "origin}", "{!r}", "{}", "{0}", "{origin.__class__}", "{a[b].c}", None]
    )
    def test_that_is_no_format_is_refused_and_named_when_the_dag_is_parsed(self, text):
        with pytest.raises(PartitionError, match=r"^label\(") as error:
            label(text)
        assert repr(text) in str(error.value)


class TestRender:
    def test_takes_fields_from_the_mapped_partition(self):
        assert render("{origin} {date}", {"partition": PARTITION}, {}) == "EWR 2013-01-01"

    def test_takes_fields_from_the_arguments_where_the_partition_has_none(self):
        assert render("{model} {origin}", {"p": PARTITION}, {"model": "M1", "p": PARTITION}) == "M1 EWR"

    def test_prefers_the_partition_to_an_argument_of_the_same_name(self):
        assert render("{origin}", {"p": PARTITION}, {"origin": "argument"}) == "EWR"

    def test_without_a_format_gives_the_piece_key(self):
        assert render("", {"partition": PARTITION}, {}) == "date=2013-01-01/origin=EWR"

    def test_of_a_missing_field_gives_the_piece_key_and_one_warning_that_names_it(self, caplog):
        with caplog.at_level(logging.WARNING):
            assert render("{country}", {"partition": PARTITION}, {}) == "date=2013-01-01/origin=EWR"
        assert len(caplog.records) == 1
        message = caplog.records[0].getMessage()
        assert "'country'" in message
        assert "date, origin, partition" in message

    def test_of_a_batch_shows_its_first_and_its_last_item(self):
        batch = [{"origin": o, "date": "d"} for o in ("EWR", "JFK", "LGA")]
        assert render("{origin} {date}", {"items": batch}, {}) == "EWR d … LGA d"

    def test_of_a_batch_of_one_shows_its_item(self):
        assert render("{origin}", {"items": [PARTITION]}, {}) == "EWR"

    def test_of_a_list_of_one_key_shows_the_key(self):
        assert render("{keys}", {"keys": ["landing/a.csv"]}, {}) == "landing/a.csv"

    def test_of_a_list_of_keys_shows_the_first_and_the_last(self):
        assert render("{keys}", {"keys": ["a.csv", "b.csv", "c.csv"]}, {}) == "a.csv … c.csv"

    def test_takes_one_element_of_a_list(self):
        assert render("{pair[1]} of {pair[0]}", {"pair": ["EWR", "2013"]}, {}) == "2013 of EWR"
        assert render("{keys[0]}", {"keys": ["a.csv"]}, {}) == "a.csv"

    def test_replaces_what_breaks_a_page_or_a_database(self):
        assert render("{x}", {"x": "a\x00b\nc\u2028d\ud800e"}, {}) == r"a\x00b\nc\u2028d\ud800e"

    def test_never_evaluates_a_value(self):
        assert render("{x}", {"x": "{{ 1 + 1 }} {origin}"}, {}) == "{{ 1 + 1 }} {origin}"

    def test_cuts_a_long_label_at_250_characters_and_keeps_different_ones_apart(self):
        one, other = (render("{x}", {"x": "q" * 300 + end}, {}) for end in "ab")
        assert len(one) == MAX_LABEL_LENGTH
        assert one[:200] == "q" * 200
        assert one != other

    def test_leaves_a_label_of_250_characters_whole(self):
        assert render("{x}", {"x": "é" * 250}, {}) == "é" * 250

    def test_of_a_missing_field_of_a_strange_partition_is_shown_too(self):
        assert render("{nothing}", {"x": {1: "a", "b": 2}}, {})

    @given(
        st.sampled_from(["", "{x}", "{x[a]}", "{x:d}", "{p}", "{nothing}", "{x!s:>9999}"]),
        st.dictionaries(
            st.sampled_from(["x", "p", "items"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            ),
        ),
    )
    def test_never_raises_and_always_fits_its_column(self, text, mapped):
        shown = render(text, mapped, {})
        assert len(shown) <= MAX_LABEL_LENGTH
        shown.encode()


class TestFormatOf:
    @pytest.mark.parametrize(
        "text", ["", "{origin} {date}", 'a "quoted" {x[é]}', "{{ 1 }} \\ {x}", "🛫 {x}\n"]
    )
    def test_gives_back_the_text_that_label_was_given(self, text):
        assert format_of(label(text)) == text

    @pytest.mark.parametrize(
        "template",
        [
            None,
            "",
            "{{ ti.map_index }}",
            label("{x}") + " of mine",
            "{{ macros.mapping_kit.label('single') }}",
            "{{ macros.mapping_kit.label(text) }}",
        ],
    )
    def test_knows_no_text_of_somebody_elses_template(self, template):
        assert format_of(template) is None
