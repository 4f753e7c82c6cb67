from __future__ import annotations

import pickle

import pytest

from airflow_mapping_kit.exceptions import MappingKitError, SelectionError
from airflow_mapping_kit.partitions import date_range, partition_key, product
from airflow_mapping_kit.partitions.selection import Selection, selection_of, selections_of

DAYS = date_range("2013-01-01", "2013-03-31")
ORIGINS = ["EWR", "JFK", "LGA"]
PLAN = product(date=DAYS, origin=ORIGINS)
HOURS = date_range("2024-11-03T00", "2024-11-03T02", every="hour", timezone="America/New_York")


def chosen(text, values, name="x"):
    selection = Selection.parse(text)
    return [value for value in values if selection.matches({name: value})]


class TestPeriods:
    @pytest.mark.parametrize(
        ("item", "first", "last"),
        [
            ("2013-01-05..2013-01-07", "2013-01-05", "2013-01-07"),
            ("2013-01..2013-02-03", "2013-01-01", "2013-02-03"),
            ("2013-01-30..2013-02", "2013-01-30", "2013-02-28"),
            ("..2013-W01", "2013-01-01", "2013-01-06"),
            ("2013-03-30..", "2013-03-30", "2013-03-31"),
            ("2013-Q1", "2013-01-01", "2013-03-31"),
            ("2013", "2013-01-01", "2013-03-31"),
            ("2013-02", "2013-02-01", "2013-02-28"),
            ("2013-W05", "2013-01-28", "2013-02-03"),
            ("2013-01-31", "2013-01-31", "2013-01-31"),
            ("2013-01-31T23..2013-02-01T00", "2013-01-31", "2013-02-01"),
        ],
    )
    def test_a_period_covers_all_its_days_alone_and_as_a_bound(self, item, first, last):
        assert chosen(f"x={item}", DAYS) == DAYS[DAYS.index(first) : DAYS.index(last) + 1]

    @pytest.mark.parametrize("every", ["day", "week", "month", "quarter", "year"])
    def test_a_range_selects_what_date_range_makes_of_it(self, every):
        values = date_range("2012-01-01", "2014-12-31", every=every)
        assert chosen("x=2012-12-30..2013-02-03", values) == date_range(
            "2012-12-30", "2013-02-03", every=every
        )

    def test_hours_shown_twice_are_told_by_their_offset_and_meant_both_without(self):
        assert HOURS == [
            "2024-11-03T00-0400",
            "2024-11-03T01-0400",
            "2024-11-03T01-0500",
            "2024-11-03T02-0500",
        ]
        assert chosen("x=2024-11-03T01-0500..", HOURS) == HOURS[2:]
        assert chosen("x=..2024-11-03T01-0400", HOURS) == HOURS[:2]
        assert chosen("x=2024-11-03T01", HOURS) == HOURS[1:3]
        assert chosen("x=2024-11-03T01-0400", HOURS) == HOURS[1:2]
        assert chosen("x=2024-11-03", HOURS) == HOURS

    def test_half_hours_of_a_zone_are_in_the_order_of_the_clock(self):
        hours = date_range("2024-04-07T01", "2024-04-07T02", every="hour", timezone="Australia/Lord_Howe")
        assert hours == ["2024-04-07T01+1100", "2024-04-07T01+1030", "2024-04-07T02+1030"]
        assert chosen("x=2024-04-07T01+1030..", hours) == hours[1:]

    def test_an_hour_without_offset_in_a_plan_is_of_utc(self):
        hours = date_range("2013-01-01T00", "2013-01-01T05", every="hour")
        assert chosen("x=2013-01-01T03+0100..2013-01-01T04+0100", hours) == hours[2:4]
        assert chosen("x=2013-01-01T02..2013-01-01T03", hours) == hours[2:4]

    def test_the_calendars_ends_are_no_error(self):
        assert chosen("x=9999", ["9999-12-31", "9999-W52", "9999-12-31T23", "9999-12-31T23-1200"])
        assert chosen("x=..0001-01-01T00+2300", ["0001-01-01T00+2300"]) == ["0001-01-01T00+2300"]

    def test_what_is_no_period_lies_in_no_range_of_periods(self):
        assert chosen("x=2013-01..", ["2013-01-05", "unknown", "", None, "20130105"]) == ["2013-01-05"]

    def test_in_quotes_a_period_is_a_text_like_any(self):
        values = ["2013", "2013-01", "2013-01-01"]
        assert chosen('x="2013-01"', values) == ["2013-01"]
        assert chosen('x="2013-01"..', values) == ["2013-01", "2013-01-01"]
        assert chosen("x=2013-01", values) == ["2013", "2013-01", "2013-01-01"]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "values", "selected"),
        [
            ("x=2..10", ["1", "2", "9", "10", "11", "2x"], ["2", "9", "10"]),
            ("x=-1.5..1e1", [-2, -1.5, 0, 10, 10.5, "7"], [-1.5, 0, 10, "7"]),
            ("x=1..2a", ["1", "10", "2", "3", "2b"], ["1", "10", "2"]),
            ("x=a..c", ["a", "b", "bb", "c", "ca", "B"], ["a", "b", "bb", "c"]),
            ('x="10".."9"', ["10", "2", "9", "95"], ["10", "2", "9"]),
            (
                "x=1999..2001",
                ["1999", "2000-06", "2001-12-31", "2002", "2000.5", "99"],
                ["1999", "2000-06", "2001-12-31", "2000.5"],
            ),
            ("x=1", ["1", "1.0", "01", 1, True], ["1", 1]),
            ("x=true", ["true", True, 1], ["true", True]),
            ("x=E*", ["EWR", "E", "e", "JE", None, ""], ["EWR", "E"]),
            ("x=?", ["a", "ab", "", "🛫", "\n"], ["a", "🛫", "\n"]),
            ("x=*a*b*", ["ab", "xaxbx", "ba", "aab"], ["ab", "xaxbx", "aab"]),
            ("x=ab*ba", ["aba", "abba", "abxba"], ["abba", "abxba"]),
            ("x=*", ["a", "", None], ["a", ""]),
            ('x="*"', ["*", "a"], ["*"]),
            ('x="a*"*', ["a*", "a*b", "ab"], ["a*", "a*b"]),
            (
                "x=NULL",
                [None, "__HIVE_DEFAULT_PARTITION__", "NULL", "null"],
                [None, "__HIVE_DEFAULT_PARTITION__"],
            ),
            ('x="NULL"', [None, "NULL"], ["NULL"]),
            ("x=%4EULL", [None, "NULL"], ["NULL"]),
            ("x!=a", ["a", "b", None], ["b", None]),
            ("!x=a", ["a", "b", None], ["b", None]),
            ("x!=NULL", ["a", None], ["a"]),
            ('x="a, ""b"".. =c"', ['a, "b".. =c', "a"], ['a, "b".. =c']),
            ('x=""', ["", "a", None], [""]),
            ("x=New%20York,a%2Cb", ["New York", "a,b", "a"], ["New York", "a,b"]),
            ("x=100%,5%zz", ["100%", "5%zz"], ["100%", "5%zz"]),
            ("x=Zürich,東京", ["Zürich", "東京", "Zurich"], ["Zürich", "東京"]),
            ("x=a/b,http://c", ["a/b", "http://c"], ["a/b", "http://c"]),
            ("x=a* x=*b", ["ab", "a", "b", "axb"], ["ab", "axb"]),
            ("x=1.. x!=3", ["0", "1", "3", "4"], ["1", "4"]),
        ],
    )
    def test_selects(self, text, values, selected):
        assert chosen(text, values) == selected


class TestTerms:
    def test_every_term_has_to_be_true(self):
        found = Selection.parse("origin=EWR,JFK date=2013-01-01..2013-01-31")
        assert [one for one in PLAN if found.matches(one)] == product(
            date=date_range("2013-01-01", "2013-01-31"), origin=["EWR", "JFK"]
        )

    def test_nothing_selects_all(self):
        for text in ("", "  \n\t "):
            assert not Selection.parse(text)
            assert all(map(Selection.parse(text).matches, PLAN))

    def test_words_are_looked_for_in_label_key_and_values_in_any_case(self):
        partition = {"path": "in/Straße", "n": 7}
        for text in ("STRASSE", "in/", "path=in%2Fstr", "my label", "LAB*L", "zz,label", "n=7/pa"):
            # A word with an `=` or a space is quoted, or it would be a term of its own.
            word = text if "=" not in text and " " not in text else f'"{text}"*'
            assert Selection.parse(word).matches(partition, "My Label"), text
            assert not Selection.parse(f"!{word}").matches(partition, "My Label"), text
        assert not Selection.parse("label").matches(partition)
        assert Selection.parse("in label").matches(partition, "label")
        assert not Selection.parse("label zz").matches(partition, "label")

    @pytest.mark.parametrize(
        "partition",
        [
            {"date": "2013-01-01", "origin": "EWR"},
            {"city": "New York", "date": "2013-01-01"},
            {"a": "x,y", "b": "!*?..%\"'/=", "c": None},
            {"a": "NULL", "b": "2013-01"},
            {"a": "x, b", "b": True, "c": 1.5},
            {"country": "日本", "a/b": "..", "=": ","},
            {"k": "v" * 500, "l": "w"},
        ],
    )
    def test_a_key_as_it_is_printed_selects_its_partition_alone(self, partition):
        key = partition_key(partition)
        others = [{**partition, name: "other"} for name in partition]
        others += [{**partition, "date": "2013-01-01T05"}] if "date" in partition else []
        quoted = '"' + key.replace('"', '""') + '"'
        for text in (quoted, f"{quoted},zzzz", *([key] if ".." not in key and '"' not in key else [])):
            selection = Selection.parse(text)
            assert selection.matches(partition), text
            assert not any(map(selection.matches, others)), text
            assert Selection.parse(str(selection)) == selection

    def test_keys_in_a_list_are_any_of_them(self):
        some = [PLAN[5], PLAN[77], PLAN[200]]
        for comma in (",", '","'):
            text = comma.join(map(partition_key, some))
            selection = Selection.parse(text if comma == "," else f'"{text}"')
            assert [one for one in PLAN if selection.matches(one)] == some
            assert [one for one in PLAN if Selection.parse(f"!{selection}").matches(one)] == [
                one for one in PLAN if one not in some
            ]
        assert chosen("x=a,x=c", ["a", "b", "c"]) == ["a", "c"]

    def test_a_digest_in_a_key_stands_for_the_hidden_value(self):
        hidden = {"date": "2013-01-01", "token": "*8cf3ebbdacdd"}
        assert Selection.parse("date=2013-01-01/token=*8cf3ebbdacdd").matches(hidden)

    @pytest.mark.parametrize(
        "text", ["orign=EWR", "orign!=EWR", "date=2013-01-01/orign=EWR", "origin=EWR orign=*"]
    )
    def test_an_unknown_dimension_is_an_error_that_names_the_known_ones(self, text):
        selection = Selection.parse(text)
        for asked in (
            lambda: selection.matches(PLAN[0]),
            lambda: selection.cells([("date", DAYS), ("origin", ORIGINS)]),
        ):
            with pytest.raises(
                SelectionError, match="no dimension 'orign' in these partitions: they have date, origin"
            ):
                asked()


class TestErrors:
    def test_what_only_looks_like_a_date_can_be_quoted(self):
        selection = Selection.parse('period="2024-13"')
        assert str(selection) == 'period="2024-13"'
        assert selection.matches({"period": "2024-13"})
        assert Selection.parse("period=2024-13/origin=EWR").matches({"period": "2024-13", "origin": "EWR"})

    @pytest.mark.parametrize(
        ("text", "position", "said"),
        [
            ("a=", 2, "nothing stands after 'a='"),
            ("b=1 a= x", 6, "nothing stands after 'a='"),
            ("=b", 0, "no dimension"),
            ("origin = EWR", 7, "without spaces"),
            ("a=1,", 3, "comma has nothing beside it"),
            ("a=,1", 2, "comma has nothing beside it"),
            ("a=1,,2", 4, "comma has nothing beside it"),
            (",", 0, "comma has nothing beside it"),
            ("a=b=c", 3, "second '='"),
            ('x=1 "y', 4, "never closed"),
            ('"y""', 0, "never closed"),
            ("a=1..2..3", 6, "one '..'"),
            ("a=1...3", 5, "two dots"),
            ("a=..", 2, "without bounds"),
            ("a=x,9..10,2..1", 10, "swap them"),
            ("a=2013-02..2013-01", 2, "swap them"),
            ("date=2013-02-30..", 5, "'2013-02-30' is no date"),
            ("date=2013-01-01..2013-1-9", 17, "'2013-1-9' is no date"),
            ("date=2024-13", 5, "'2024-13' is no date: write '2013-01-31', "),
            ("a=1 date!=2024-01,2024-02-30", 18, "'2024-02-30' is no date"),
            ("date=2024-W54", 5, "or put it into quotes if it is text"),
            ("2013-01..2013-02", 7, "needs a dimension"),
            ("a=x*..y", 3, "no wildcards"),
            ("a=NULL..", 2, "NULL is no bound"),
            ("x !", 3, "after '!'"),
            ("a>=3", 1, "two dots"),
            ("a=1/b=*", 6, "names one partition"),
            ("a=1..2/b=3", 3, "names one partition"),
            ("a=1/b=2/a=3", 8, "twice"),
            ("a=1//b=2", 7, "no 'dimension=value'"),
            ("a=1/b=", 6, "nothing stands after '='"),
            ("EWR,date=1", 3, "','"),
            ('x ""', 2, "the empty text"),
        ],
    )
    def test_name_the_character_and_the_remedy(self, text, position, said):
        with pytest.raises(SelectionError, match=r"at character \d") as error:
            Selection.parse(text)
        assert (error.value.position, error.value.text) == (position, text)
        assert said in error.value.said
        assert f"character {position + 1}," in str(error.value)

    def test_show_the_place_of_a_long_selection_only(self):
        text = f"{'a=b ' * 1000}c= {'d=e ' * 1000}"
        with pytest.raises(SelectionError) as error:
            Selection.parse(text)
        assert "at character 4,003, after 'b a=b a=b a=b a=b a=b c=', before ' d=e" in str(error.value)
        assert len(str(error.value)) < 300

    def test_survive_the_way_between_processes(self):
        with pytest.raises(MappingKitError) as error:
            Selection.parse("a=")
        again = pickle.loads(pickle.dumps(error.value))
        assert (str(again), again.position) == (str(error.value), 2)

    def test_say_it_of_what_is_no_text(self):
        with pytest.raises(SelectionError, match=r"\['a'\] is no text"):
            Selection.parse(["a"])


class TestCells:
    def test_are_those_that_match_one_by_one(self):
        dimensions = [("date", DAYS), ("origin", ORIGINS)]
        for text in (
            "",
            "origin=JFK date=2013-02",
            "jfk",
            "!jfk date!=2013-01",
            "2013-01-05,lga",
            "date=2013-01-05/origin=EWR",
        ):
            selection = Selection.parse(text)
            assert [PLAN[cell] for cell in selection.cells(dimensions)] == [
                one for one in PLAN if selection.matches(one)
            ], text

    def test_are_found_by_their_labels(self):
        found = Selection.parse("Newark").cells(
            [("date", DAYS), ("origin", ORIGINS)], lambda cell: {7: "to NEWARK", 8: ""}.get(cell)
        )
        assert found == [7]

    def test_of_asks_each_dimension_for_itself(self):
        selection = Selection.parse("origin=E*,JFK origin!=EWR jfk")
        assert [value for value in ORIGINS if selection.of("origin")(value)] == ["JFK"]
        assert selection.of("date") is None
        assert selection.apart
        assert not Selection.parse("origin=EWR").apart


class TestRectangles:
    DIMENSIONS = [("date", DAYS), ("origin", ORIGINS)]

    @pytest.mark.parametrize(
        ("partitions", "texts"),
        [
            (PLAN, [""]),
            ([], []),
            (PLAN[:1], ["date=2013-01-01 origin=EWR"]),
            (product(date=DAYS, origin=["EWR", "JFK"]), ["origin=EWR,JFK"]),
            (
                product(date=["2013-01-01", "2013-01-02", "2013-01-03", "2013-02-01"], origin=["LGA"]),
                ["date=2013-01-01..2013-01-03,2013-02-01 origin=LGA"],
            ),
            (
                product(date=DAYS[:3], origin=ORIGINS) + product(date=DAYS[5:8], origin=["JFK"]),
                ["date=2013-01-01..2013-01-03", "date=2013-01-06..2013-01-08 origin=JFK"],
            ),
        ],
    )
    def test_are_as_few_and_short_as_can_be(self, partitions, texts):
        assert [str(one) for one in selections_of(partitions, self.DIMENSIONS)] == texts

    def test_values_that_would_mean_more_are_quoted(self):
        dimensions = [("x", ["2013-01", "2013-01-01", "a b", "NULL", None, "10", "9"])]
        for value in dimensions[0][1]:
            selection = selection_of({"x": [value]}, dimensions)
            assert chosen(str(selection), dimensions[0][1]) == [value]

    def test_the_same_hour_of_two_offsets_is_told_apart(self):
        for hour in HOURS:
            assert chosen(str(selection_of({"x": [hour]}, [("x", HOURS)])), HOURS) == [hour]

    def test_numbers_are_ranges_in_their_order_only(self):
        assert str(selection_of({"x": [8, 9, 10]}, [("x", range(1, 20))])) == "x=8..10"
        assert str(selection_of({"x": ["10", "8", "9"]}, [("x", ["10", "8", "9", "1"])])) == "x=10,8,9"
