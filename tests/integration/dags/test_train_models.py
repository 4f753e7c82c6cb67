"""The DAG train_models on the real flights, with the models of scikit-learn."""

from __future__ import annotations

import copy
import csv
import datetime
import gzip
import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from airflows import AirflowFailException, ParamValidationError

ROOT = Path(__file__).resolve().parents[3]
DAG_FILE = ROOT / "dags" / "train_models.py"
FLIGHTS = ROOT / "include" / "data" / "flights-2013-01.csv.gz"
RIDGE, MEDIAN = "linear_model.Ridge", {"model": "dummy.DummyRegressor", "strategy": "median"}


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("train_models", DAG_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train_models(module):
    return module.train_models()


@pytest.fixture
def trained(train_models, dag_test, tmp_path):
    """Return a function that runs the DAG and returns its instances and what was chosen."""

    def run(**conf):
        instances = dag_test(train_models, run_conf={"target": str(tmp_path / "models"), **conf})
        return instances, instances["choose", -1].xcom_pull(task_ids="choose")

    return run


@pytest.fixture(scope="session")
def arrived():
    """Return the flights that arrived, read without DuckDB, in the order in which they are learned."""
    with gzip.open(FLIGHTS, "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["arr_delay"] != "NA"]
    order = ("day", "sched_dep_time")
    return sorted(
        rows, key=lambda r: ([int(r[k]) for k in order], r["carrier"], int(r["flight"]), r["origin"])
    )


def days(rows, first, last):
    return [row for row in rows if first <= int(row["day"]) <= last]


def delays(rows):
    return [float(row["arr_delay"]) for row in rows]


def features(rows):
    """Return what is known at departure, in the DAG's order of columns."""
    return np.array(
        [
            [
                *(row[name] for name in ("carrier", "origin", "dest")),
                *(float(row[name]) for name in ("dep_delay", "distance")),
                60.0 * int(row["hour"]) + int(row["minute"]),
                float(datetime.date(2013, 1, int(row["day"])).isoweekday()),
            ]
            for row in rows
        ],
        dtype=object,
    )


def error_of_the_median(rows):
    median = statistics.median(delays(days(rows, 1, 24)))
    return statistics.fmean(abs(delay - median) for delay in delays(days(rows, 25, 31)))


def states(instances, task_id):
    found = sorted((index, ti.state) for (task, index), ti in instances.items() if task == task_id)
    return [state for _, state in found]


def labels(instances, task_id):
    found = sorted(
        (index, ti.rendered_map_index) for (task, index), ti in instances.items() if task == task_id
    )
    return [label for _, label in found]


class TestAListOfModels:
    def test_the_best_is_chosen_among_those_that_succeeded_and_the_failed_are_named(
        self, trained, arrived, tmp_path
    ):
        instances, chosen = trained(
            models=[
                {"model": "ensemble.NoSuchForest"},
                MEDIAN,
                {"model": RIDGE, "alpha": -1},
                {"model": RIDGE, "no_such_hyperparameter": 1},
                {"model": RIDGE},
            ]
        )
        assert states(instances, "model.train") == ["failed", "success", "failed", "failed", "success"]
        assert states(instances, "model.evaluate") == [
            "upstream_failed",
            "success",
            "upstream_failed",
            "upstream_failed",
            "success",
        ]
        assert instances["choose", -1].dag_run.state == "success"
        assert labels(instances, "model.train")[1] == "model=dummy.DummyRegressor/strategy=median"
        assert labels(instances, "model.evaluate")[4] == "model=linear_model.Ridge"
        assert chosen["failed"] == [
            "model=ensemble.NoSuchForest",
            "alpha=-1/model=linear_model.Ridge",
            "model=linear_model.Ridge/no_such_hyperparameter=1",
        ]
        assert [each["partition"] for each in chosen["ranking"]] == [{"model": RIDGE}, MEDIAN]
        assert chosen["best"] == chosen["ranking"][0]
        assert json.loads(json.dumps(chosen)) == chosen

        # The same numbers as without Airflow, DuckDB and the kit.
        learned, held_out = days(arrived, 1, 24), days(arrived, 25, 31)
        direct = make_pipeline(
            make_column_transformer(
                (TargetEncoder(target_type="continuous", random_state=0), [0, 1, 2]), remainder="passthrough"
            ),
            StandardScaler(),
            Ridge(random_state=0),
        ).fit(features(learned), delays(learned))
        predicted = direct.predict(features(held_out))
        ridge, median = chosen["ranking"]
        assert ridge["mae_minutes"] == pytest.approx(
            mean_absolute_error(delays(held_out), predicted), rel=1e-9
        )
        assert ridge["r2"] == pytest.approx(r2_score(delays(held_out), predicted), rel=1e-9)
        assert median["mae_minutes"] == pytest.approx(error_of_the_median(arrived), rel=1e-12)
        assert (ridge["training_flights"], ridge["held_out_flights"]) == (len(learned), len(held_out))

        # What was saved is the model that was measured, and nothing else was left behind.
        assert joblib.load(ridge["path"]).predict(features(held_out)) == pytest.approx(predicted, rel=1e-9)
        files = {path for path in (tmp_path / "models").rglob("*") if path.is_file()}
        assert files == {Path(ridge["path"]), Path(median["path"])}

    def test_the_run_fails_where_none_succeeded(self, trained):
        instances, chosen = trained(models=[{"model": "linear_model.Nothing"}])
        assert states(instances, "model.train") == ["failed"]
        assert instances["choose", -1].state == "failed"
        assert instances["choose", -1].dag_run.state == "failed"
        assert chosen is None

    def test_an_empty_list_fails_before_anything_is_trained(self, trained):
        instances, _ = trained(models=[])
        states_of = {task_id: instances[task_id, -1].state for task_id in ("plan", "collect_model", "choose")}
        assert states_of == {"plan": "failed", "collect_model": "failed", "choose": "upstream_failed"}
        assert states(instances, "model.train") == ["upstream_failed"]


class TestAGrid:
    def test_every_combination_is_trained_and_the_best_has_the_least_error(self, trained):
        instances, chosen = trained(
            plan="grid",
            grid={"model": ["tree.DecisionTreeRegressor"], "max_depth": [1, 0, 5], "splitter": ["best"]},
        )
        assert states(instances, "model.train") == ["success", "failed", "success"]
        assert chosen["failed"] == ["max_depth=0/model=tree.DecisionTreeRegressor/splitter=best"]
        errors = {each["partition"]["max_depth"]: each["mae_minutes"] for each in chosen["ranking"]}
        assert list(errors) == [5, 1]
        assert errors[5] < errors[1]
        assert chosen["best"]["partition"]["max_depth"] == 5


class TestAModelForEachCarrier:
    def test_the_data_says_which_carriers_there_are(self, trained, module, monkeypatch, arrived, tmp_path):
        carriers = ["9E", "HA", "OO", "UA"]
        with gzip.open(FLIGHTS, "rt", newline="") as file, gzip.open(tmp_path / "some.csv.gz", "wt") as some:
            lines = csv.reader(file)
            writer = csv.writer(some)
            writer.writerow(header := next(lines))
            writer.writerows(line for line in lines if line[header.index("carrier")] in carriers)
        monkeypatch.setattr(module, "SOURCE", tmp_path / "some.csv.gz")

        instances, chosen = trained(plan="carriers", carrier_model=MEDIAN)

        # HA flew once a day, so 24 times before the 25th; OO once, and that was later.
        assert states(instances, "model.train") == ["success", "failed", "failed", "success"]
        assert labels(instances, "model.train")[0] == "carrier=9E/model=dummy.DummyRegressor/strategy=median"
        assert chosen["failed"] == [
            f"carrier={carrier}/model=dummy.DummyRegressor/strategy=median" for carrier in ("HA", "OO")
        ]
        errors = {each["partition"]["carrier"]: each["mae_minutes"] for each in chosen["ranking"]}
        assert errors == {
            carrier: pytest.approx(error_of_the_median([r for r in arrived if r["carrier"] == carrier]))
            for carrier in ("9E", "UA")
        }
        assert chosen["best"]["mae_minutes"] == min(errors.values())


class TestBadInput:
    @pytest.mark.parametrize(
        "param",
        [
            {"plan": "everything"},
            {"models": [{"alpha": 1}]},
            {"models": [{"model": RIDGE, "alpha": [1, 2]}]},
            {"grid": {"alpha": [1]}},
            {"grid": {"model": RIDGE}},
            {"carrier_model": {}},
            {"target": "s3://bucket/models"},
        ],
        ids=json.dumps,
    )
    def test_the_form_refuses(self, train_models, param):
        params = copy.deepcopy(train_models.params)
        with pytest.raises(ParamValidationError):
            params.update(param)

    @pytest.mark.parametrize("model", ["Ridge", "linear_model.", "base.clone", "svm.SVC", "os.system", ""])
    def test_what_is_no_regressor_of_scikit_learn_is_refused_by_name(self, module, model):
        with pytest.raises(ValueError, match=f"has no regressor {model!r}: name its module and class"):
            module.regressor(model, {})

    def test_a_carrier_with_too_few_flights_is_named(self, module):
        with pytest.raises(ValueError, match="24 flights of HA arrived on days 1 to 24: at least 30"):
            module.read_flights((1, 24), "HA", 30)

    def test_the_choice_says_so_where_nothing_is_left(self, train_models):
        choose = train_models.get_task("choose").python_callable
        failed = [{"key": f"model={name}", "state": "failed", "value": None} for name in ("x", "y")]
        with pytest.raises(AirflowFailException, match="none of 2 models was trained and evaluated"):
            choose({"total": 2, "results": failed})


class TestSaving:
    def test_a_model_that_was_not_written_whole_leaves_the_old_one(self, train_models, tmp_path, monkeypatch):
        train = train_models.get_task("model.train").python_callable
        path = Path(train(MEDIAN, str(tmp_path))["path"])
        before = path.read_bytes()

        def full_disk(model, file):
            Path(file).write_bytes(before[:10])
            raise OSError("No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(joblib, "dump", full_disk)
            with pytest.raises(OSError, match="No space"):
                train(MEDIAN, str(tmp_path))
        assert [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()] == [before]

        train(MEDIAN, str(tmp_path))
        assert path.read_bytes() == before


def test_reading_the_dag_file_imports_neither_scikit_learn_nor_duckdb():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print(*({'sklearn', 'scipy', 'joblib', 'duckdb', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(DAG_FILE)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == ""
