// Requests to the gateway API, and to the admin API on its listener.
//
// Owns the headers with the key, the form of errors, and pagination. Leaves out the use of responses. The key is in a header
// of each request and nowhere else: never in a URL, never in a message.

/** The timeout of a request. The API responds sooner, even if FreeSWITCH does not. */
const TIMEOUT_MS = 20_000;

/** The maximum number of rows that are read of a list. The page says if there are more. */
export const MAX_ROWS = 5_000;

/** An error of the API; `status` 0: there was no response. */
export class ApiError extends Error {
  constructor(status, message, { detail = null, retryAfterMs = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
  }

  /** The API's error text, with the retry time if there is one. */
  get text() {
    const wait = this.retryAfterMs;
    return wait === null ? this.message : `${this.message} (retry in ${(Math.ceil(wait / 100) / 10).toFixed(1)} s)`;
  }
}

/** Creates the error of a failed response, whatever its body is. */
export async function errorOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy may have sent a body that is not JSON.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  const exact = body?.detail?.retry_after_ms;
  const retryAfterMs = Number.isFinite(exact) ? exact : seconds > 0 ? seconds * 1000 : null;
  const message = typeof body?.error === "string" ? body.error : `the response was ${response.status}`;
  return new ApiError(response.status, message, { detail: body?.detail ?? null, retryAfterMs });
}

const randomHex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The ids of this page's commands, which their webhooks repeat: each begins with `console-` and the page's own id. */
export function pageIds() {
  const id = randomHex(6);
  return { id, commandUid: () => `console-${id}-${randomHex(8)}` };
}

/** Escapes the values in a path, although they come from responses. */
export function path(strings, ...values) {
  return strings.reduce((text, part, i) => text + part + (i < values.length ? encodeURIComponent(values[i]) : ""), "");
}

const appKey = ({ appId, key }) => ({ "X-App-ID": appId, "X-API-Key": key });

/** The gateway API with an app's key. */
export const appApi = (signedIn) => createApi("/api/v1", appKey(signedIn));

/** The VoIPBIN API with the same key. */
export const voipbinApi = (signedIn) => createApi("/v1.0", appKey(signedIn));

/** The admin API with its key. */
export const adminApi = ({ key }) => createApi("/admin", { "X-Admin-API-Key": key });

function createApi(base, identity) {
  async function send(method, at, { body, headers, signal } = {}) {
    try {
      return await fetch(base + at, {
        method,
        headers: { ...identity, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw error;
      const late = signal?.aborted;
      throw new ApiError(0, late ? "Roomkeeper did not respond in time" : "Roomkeeper cannot be reached");
    }
  }

  /** Sends a request and returns the JSON response, or throws an `ApiError`. */
  async function request(method, at, body) {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await send(method, at, { body, signal });
    if (!response.ok) throw await errorOf(response);
    try {
      return await response.json();
    } catch {
      throw new ApiError(0, signal.aborted ? "Roomkeeper did not respond in time" : "the response is not valid JSON");
    }
  }

  return {
    get: (at) => request("GET", at),
    post: (at, body = {}) => request("POST", at, body),
    patch: (at, body) => request("PATCH", at, body),
    delete: (at) => request("DELETE", at),

    /** Reads all pages of a list; `cut` if there are more rows than the maximum. */
    async all(at, field, limit) {
      const rows = [];
      let cursor = "";
      do {
        const page = await request("GET", `${at}?limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
        rows.push(...page[field]);
        cursor = page.cursor;
      } while (cursor && rows.length < MAX_ROWS);
      return { rows, cut: Boolean(cursor) };
    },

    /** Opens a stream; `signal` ends it. */
    stream: (at, headers, signal) => send("GET", at, { headers, signal }),
  };
}
