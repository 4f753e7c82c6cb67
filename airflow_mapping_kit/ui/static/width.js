// How much room there is. Airflow 3's own frame takes a part of the window, so the window's width says little.

const NARROW = 860;
const SLIM = 520;

/** Keep `data-width` of the element right, `narrow` or `narrow slim`, until the returned function is called. */
export function follow(element) {
  const watched = new ResizeObserver(([{ contentRect }]) => {
    const said = [contentRect.width < NARROW && "narrow", contentRect.width < SLIM && "slim"].filter(Boolean).join(" ");
    if (element.dataset.width !== said) element.dataset.width = said;
  });
  watched.observe(element);
  return () => watched.disconnect();
}
