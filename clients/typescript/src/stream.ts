import { createParser, type EventSourceMessage } from "eventsource-parser";
import { ApiError } from "./errors.js";
import { sleep } from "./retry.js";
import { type StreamedBody, parseEvent } from "./webhooks.js";

/** One event of the stream. */
export interface StreamedEvent {
  /** The position behind the event, to resume from; absent for events that are not stored. */
  id?: string;
  /** The event. */
  event: StreamedBody;
}

/** The options of a stream. */
export interface StreamOptions {
  /** Only events of this room. */
  roomId?: string;
  /** Only these events: names and prefixes such as `call.*`. */
  events?: readonly string[];
  /** The position to resume from. */
  lastEventId?: string;
  /** Ends the stream. */
  signal?: AbortSignal;
  /** The longest wait before a reconnect, in seconds. */
  longestWait?: number;
  /** Waits for seconds, or until the signal is aborted; tests replace it. */
  sleep?: (seconds: number, signal?: AbortSignal) => Promise<void>;
  /** Returns a number from 0 to 1; tests replace it. */
  jitter?: () => number;
}

// Roomkeeper sends a comment every 15 seconds.
const SILENCE = 45_000;
// Statuses that end by themselves.
const TEMPORARY = new Set([429, 500, 502, 503, 504]);

/**
 * Iterates over events, and reconnects after each cut with the `Last-Event-ID` of the last one.
 *
 * It begins with `stream.open`. After `stream.gap`, events are missing: read the state again. The stream of one room ends
 * with its `conference.destroyed`.
 */
export class EventStream implements AsyncIterable<StreamedEvent> {
  readonly #url: URL;
  readonly #headers: Record<string, string>;
  readonly #options: StreamOptions;
  readonly #fetch: typeof fetch;
  #retry = 2;
  #failures = 0;
  #isOver = false;
  /** The position of the last event. Store it to resume after a restart of the application. */
  lastEventId: string | undefined;

  constructor(baseUrl: string, headers: Record<string, string>, options: StreamOptions, inner: typeof fetch = fetch) {
    this.#url = new URL(`${baseUrl.replace(/\/$/, "")}/api/v1/events`);
    if (options.roomId) this.#url.searchParams.set("room_id", options.roomId);
    if (options.events?.length) this.#url.searchParams.set("event", options.events.join(","));
    this.#headers = { ...headers, Accept: "text/event-stream" };
    this.#options = options;
    this.#fetch = inner;
    this.lastEventId = options.lastEventId;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StreamedEvent, void, undefined> {
    const { signal } = this.#options;
    while (!signal?.aborted && !this.#isOver) {
      let asked: number | undefined;
      try {
        yield* this.#connection();
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof ApiError) {
          // The room has ended, and all its events were received.
          if (error.status === 404 && this.lastEventId !== undefined && this.#options.roomId) return;
          if (!TEMPORARY.has(error.status)) throw error;
          asked = error.retryAfter;
        } else if (!(error instanceof ConnectionError)) {
          throw error;
        }
      }
      if (signal?.aborted || this.#isOver) return;
      await (this.#options.sleep ?? sleep)(this.#wait(asked), signal);
    }
  }

  #wait(asked: number | undefined): number {
    this.#failures += 1;
    const wait = asked ?? this.#retry * 2 ** Math.min(this.#failures - 1, 10);
    const jitter = this.#options.jitter ?? Math.random;
    return Math.min(wait, this.#options.longestWait ?? 30) * (1 + jitter() / 4);
  }

  async *#connection(): AsyncGenerator<StreamedEvent, void, undefined> {
    const ended = new AbortController();
    const stop = (): void => ended.abort();
    this.#options.signal?.addEventListener("abort", stop);
    // A connection that is silent for too long is dead.
    const spoken = <T>(step: Promise<T>): Promise<T> => {
      const silence = setTimeout(stop, SILENCE);
      return step.finally(() => clearTimeout(silence));
    };
    try {
      const response = await spoken(this.#request(ended.signal));
      const messages: EventSourceMessage[] = [];
      const parser = createParser({
        onEvent: (message) => messages.push(message),
        onRetry: (milliseconds) => (this.#retry = milliseconds / 1000),
      });
      const decoder = new TextDecoder();
      const reader = response.body!.getReader();
      for (;;) {
        const { done, value } = await spoken(reader.read()).catch((error: unknown) => {
          throw new ConnectionError(error);
        });
        if (done) return;
        parser.feed(decoder.decode(value, { stream: true }));
        for (const message of messages.splice(0)) {
          yield this.#received(message);
          if (this.#isOver || this.#options.signal?.aborted) return;
        }
      }
    } finally {
      this.#options.signal?.removeEventListener("abort", stop);
      stop();
    }
  }

  async #request(signal: AbortSignal): Promise<Response> {
    const headers = { ...this.#headers, ...(this.lastEventId === undefined ? {} : { "Last-Event-ID": this.lastEventId }) };
    const response = await this.#fetch(this.#url, { headers, signal }).catch((error: unknown) => {
      throw new ConnectionError(error);
    });
    if (response.status === 200) return response;
    const body: unknown = await response.json().catch(() => undefined);
    throw ApiError.from(response, body);
  }

  #received(message: EventSourceMessage): StreamedEvent {
    const event = parseEvent(message.data);
    this.#failures = 0;
    if (message.id) this.lastEventId = message.id;
    if (this.#options.roomId && event.event === "conference.destroyed") this.#isOver = true;
    return message.id ? { id: message.id, event } : { event };
  }
}

/** A connection that failed or ended; the stream opens another one. */
class ConnectionError extends Error {
  constructor(cause: unknown) {
    super("the connection failed", { cause });
  }
}
