// The poller of the operator's page.

import { ApiError } from "../api.js";
import { pause } from "../stream.js";

/** The pause between two reads. */
export const POLL_MS = 3_000;

/** Reads at intervals while the tab is visible, and less often while that fails. `refused()` runs when the key is invalid. */
export function createPoller({ readOnce, dispatch, isVisible, signal, refused }) {
  let timer = null;
  let busy = false;
  let again = false;
  let attempt = 0;

  async function attemptRead() {
    try {
      await readOnce();
      attempt = 0;
      dispatch({ type: "link", status: "open", at: Date.now() });
      return POLL_MS;
    } catch (error) {
      if (signal.aborted) return null;
      if (error.status === 401) {
        refused();
        return null;
      }
      const isKnown = error instanceof ApiError;
      if (!isKnown) console.error(error);
      const wait = Math.max(POLL_MS, pause(attempt), error.retryAfterMs ?? 0);
      attempt += 1;
      const text = isKnown ? error.text : "The page cannot process the response";
      dispatch({ type: "link", status: "lost", at: Date.now(), retryAt: Date.now() + wait, error: text });
      return wait;
    }
  }

  async function now() {
    clearTimeout(timer);
    again = busy;
    if (busy) return;
    busy = true;
    let wait = POLL_MS;
    try {
      do {
        again = false;
        wait = await attemptRead();
      } while (again && wait !== null && !signal.aborted);
    } finally {
      busy = false;
      if (wait !== null && !signal.aborted) timer = setTimeout(() => isVisible() && now(), wait);
    }
  }

  return { now, end: () => clearTimeout(timer) };
}
