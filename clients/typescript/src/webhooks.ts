import { Webhook } from "standardwebhooks";
import { WebhookFormatError, WebhookVerificationError } from "./errors.js";
import type { LiveEvent } from "./generated/extras.js";
import type { webhooks } from "./generated/schema.js";

/** The body of a webhook; `event` tells which. */
export type WebhookEvent = {
  [Name in keyof webhooks]: webhooks[Name]["post"]["requestBody"]["content"]["application/json"];
}[keyof webhooks];

/** An event of the stream: those of webhooks, and those that are not stored. A newer server can send others. */
export type StreamedBody = WebhookEvent | LiveEvent;

type HeaderValues = Headers | Record<string, string | string[] | undefined>;

/**
 * Verifies the webhooks of one endpoint, by Standard Webhooks.
 *
 * Roomkeeper signs with both secrets while one is replaced, so a receiver that knows either accepts its webhooks. Give
 * both here when you set a secret yourself, and remove the old one a day later.
 */
export class WebhookVerifier {
  readonly #webhooks: Webhook[];

  constructor(secret: string | readonly string[]) {
    const secrets = typeof secret === "string" ? [secret] : secret;
    if (secrets.length === 0) throw new Error("a webhook secret is required");
    this.#webhooks = secrets.map((one) => new Webhook(one));
  }

  /**
   * Returns the event of a genuine request.
   *
   * `body` are the bytes as received: parsed and serialized JSON has another signature. A request that is older than five
   * minutes, or that far in the future, is refused.
   */
  verify(body: Uint8Array | string, headers: HeaderValues): WebhookEvent {
    const text = typeof body === "string" ? body : Buffer.from(body);
    const given = plain(headers);
    if (!this.#webhooks.some((webhook) => isGenuine(webhook, text, given))) {
      throw new WebhookVerificationError("the webhook has no valid signature of the last five minutes");
    }
    return parseEvent(text.toString()) as WebhookEvent;
  }
}

function isGenuine(webhook: Webhook, body: string | Buffer, headers: Record<string, string>): boolean {
  try {
    webhook.verify(body, headers, { jsonParse: false });
    return true;
  } catch {
    // Any failure, also of malformed headers, means that nothing is proven.
    return false;
  }
}

function plain(headers: HeaderValues): Record<string, string> {
  const entries = headers instanceof Headers ? [...headers.entries()] : Object.entries(headers);
  const single = entries.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries(single.map(([name, value]) => [name.toLowerCase(), value]));
}

/** Returns the event of a body that is known to be genuine. */
export function parseEvent(text: string): StreamedBody {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new WebhookFormatError("the body is not JSON");
  }
  const isEvent = typeof body === "object" && body !== null && "event" in body && typeof body.event === "string";
  if (!isEvent) throw new WebhookFormatError("the body is not an event");
  return body as StreamedBody;
}
