"""Train many models to predict how late a flight arrives. Data, not code, says which models.

The trigger form chooses the plan: a list of models, the grid of one model's hyperparameters, or one model
for each carrier. Each entry is trained and evaluated on its own, under its own name. A failed one stops no other, and
the best of those that succeeded is chosen.
"""

from __future__ import annotations

import logging
import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

import pendulum

try:
    from airflow.sdk import Param, dag, task, task_group
    from airflow.sdk.exceptions import AirflowFailException
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task, task_group
    from airflow.exceptions import AirflowFailException
    from airflow.models.param import Param

from airflow_mapping_kit.fan_in import collect
from airflow_mapping_kit.generators import generator
from airflow_mapping_kit.labels import label
from airflow_mapping_kit.partitions import partition_key, product

INCLUDE = Path(__file__).resolve().parents[1] / "include"
SOURCE = INCLUDE / "data" / "flights-2013-01.csv.gz"
TRAINING_DAYS, HELD_OUT_DAYS = (1, 24), (25, 31)
FEWEST_FLIGHTS = 30

SCALAR = {"type": ["string", "number", "boolean", "null"]}
ENTRY = {
    "type": "object",
    "properties": {"model": {"type": "string"}},
    "required": ["model"],
    "additionalProperties": SCALAR,
}

log = logging.getLogger("airflow.task")


# [START plan]
@generator
def entries(
    plan: str, models: list[dict], grid: dict[str, list], carrier_model: dict, carriers: list[str]
) -> list[dict]:
    """Return the partitions to train: a model, any hyperparameters of it, and maybe a carrier."""
    if plan == "grid":
        return product(**grid)
    if plan == "carriers":
        return [{**carrier_model, "carrier": carrier} for carrier in carriers]
    return models


# [END plan]


def read_flights(days: tuple[int, int], carrier: str | None, fewest: int) -> tuple[Any, Any]:
    """Return the features and the arrival delays of the flights of some days."""
    import duckdb
    import numpy as np

    with duckdb.connect(config={"threads": 1, "memory_limit": "512MiB"}) as connection:
        columns = connection.execute(
            (INCLUDE / "sql" / "flights_to_learn.sql").read_text(),
            {"source": str(SOURCE), "first_day": days[0], "last_day": days[1], "carrier": carrier},
        ).fetchnumpy()
    delays = columns.pop("arr_delay").astype(float)
    if len(delays) < fewest:
        raise ValueError(
            f"{len(delays)} flights of {carrier or 'all carriers'} arrived on days {days[0]} to {days[1]}: "
            f"at least {fewest} are needed. Leave this carrier out, or give it a model with more data."
        )
    return np.column_stack(list(columns.values())), delays


def regressor(model: str, hyperparameters: dict[str, Any]) -> Any:
    """Return the regressor that scikit-learn knows by a name such as `linear_model.Ridge`."""
    from sklearn.base import RegressorMixin

    module, _, name = model.rpartition(".")
    try:
        found = getattr(import_module(f"sklearn.{module}"), name)
        known = issubclass(found, RegressorMixin)
    except (ImportError, AttributeError, TypeError):
        known = False
    if not known:
        raise ValueError(
            f"scikit-learn has no regressor {model!r}: name its module and class, e.g. 'linear_model.Ridge'."
        )
    estimator = found(**hyperparameters)
    if "random_state" in estimator.get_params() and "random_state" not in hyperparameters:
        estimator.set_params(random_state=0)
    return estimator


@dag(
    dag_display_name="Models: a list, a grid, or one per carrier",
    schedule=None,
    start_date=pendulum.datetime(2024, 1, 1),
    catchup=False,
    render_template_as_native_obj=True,
    params={
        "plan": Param(
            "models",
            enum=["models", "grid", "carriers"],
            description="What to train: the models, the grid, or the carrier model for each carrier",
        ),
        "models": Param(
            [
                {"model": "dummy.DummyRegressor", "strategy": "median"},
                {"model": "linear_model.Ridge"},
                {"model": "ensemble.RandomForestRegressor", "n_estimators": 40, "max_depth": 10},
                {"model": "ensemble.HistGradientBoostingRegressor"},
            ],
            type="array",
            items=ENTRY,
            description="Regressors of scikit-learn, each with any hyperparameters",
        ),
        "grid": Param(
            {
                "model": ["ensemble.HistGradientBoostingRegressor"],
                "learning_rate": [0.05, 0.1],
                "max_leaf_nodes": [15, 31],
            },
            type="object",
            required=["model"],
            additionalProperties={"type": "array", "items": SCALAR, "minItems": 1},
            description="Every combination of these hyperparameters",
        ),
        "carrier_model": Param({"model": "linear_model.Ridge"}, description="One for each carrier", **ENTRY),
        "target": Param(
            str(INCLUDE / "lake" / "models"),
            type="string",
            pattern="^/",
            description="A local directory that all workers share, as an absolute path",
        ),
    },
    tags=["example", "scikit-learn", "generator"],
    doc_md=__doc__,
)
def train_models():
    @task(task_display_name="Read which carriers there are")
    def carriers() -> list[str]:
        import duckdb

        with duckdb.connect(config={"threads": 1, "memory_limit": "512MiB"}) as connection:
            rows = connection.execute(
                "SELECT DISTINCT carrier FROM read_csv($source, nullstr = 'NA') ORDER BY carrier",
                {"source": str(SOURCE)},
            ).fetchall()
        return [carrier for (carrier,) in rows]

    @task(task_display_name="Train", map_index_template=label())
    def train(partition: dict, target: str) -> dict:
        import joblib
        from sklearn.compose import make_column_transformer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler, TargetEncoder
        from threadpoolctl import threadpool_limits

        hyperparameters = {k: v for k, v in partition.items() if k not in {"model", "carrier"}}
        estimator = regressor(partition["model"], hyperparameters)
        features, delays = read_flights(TRAINING_DAYS, partition.get("carrier"), FEWEST_FLIGHTS)
        words = [column for column, value in enumerate(features[0]) if isinstance(value, str)]
        encoder = TargetEncoder(target_type="continuous", random_state=0)
        pipeline = make_pipeline(
            make_column_transformer((encoder, words), remainder="passthrough"), StandardScaler(), estimator
        )
        # The mapped instances run in parallel. One that used every core would only slow the others.
        with threadpool_limits(limits=1):
            pipeline.fit(features, delays)

        path = Path(target, partition_key(partition), "model.joblib")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{uuid.uuid4().hex}.unfinished")
        try:
            joblib.dump(pipeline, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return {"partition": partition, "path": str(path), "training_flights": len(delays)}

    @task(task_display_name="Evaluate on held-out days", map_index_template=label())
    def evaluate(partition: dict, trained: dict) -> dict:
        import joblib
        from sklearn.metrics import mean_absolute_error, r2_score

        features, delays = read_flights(HELD_OUT_DAYS, partition.get("carrier"), fewest=2)
        predicted = joblib.load(trained["path"]).predict(features)
        return {
            **trained,
            "held_out_flights": len(delays),
            "mae_minutes": float(mean_absolute_error(delays, predicted)),
            "r2": float(r2_score(delays, predicted)),
        }

    @task_group(group_id="model")
    def model(partition: dict, target: str) -> Any:
        return evaluate(partition, train(partition, target))

    @task(task_display_name="Choose the best")
    def choose(report: dict) -> dict:
        ranking = sorted(
            (row["value"] for row in report["results"] if row["state"] == "success"),
            key=lambda each: each["mae_minutes"],
        )
        if not ranking:
            raise AirflowFailException(
                f"Nothing to choose from: none of {report['total']} models was trained and evaluated."
            )
        for each in ranking:
            key = partition_key(each["partition"])
            log.info("%6.2f minutes MAE, R2 %5.2f: %s", each["mae_minutes"], each["r2"], key)
        failed = [row["key"] for row in report["results"] if row["state"] == "failed"]
        return {"best": ranking[0], "ranking": ranking, "failed": failed}

    plan = entries.override(task_id="plan", task_display_name="Plan", on_empty="fail")(
        plan="{{ params.plan }}",
        models="{{ params.models }}",
        grid="{{ params.grid }}",
        carrier_model="{{ params.carrier_model }}",
        carriers=carriers(),
    )
    models = model.partial(target="{{ params.target }}").expand(partition=plan)
    # A model that can't be trained is left out. The report names it.
    choose(collect(models, task_display_name="What became of every model", tolerated_failure_percentage=100))


train_models()
