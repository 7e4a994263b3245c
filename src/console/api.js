// Requests to the gateway API, and what became of them.
//
// Owns the headers with the key, the one form of errors, and lists that come in pages. Leaves out what is done with an
// answer. The key is in a header of each request and nowhere else: never in a URL, never in a message.

const BASE = "/api/v1";

/** How long a request may take. The API answers sooner, also when FreeSWITCH does not. */
const PATIENCE_MS = 20_000;

/** Lists are read up to here: more is not shown, and the page says so. */
export const MOST_ROWS = 5_000;

/** What the API answered that is not a success; `status` 0: nobody answered. */
export class ApiError extends Error {
  constructor(status, message, { detail = null, retryAfterMs = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
  }

  /** The text of the API, and when to come back where it said so. */
  get text() {
    const wait = this.retryAfterMs;
    return wait === null ? this.message : `${this.message} (again in ${(Math.ceil(wait / 100) / 10).toFixed(1)} s)`;
  }
}

/** The error of an answer that is not a success, whatever its body is. */
export async function errorOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    // A proxy between may have answered with something else.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  const exact = body?.detail?.retry_after_ms;
  const retryAfterMs = Number.isFinite(exact) ? exact : seconds > 0 ? seconds * 1000 : null;
  const message = typeof body?.error === "string" ? body.error : `the answer was ${response.status}`;
  return new ApiError(response.status, message, { detail: body?.detail ?? null, retryAfterMs });
}

/** An id of a command, so that its webhook can be told: no other is like it. */
export function commandUid() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return "console-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is in a path comes from answers, but is escaped all the same. */
export function path(strings, ...values) {
  return strings.reduce((text, part, i) => text + part + (i < values.length ? encodeURIComponent(values[i]) : ""), "");
}

export function createApi({ appId, key }) {
  const identity = { "X-App-ID": appId, "X-API-Key": key };

  async function send(method, at, { body, headers, signal } = {}) {
    try {
      return await fetch(BASE + at, {
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
      throw new ApiError(0, late ? "Roomkeeper did not answer in time" : "Roomkeeper cannot be reached");
    }
  }

  /** One request; its answer as JSON, or an `ApiError`. */
  async function request(method, at, body) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await send(method, at, { body, signal });
    if (!response.ok) throw await errorOf(response);
    try {
      return await response.json();
    } catch {
      throw new ApiError(0, signal.aborted ? "Roomkeeper did not answer in time" : "the answer cannot be read");
    }
  }

  return {
    appId,
    get: (at) => request("GET", at),
    post: (at, body = {}) => request("POST", at, body),
    patch: (at, body) => request("PATCH", at, body),
    delete: (at) => request("DELETE", at),

    /** All rows of a list, page after page; `cut` when there are more than are read. */
    async all(at, field, limit) {
      const rows = [];
      let cursor = "";
      do {
        const page = await request("GET", `${at}?limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
        rows.push(...page[field]);
        cursor = page.cursor;
      } while (cursor && rows.length < MOST_ROWS);
      return { rows, cut: Boolean(cursor) };
    },

    /** The response of a stream, whose body goes on until `signal` ends it. */
    stream: (at, headers, signal) => send("GET", at, { headers, signal }),
  };
}
