// Airflow 3 calls the function of this name for a plugin's tab; React is its own. The page is the same element as on 2.
import "./partitions.js";

globalThis.AirflowPlugin = function MappingKitPartitions({ dagId, runId, taskId, mapIndex }) {
  const base = new URL(document.baseURI).pathname;
  return globalThis.React.createElement("mapping-kit-partitions", {
    api: `${base}mapping-kit/api`,
    base,
    own: `${base}dags/{dag}/plugin/partitions`,
    dag: dagId ?? "",
    run: runId ?? "",
    task: taskId ?? "",
    index: mapIndex ?? "",
    airflow: "3",
  });
};
