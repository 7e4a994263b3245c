import { randomUUID } from "node:crypto";
import { COMMAND_PATHS } from "./generated/extras.js";

/** How often and after which waits a request is sent again. */
export interface RetryPolicy {
  /** The number of attempts, the first one included. */
  attempts: number;
  /** The longest wait in seconds. A request whose `Retry-After` is longer is not sent again. */
  longestWait: number;
  /** The wait after the first failure without a `Retry-After`, in seconds; it doubles each time. */
  firstWait: number;
  /** Waits for seconds; tests replace it. */
  sleep: (seconds: number) => Promise<void>;
  /** Returns a number from 0 to 1; tests replace it. */
  jitter: () => number;
}

/** Waits for seconds, or until the signal is aborted. */
export const sleep = (seconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal?.addEventListener("abort", end);
  });

export const DEFAULT_POLICY: RetryPolicy = {
  attempts: 4,
  longestWait: 30,
  firstWait: 0.25,
  sleep,
  jitter: Math.random,
};

// Refusals that end by themselves.
const RETRY_STATUSES = new Set([429, 503]);
// A repeated request of these methods changes nothing more than the first.
const IDEMPOTENT_METHODS = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** The seconds of `Retry-After`, which Roomkeeper sends as a whole number. */
export function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after") ?? "";
  return /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

/** Returns the wait before this attempt (the second is 2), or nothing if there must be no further one. */
export function waitBefore(policy: RetryPolicy, attempt: number, response?: Response): number | undefined {
  if (attempt > policy.attempts) return undefined;
  const asked = response && retryAfter(response);
  if (asked !== undefined) {
    if (asked > policy.longestWait) return undefined;
    // A little later than asked, so that many clients do not return at the same moment.
    return Math.min(asked + policy.jitter() * Math.min(1, asked / 4), policy.longestWait);
  }
  return policy.jitter() * Math.min(policy.firstWait * 2 ** (attempt - 2), policy.longestWait);
}

/**
 * A `fetch` that gives commands an idempotency key and retries.
 *
 * A request is sent again if Roomkeeper refused it with 429 or 503, or if the connection failed, and if repeating it does
 * no harm: it only reads, is idempotent by its method, or carries a `command_uid`.
 */
export function retryingFetch(
  policy: RetryPolicy,
  timeout: number,
  inner: typeof fetch = fetch,
): (request: Request) => Promise<Response> {
  return async (given) => {
    const { request, body, uid } = await withCommandUid(given);
    const isIdempotent = IDEMPOTENT_METHODS.has(request.method) || uid !== undefined;
    for (let attempt = 2; ; attempt += 1) {
      let response: Response | undefined;
      let failure: unknown;
      try {
        const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeout * 1000)]);
        response = await inner(request.url, {
          method: request.method,
          headers: request.headers,
          signal,
          ...(body === undefined ? {} : { body }),
        });
        if (!RETRY_STATUSES.has(response.status)) return response;
      } catch (error) {
        if (request.signal.aborted) throw error;
        failure = error;
      }
      // A request that got 429 was refused before anything was done.
      const mayRepeat = isIdempotent || response?.status === 429;
      const wait = mayRepeat ? waitBefore(policy, attempt, response) : undefined;
      if (wait === undefined) {
        if (response) return response;
        throw failure;
      }
      await response?.body?.cancel();
      await policy.sleep(wait);
    }
  };
}

interface Prepared {
  request: Request;
  body?: string;
  uid?: string;
}

/** Reads the body, and gives a command a `command_uid` if the caller has given none. */
async function withCommandUid(request: Request): Promise<Prepared> {
  const text = await request.text();
  const path = new URL(request.url).pathname;
  const isCommand = request.method === "POST" && COMMAND_PATHS.some((known) => known.test(path));
  const fields = parsed(text === "" && isCommand ? "{}" : text);
  if (isCommand && fields && fields.command_uid == null) {
    const uid = randomUUID();
    const headers = new Headers(request.headers);
    headers.set("Content-Type", "application/json");
    const { url, method, signal } = request;
    const body = JSON.stringify({ ...fields, command_uid: uid });
    return { request: new Request(url, { method, headers, signal }), body, uid };
  }
  const uid = fields?.command_uid;
  return {
    request,
    ...(text === "" ? {} : { body: text }),
    ...(typeof uid === "string" ? { uid } : {}),
  };
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
