// The event stream: server-sent events over fetch, because an EventSource cannot carry the key in a header.
//
// Owns the wire format, reconnecting, and the resume position. Leaves out the meaning of events.

import { ApiError, errorOf } from "./api.js";

/** The first and the longest pause after a lost connection. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** The maximum size of an event. Real ones have a few hundred bytes. */
const MAX_EVENT = 1 << 20;

/**
 * Parses text in any pieces into events: `{id, event, data}`. After the HTML standard, "Interpreting an event stream".
 */
export class SseParser {
  #buffer = "";
  #data = [];
  #size = 0;
  #event = "";
  #skipLf = false;
  #first = true;
  /** The id of the last event, from which to resume. */
  lastId = "";
  /** The server's pause before the next attempt. */
  retryMs = null;
  #id = "";

  push(text) {
    const events = [];
    if (this.#first && text !== "") {
      this.#first = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    // A line may end with CR in one piece and LF in the next.
    if (this.#skipLf && text.startsWith("\n")) text = text.slice(1);
    if (text !== "") this.#skipLf = text.endsWith("\r");
    this.#buffer += text;
    const lines = this.#buffer.split(/\r\n|\r|\n/);
    this.#buffer = lines.pop();
    for (const line of lines) {
      const event = this.#line(line);
      if (event) events.push(event);
    }
    if (this.#buffer.length + this.#size > MAX_EVENT) throw new Error("an event of the stream is too long");
    return events;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "event") {
      this.#event = value;
    } else if (field === "id" && !value.includes("\0")) {
      this.#id = value;
    } else if (field === "retry" && /^[0-9]+$/.test(value)) {
      this.retryMs = Number(value);
    }
    return null;
  }

  #dispatch() {
    const data = this.#data;
    const event = this.#event || "message";
    this.#data = [];
    this.#size = 0;
    this.#event = "";
    this.lastId = this.#id;
    return data.length === 0 ? null : { id: this.lastId, event, data: data.join("\n") };
  }
}

/** The pause before the n-th attempt (from 0): it doubles each time and is random in its upper half. */
export function pause(attempt, random = Math.random) {
  const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10));
  return most / 2 + (random() * most) / 2;
}

/**
 * Keeps a stream open until `close()`.
 *
 * `onEvent({id, event, data})` gets each event with its data parsed, in order. `onLink({status, retryAt?, error?})` gets
 * `connecting`, `open`, `lost` (with the time of the next attempt) and `refused`, which is final.
 */
export function openStream({ api, at, quietMs, onEvent, onLink, random = Math.random }) {
  let closed = false;
  let lastId = "";
  let retryMs = 0;
  let attempt = 0;
  let current = null;
  let wake = null;

  async function once() {
    const ended = new AbortController();
    current = ended;
    // A server that has vanished sends no keep-alive.
    let quiet = setTimeout(() => ended.abort(), quietMs);
    const restartTimer = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => ended.abort(), quietMs);
    };
    try {
      const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
      const response = await api.stream(at, headers, ended.signal);
      if (!response.ok) throw await errorOf(response);
      restartTimer();
      onLink({ status: "open" });
      const parser = new SseParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || closed) return;
        restartTimer();
        // A connection works only once data has arrived.
        attempt = 0;
        for (const event of parser.push(value)) {
          if (event.id) lastId = event.id;
          onEvent({ ...event, data: parsed(event.data) });
        }
        if (parser.retryMs !== null) retryMs = parser.retryMs;
      }
    } finally {
      clearTimeout(quiet);
      ended.abort();
    }
  }

  async function run() {
    while (!closed) {
      onLink({ status: "connecting" });
      let error = null;
      try {
        await once();
      } catch (failed) {
        error = failed;
      }
      if (closed) return;
      if (error instanceof ApiError && error.status === 401) {
        onLink({ status: "refused", error });
        return;
      }
      // The server no longer knows the resume position, so the stream starts now.
      if (error instanceof ApiError && error.status === 400) lastId = "";
      const wait = Math.max(pause(attempt, random), retryMs, error?.retryAfterMs ?? 0);
      attempt += 1;
      onLink({ status: "lost", retryAt: Date.now() + wait, error: error instanceof ApiError ? error.text : null });
      await new Promise((done) => {
        const timer = setTimeout(done, wait);
        wake = () => {
          clearTimeout(timer);
          done();
        };
      });
      wake = null;
    }
  }

  run();
  return {
    /** Skips the pause before the next attempt. */
    now() {
      wake?.();
    },
    close() {
      closed = true;
      current?.abort();
      wake?.();
    },
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
