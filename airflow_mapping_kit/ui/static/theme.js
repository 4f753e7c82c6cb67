// Light or dark, as the page around it.

const DARK = matchMedia("(prefers-color-scheme: dark)");

/**
 * Airflow 3 says in a class of its page which colours it has. Airflow 2 inverts the whole page for its dark mode: a dark
 * one would come out light. On its own the page does what the person has chosen in Airflow 3, else what the system says.
 */
function dark(element) {
  if (element.hasAttribute("alone")) {
    const chosen = localStorage.getItem("theme") ?? "system";
    return chosen === "dark" || (chosen === "system" && DARK.matches);
  }
  return element.getAttribute("airflow") === "3" && document.documentElement.classList.contains("dark");
}

/** Keep `data-theme` of the element right until the returned function is called. */
export function follow(element) {
  const tell = () => { element.dataset.theme = dark(element) ? "dark" : "light"; };
  const watched = new MutationObserver(tell);
  watched.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  DARK.addEventListener("change", tell);
  addEventListener("storage", tell);
  tell();
  return () => {
    watched.disconnect();
    DARK.removeEventListener("change", tell);
    removeEventListener("storage", tell);
  };
}
