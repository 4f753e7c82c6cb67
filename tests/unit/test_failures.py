from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

import airflow_mapping_kit
from airflow_mapping_kit.failures import MAX_MESSAGE_BYTES, described, error_of, traceback_of
from airflow_mapping_kit.partitions import piece_key


def failed(key, kind="ValueError", message="no such file", state="failed"):
    return {
        "key": key,
        "state": state,
        "error": {"type": kind, "message": message} if kind or message else None,
    }


def test_failures_are_grouped_by_error_the_most_frequent_first():
    text = described(
        [
            failed("date=2013-01-01/origin=EWR", "KeyError", "'x'"),
            failed("date=2013-01-01/origin=JFK"),
            failed("date=2013-01-02/origin=JFK"),
        ]
    )
    assert text.splitlines() == [
        "2 × ValueError: no such file (origin: JFK 2)",
        "  date=2013-01-01/origin=JFK",
        "  date=2013-01-02/origin=JFK",
        "1 × KeyError: 'x'",
        "  date=2013-01-01/origin=EWR",
    ]


def test_twenty_keys_are_named_and_the_others_counted():
    lines = described([failed(f"n={n}") for n in range(1025)]).splitlines()
    assert lines[0] == "1,025 × ValueError: no such file"
    assert lines[1:-1] == [f"  n={n}" for n in range(20)]
    assert lines[-1] == "and 1,005 more"


def test_twenty_keys_are_named_of_all_groups_together():
    text = described(
        [failed(f"a={n}") for n in range(15)] + [failed(f"b={n}", "KeyError") for n in range(10)]
    )
    assert text.count("  a=") == 15
    assert text.count("  b=") == 5
    assert text.endswith("and 5 more")


def test_a_message_is_its_first_line_and_not_too_long():
    (head, _) = described([failed("x=1", "OSError", "first\nsecond")]).splitlines()
    assert head == "1 × OSError: first"
    (head, _) = described([failed("x=1", "OSError", "e" * 1000)]).splitlines()
    assert head == f"1 × OSError: {'e' * 200}…"


def test_what_a_hidden_field_holds_keeps_nobody_from_seeing_what_failures_have_in_common():
    keys = [f"account=a{n}/date=2024-01-01/password=*{n:012x}" for n in range(3)]
    assert (
        described(list(map(failed, keys))).splitlines()[0]
        == "3 × ValueError: no such file (date: 2024-01-01 3)"
    )


def test_keys_that_were_cut_have_nothing_in_common():
    keys = [piece_key({"x": {"a": "1", "b": "x" * 600, "c": str(n)}}) for n in range(2)]
    assert described(list(map(failed, keys))).splitlines()[0] == "2 × ValueError: no such file"


def test_what_left_no_exception_says_what_became_of_it():
    text = described(
        [
            failed("x=1", None, "no exception recorded"),
            failed("x=2", None, None, "upstream_failed"),
        ]
    )
    assert text.splitlines()[::2] == [
        "1 × no exception recorded",
        "1 × upstream failed",
    ]


def test_keys_of_equal_pieces_and_keys_that_are_no_partition():
    text = described([failed("x=1"), failed("x=1#2"), failed("{}", "KeyError")])
    assert text.splitlines() == [
        "2 × ValueError: no such file (x: 1 2)",
        "  x=1",
        "  x=1#2",
        "1 × KeyError: no such file",
        "  {}",
    ]


def test_what_failures_have_in_common_is_said_by_dimension():
    failures = [failed(f"date={day}/origin={origin}") for day in range(10) for origin in ("EWR", "JFK")]
    failures += [failed(f"date={day}/origin=LGA") for day in range(5)]
    head = described(failures).splitlines()[0]
    assert head == (
        "25 × ValueError: no such file (date: 0 3, 1 3, 2 3 and 7 other values; origin: EWR 10, JFK 10, LGA 5)"
    )


def masked(text):
    return text.replace("hunter2", "***")


def kept(error):
    found = error_of(error, masked)
    # As PostgreSQL's JSON takes it: no NUL, no half of a surrogate pair.
    assert "\\u0000" not in json.dumps(found)
    json.dumps(found, ensure_ascii=False).encode()
    assert len(found["message"].encode()) <= MAX_MESSAGE_BYTES
    return found


class ApiError(Exception):
    def __init__(self, content):
        super().__init__(content)
        self.content = content

    def __str__(self):
        return self.content


class RaisesItself(BaseException):
    def __str__(self):
        raise self


class RaisesAll(Exception):
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__

    @property
    def exceptions(self):
        raise RuntimeError

    @exceptions.setter
    def exceptions(self, _):
        raise RuntimeError


class Exits(Exception):
    def __str__(self):
        raise SystemExit(3)


class OfNoName(type):
    __name__ = property(lambda cls: 1 / 0)


class Odd(Exception, metaclass=OfNoName):
    pass


class Shouting(str):
    def encode(self, *_, **__):
        raise RuntimeError

    replace = __str__ = __format__ = encode


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no such item"), "no such item"),
        (ValueError(), ""),
        (ApiError({"code": 500}), "ApiError({'code': 500}) (its text can't be had: TypeError)"),
        (ApiError(None), "ApiError(None) (its text can't be had: TypeError)"),
        (ApiError(RaisesAll()), "(its text can't be had: TypeError)"),
        (ApiError(Shouting("loud")), "loud"),
        (RaisesItself(1), "RaisesItself(1) (its text can't be had: RaisesItself)"),
        (RaisesAll("x"), "RaisesAll('x') (its text can't be had: RuntimeError)"),
        (Exits("x"), "Exits('x') (its text can't be had: SystemExit)"),
        (Odd("x"), "x"),
        (ValueError("file \udcff not found\0"), r"file \udcff not found\x00"),
        (ValueError("bad \x1b[2J\u202e\r\nline"), "bad \\x1b[2J\\u202e\nline"),
        (ValueError("login svc:hunter2@api"), "login svc:***@api"),
        (
            ValueError("401 for https://svc:hunter%32@api/v%201 of id=a%2Fb"),
            "401 for https://svc:***@api/v 1 of id=a%2Fb",
        ),
        (ValueError(r"no field 'a\u00e9' of {'p': 'hunt\x65r2'}"), "no field 'aé' of {'p': '***'}"),
        (ValueError(r"C:\temp\u00 of 'a\u00e9'"), r"C:\temp\u00 of 'a\u00e9'"),
    ],
)
def test_an_exception_is_kept_as_plain_text_whatever_it_does(error, message):
    assert kept(error) == {"type": type.__dict__["__name__"].__get__(type(error)), "message": message}
    assert "hunter2" not in traceback_of(error, masked, since=error.__traceback__)


@pytest.mark.parametrize(
    "written",
    [
        repr,
        json.dumps,
        lambda secret: str(KeyError(secret)),
        lambda secret: str(ApiError({"password": secret}).args),
        lambda secret: f"https://svc:{quote(secret)}@api/1+1",
        lambda secret: f"user=svc&password={quote_plus(secret)} of a+b",
    ],
)
@pytest.mark.parametrize("secret", ["pä ss w\"o'rd", "C:\\new\\u00e4", "line 1\nline 2\t😀", "a+b %2F/c"])
def test_a_secret_is_found_however_it_is_written_out(written, secret):
    text = written(secret)
    kept = error_of(ValueError(text), lambda text: text.replace(secret, "***"))
    assert "***" in kept["message"]
    assert secret not in kept["message"]
    assert written(secret) not in kept["message"]


def test_of_a_recursion_the_last_calls_are_logged_not_thousands():
    def one(n):
        return other(n + 1)

    def other(n):
        return one(n + 1)

    with pytest.raises(RecursionError) as raised:
        one(0)
    lines = traceback_of(raised.value, masked, since=raised.value.__traceback__).splitlines()
    assert lines[-1].startswith("  RecursionError: maximum recursion depth")
    assert 200 <= len(lines) < 500


def test_a_text_that_somebody_else_made_of_an_exception_has_no_type():
    assert error_of("killed \0 with hunter2", masked) == {"type": None, "message": r"killed \x00 with ***"}


@pytest.mark.parametrize("before", range(MAX_MESSAGE_BYTES - 12, MAX_MESSAGE_BYTES + 2))
def test_no_half_of_a_secret_is_left_where_a_message_is_cut(before):
    assert (
        "hun" not in kept(ValueError("€" * (before // 3) + "." * (before % 3) + "hunter2" * 400))["message"]
    )


def test_a_long_message_is_cut_between_characters():
    message = kept(ValueError("€" * 100_000))["message"]
    assert message == "€" * 681 + "…"


def test_nothing_is_kept_of_a_message_that_could_not_be_masked():
    def broken(text):
        raise RuntimeError("no masker")

    error = ValueError("hunter2")
    assert error_of(error, broken) == {
        "type": "ValueError",
        "message": "not kept, for its secrets could not be masked (RuntimeError)",
    }
    assert "hunter2" not in traceback_of(error, broken, since=error.__traceback__)


def grouped(message, *errors):
    # As Python 3.11 has them, and the package of that name before it.
    error = RuntimeError(message)
    error.exceptions = errors
    return error


def test_of_a_group_the_first_exceptions_are_said():
    error = grouped(
        "several", ValueError("a"), grouped("inner", KeyError("hunter2")), *map(OSError, range(9))
    )
    assert kept(error)["message"].splitlines() == [
        "several",
        "- ValueError: a",
        "- RuntimeError: inner",
        "  - KeyError: '***'",
        "- OSError: 0",
        "- OSError: 1",
        "- OSError: 2",
        "and 6 more",
    ]


def test_a_group_that_holds_itself_has_an_end():
    error = RuntimeError("again")
    error.exceptions = [error]
    assert kept(error)["message"] == "again\n- RuntimeError: again\n  - RuntimeError: again"


def test_an_exception_without_a_text_says_its_cause():
    error = ConnectionError()
    error.__cause__ = TimeoutError("no answer of hunter2")
    assert kept(error)["message"] == "\ncaused by TimeoutError: no answer of ***"
    assert described([failed("x=1", "ConnectionError", kept(error)["message"])]).splitlines()[0] == (
        "1 × ConnectionError: caused by TimeoutError: no answer of ***"
    )


def test_a_traceback_has_no_line_at_the_margin_and_no_secret():
    with pytest.raises(ValueError, match="hunter2") as raised:
        int("hunter2\n2026-11-25 INFO - all is well\x1b[2J")
    text = traceback_of(raised.value, masked, since=raised.tb)
    assert all(line.startswith("  ") for line in text.split("\n"))
    assert text.splitlines()[-1] == (
        r"  ValueError: invalid literal for int() with base 10: '***\n2026-11-25 INFO - all is well\x1b[2J'"
    )
    assert traceback_of(
        OSError("hunter2\n2026-11-25 INFO - all is well\x1b[2J"), masked, since=None
    ).splitlines() == [
        "  OSError: ***",
        r"  2026-11-25 INFO - all is well\x1b[2J",
    ]


def test_what_a_stranger_wrote_into_an_error_or_a_key_stays_on_its_line():
    text = described(
        [
            failed("file=a\u202e%0Ab", "E", "x \x1b]0;owned\x07 y"),
            failed("file=a\u202e%0Ab", "E", "x \x1b]0;owned\x07 y"),
        ]
    )
    assert text.splitlines() == [
        r"2 × E: x \x1b]0;owned\x07 y (file: a\u202e\nb 2)",
        r"  file=a\u202e%0Ab",
        r"  file=a\u202e%0Ab",
    ]


def test_no_module_of_the_kit_logs_or_prints_an_exception_itself():
    # Whoever formats it next knows of no secrets, may fail on it, or begins a line at the margin.
    named = re.compile(r"exc_info=|log\.exception\(|print_exc")
    root = Path(airflow_mapping_kit.__file__).parent
    assert [path for path in root.rglob("*.py") if named.search(path.read_text())] == []


def test_many_failures_take_the_room_of_a_thousand():
    def failing():
        for number in range(20_000):
            error = {"type": "HTTPError", "message": "503" if number % 4 else f"no object {number}"}
            yield {"key": f"day={number % 7}/n={number}", "state": "failed", "error": error}

    tracemalloc.start()
    text = described(failing()).splitlines()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * 2**20
    assert text[0] == "15,000 × HTTPError: 503 (day: 1 2,143, 2 2,143, 3 2,143 and 4 other values)"
    assert text[1:21] == [f"  day={n % 7}/n={n}" for n in range(28) if n % 4][:20]
    assert text[-2:] == ["4,001 × other errors", "and 19,980 more"]
