"""Tests on a real scheduler. A package, so that their Airflow ends with the last of them, not with all tests."""
