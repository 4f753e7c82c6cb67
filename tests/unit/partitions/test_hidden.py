from __future__ import annotations

import uuid

import pytest

from airflow_mapping_kit.exceptions import PartitionError
from airflow_mapping_kit.partitions import parse_partition_key, partition_key, piece_key, unique_partitions
from airflow_mapping_kit.partitions.hidden import HIDDEN_NAMES, HIDDEN_VALUE, hide, is_hidden
from airflow_mapping_kit.partitions.keys import hidden_key

SECRET = {"account": "a1", "password": "hunter2"}


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("password", True),
        ("DB_Password ", True),
        ("access_token_2", True),
        ("api-key", True),
        ("Service Account", True),
        ("passport", False),
        ("", False),
    ],
)
def test_a_field_is_hidden_by_a_part_of_its_name(name, hidden):
    assert is_hidden(name) is hidden


@pytest.mark.parametrize(
    ("mapped", "key"),
    [
        ({"account": SECRET}, "account=a1/password=*f52fbd32b2b3"),
        ({"token": "hunter2"}, "token=*f52fbd32b2b3"),
        ({"token": ["hunter2"]}, "token=*f52fbd32b2b3"),
        ({"n": 1, "account": SECRET}, "account=account%3Da1%2Fpassword%3D%2Af52fbd32b2b3/n=1"),
        ({"secrets": {"a": "hunter2", "b": 1}}, "a=*f52fbd32b2b3/b=1"),
        ({"token_count": 5, "token": None}, "token=__HIVE_DEFAULT_PARTITION__/token_count=5"),
        ({"has_token": False}, "has_token=false"),
        ({"token": ""}, "token=*e3b0c44298fc"),
        ({"token": "\ud800"}, "token=*91a681b99855"),
        ({"token": uuid.UUID(int=0)}, piece_key({"token": str(uuid.UUID(int=0))})),
    ],
)  # fmt: skip
def test_a_digest_stands_for_what_a_hidden_field_holds(mapped, key):
    assert piece_key(mapped) == key


def test_what_hides_nothing_keeps_its_key():
    assert piece_key({"account": SECRET}, hidden=frozenset()) == partition_key(SECRET)
    assert piece_key({"x": SECRET}, hidden=frozenset({"acc"})) == "account=*f55ff16f66f4/password=hunter2"


def test_pieces_that_differ_in_a_hidden_field_alone_differ_in_their_keys():
    keys = {piece_key({"x": {"token": f"t{n}"}}) for n in range(100)}
    assert len(keys) == 100


def test_digests_of_what_no_key_holds_do_not_tell_of_a_secret_either():
    # A digest of the whole would let everybody try who knows the rest.
    one, other = ({"x": [{"id": 1, "token": token}, {"id": 2}]} for token in ("hunter2", "*f52fbd32b2b3"))
    assert piece_key(one) == piece_key(other)


def test_what_has_nothing_to_hide_is_itself():
    value = {"a": [1, {"b": ("x", None)}], "c": {1: "d"}}
    assert hide(value) is value
    assert hide({"token": "x", "a": value})["a"] is value


def test_a_digest_is_no_value_of_a_partition():
    key = piece_key({"account": SECRET})
    with pytest.raises(PartitionError, match="a digest in place of the value of 'password'"):
        parse_partition_key(key)
    assert parse_partition_key(partition_key({"a": "*f52fbd32b2b3"})) == {"a": "*f52fbd32b2b3"}


def test_the_key_of_a_partition_is_hidden_once():
    key = hidden_key("account=a1/password=hunter2", HIDDEN_NAMES)
    assert key == "account=a1/password=*f52fbd32b2b3"
    assert hidden_key(key, HIDDEN_NAMES) == key
    assert hidden_key("country=US/date=2024-11-20", HIDDEN_NAMES) == "country=US/date=2024-11-20"
    assert hidden_key("no key", HIDDEN_NAMES) == "no key"


def test_errors_show_no_secret():
    with pytest.raises(PartitionError) as twice:
        unique_partitions([SECRET, dict(SECRET)])
    with pytest.raises(PartitionError) as nested:
        partition_key({"password": ["hunter2"]})
    with pytest.raises(PartitionError) as half:
        partition_key({"password": "hunter2\ud800"})
    for error in (twice, nested, half):
        assert "hunter2" not in str(error.value)
        assert HIDDEN_VALUE.search(str(error.value))


def test_an_error_about_what_holds_itself_is_still_one():
    plan: list[object] = []
    plan.append(plan)
    with pytest.raises(PartitionError, match="holds itself"):
        partition_key(plan)  # type: ignore[arg-type]
