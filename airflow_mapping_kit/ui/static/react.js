// Airflow 3 calls the function that is found as `AirflowPlugin` and gives it its own React. The page is the same element
// as everywhere. It comes from beside this file, so it is of the same version.
import "./partitions.js";

globalThis.AirflowPlugin = function MappingKitPartitions({ dagId, runId, taskId, mapIndex }) {
  const base = new URL(document.baseURI).pathname;
  return globalThis.React.createElement("mapping-kit-partitions", {
    api: `${base}mapping-kit/api`,
    base,
    own: `${base}mapping-kit/dags/`,
    dag: dagId ?? "",
    run: runId ?? "",
    task: taskId ?? "",
    index: mapIndex ?? "",
    style: { display: "block", height: "100%" },
  });
};
