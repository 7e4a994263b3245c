import createClient, { type Client } from "openapi-fetch";
import { ApiError } from "./errors.js";
import type { paths } from "./generated/schema.js";
import { DEFAULT_POLICY, type RetryPolicy, retryingFetch } from "./retry.js";
import { EventStream, type StreamOptions } from "./stream.js";

/** The options of a client. */
export interface RoomkeeperOptions {
  /** The address of the API, such as `http://127.0.0.1:8080`. */
  baseUrl: string;
  appId: string;
  apiKey: string;
  /** Changes to the retry policy. */
  retry?: Partial<RetryPolicy>;
  /** The time limit of one attempt, in seconds. */
  timeout?: number;
  /** Another `fetch`. */
  fetch?: typeof fetch;
}

/**
 * A client of one app.
 *
 * `GET`, `POST`, `PUT`, `PATCH` and `DELETE` take a path of the API and its typed parameters. Requests that Roomkeeper
 * refuses for a time, or that a connection loses, are sent again by the policy. Commands get a `command_uid`, so that
 * Roomkeeper executes them once.
 */
export class Roomkeeper {
  readonly #options: RoomkeeperOptions;
  readonly GET: Client<paths>["GET"];
  readonly POST: Client<paths>["POST"];
  readonly PUT: Client<paths>["PUT"];
  readonly PATCH: Client<paths>["PATCH"];
  readonly DELETE: Client<paths>["DELETE"];

  constructor(options: RoomkeeperOptions) {
    this.#options = options;
    const policy = { ...DEFAULT_POLICY, ...options.retry };
    const client = createClient<paths>({
      baseUrl: options.baseUrl,
      headers: this.#headers(),
      fetch: retryingFetch(policy, options.timeout ?? 10, options.fetch),
    });
    ({ GET: this.GET, POST: this.POST, PUT: this.PUT, PATCH: this.PATCH, DELETE: this.DELETE } = client);
  }

  /** Follows the app's events, or those of one room. */
  followEvents(options: StreamOptions = {}): EventStream {
    return new EventStream(this.#options.baseUrl, this.#headers(), options, this.#options.fetch);
  }

  #headers(): Record<string, string> {
    return { "X-App-ID": this.#options.appId, "X-API-Key": this.#options.apiKey };
  }
}

/** Returns the body of a successful answer, or throws an `ApiError`. */
export async function result<Data>(
  answer: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<NonNullable<Data>> {
  const { data, error, response } = await answer;
  if (!response.ok || data === undefined || data === null) throw ApiError.from(response, error);
  return data;
}
