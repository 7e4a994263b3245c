export { Roomkeeper, type RoomkeeperOptions, result } from "./client.js";
export { ApiError, WebhookFormatError, WebhookVerificationError } from "./errors.js";
export type { LiveEvent } from "./generated/extras.js";
export type { components, operations, paths, webhooks } from "./generated/schema.js";
export { type RetryPolicy } from "./retry.js";
export { EventStream, type StreamedEvent, type StreamOptions } from "./stream.js";
export { parseEvent, type StreamedBody, type WebhookEvent, WebhookVerifier } from "./webhooks.js";
