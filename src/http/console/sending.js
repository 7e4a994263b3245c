// Sending a command: pending marks, cooldowns, errors.
//
// A command that is too early waits until the API admits it and is sent again, under a new `command_uid`. It is not sent when
// the user cancels it, or when the state has made it needless meanwhile.

import { ApiError } from "./api.js";

/** The longest cooldown that a command waits for, and how often it does. */
const MAX_WAIT_MS = 10_000;
const MAX_WAITS = 5;

/** The cooldown to wait for after this error, or null. A quota does not end by waiting. */
export function cooldownAfter(error, waits) {
  if (!(error instanceof ApiError) || error.status !== 429 || error.detail?.quota_bytes !== undefined) return null;
  const wait = error.retryAfterMs;
  return wait !== null && wait <= MAX_WAIT_MS && waits < MAX_WAITS ? wait : null;
}

export function sender({ dispatch, getState, uid, refused }) {
  /** Waits for a cooldown. Returns false if the command is no longer pending then. */
  async function coolDown(key, wait, { onWait, signal } = {}) {
    const sendAt = Date.now() + wait;
    dispatch({ type: "cooldown", key, sendAt, at: Date.now() });
    onWait?.(sendAt);
    await new Promise((done) => {
      const timer = setTimeout(done, wait);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        done();
      });
    });
    onWait?.(null);
    if (signal?.aborted) dispatch({ type: "settled", key });
    // The user may have cancelled it and pressed again.
    return getState().pending.get(key)?.sendAt === sendAt;
  }

  /**
   * Sends a command that an event will confirm under this key. Returns the answer, or null if it was cancelled.
   * `waits`: `{onWait(time or null), signal}` of a dialog that shows the cooldown.
   */
  async function submit(key, want, label, send, waits = undefined) {
    const request = () => dispatch({ type: "requested", key, want, label, at: Date.now() });
    request();
    for (let n = 0; ; n += 1) {
      try {
        return await send({ command_uid: uid() });
      } catch (error) {
        const wait = cooldownAfter(error, n);
        if (wait === null) {
          // After a timeout the command stays pending until its deadline, because the event may still come.
          if (!(error instanceof ApiError && error.status === 504)) dispatch({ type: "settled", key });
          throw error;
        }
        if (!(await coolDown(key, wait, waits))) return null;
        request();
      }
    }
  }

  function showError(label, error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) refused(error.text);
    else dispatch({ type: "notice", kind: "error", text: `${label}: ${error.text}` });
  }

  return {
    submit,
    showError,

    /** The same for a button without a dialog: errors become notices. Returns null after an error. */
    async press(key, want, label, send) {
      try {
        return await submit(key, want, label, send);
      } catch (error) {
        showError(label, error);
        return null;
      }
    },

    /** Cancels a command that waits for its cooldown. */
    cancel: (key) => dispatch({ type: "settled", key }),
  };
}
