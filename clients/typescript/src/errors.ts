import { retryAfter } from "./retry.js";

/** A refusal of Roomkeeper. */
export class ApiError extends Error {
  constructor(
    /** The HTTP status. */
    readonly status: number,
    /** The error as text. */
    readonly error: string,
    /** Machine-readable details, such as `field` or `room_id`. */
    readonly detail: Record<string, unknown>,
    /** Seconds after which the request may be sent again, if Roomkeeper has named them. */
    readonly retryAfter: number | undefined,
  ) {
    super(`${status}: ${error}`);
    this.name = "ApiError";
  }

  /** True if the same request may succeed later. */
  get isTemporary(): boolean {
    return this.status === 429 || this.status >= 500;
  }

  /** Reads the error from a response and its parsed body; a proxy's may have any form. */
  static from(response: Response, body: unknown): ApiError {
    const failure = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
    const error = typeof failure.error === "string" ? failure.error : response.statusText;
    const detail = (failure.detail ?? {}) as Record<string, unknown>;
    return new ApiError(response.status, error, detail, retryAfter(response));
  }
}

/** A request that is not a genuine webhook: answer 401. */
export class WebhookVerificationError extends Error {
  override name = "WebhookVerificationError";
}

/** A signed body that is no event: answer 400. */
export class WebhookFormatError extends Error {
  override name = "WebhookFormatError";
}
