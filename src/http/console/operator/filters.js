// Changes of the filters of the operator's lists.

/** The pause after a key press in a filter. */
export const TYPING_MS = 350;

/** Applies changes of filters and reads once for all that have collected while the user types. */
export function createFilters({ dispatch, read }) {
  let timer = null;
  const pending = new Map();

  function apply() {
    for (const [name, change] of pending) dispatch({ type: "filter", name, change });
    pending.clear();
    read();
  }

  return {
    /** Changes filters of a list; `later` while the user types. */
    change(name, change, later = false) {
      clearTimeout(timer);
      pending.set(name, { ...pending.get(name), ...change });
      if (later) timer = setTimeout(apply, TYPING_MS);
      else apply();
    },
    end: () => clearTimeout(timer),
  };
}
