// Shared parts of the views: icons, marks, times, buttons, tables.

import { h } from "../dom.js";

const ICONS = {
  mic: ["M8 1.5a2 2 0 0 1 2 2v4a2 2 0 0 1-4 0v-4a2 2 0 0 1 2-2Z", "M3.5 7.5a4.5 4.5 0 0 0 9 0M8 12v2.5M5.5 14.5h5"],
  micOff: ["M6 4V3.500a2 2 0 0 1 4 0v4M6 7.500a2 2 0 0 0 2.6 1.9", "M3.5 7.500a4.5 4.5 0 0 0 6.7 3.900M12.5 7.500a4.4 4.4 0 0 1-.4 1.900M8 12v2.500M5.5 14.500h5M2 2l12 12"],
  lock: ["M4 7h8v6.500H4Z", "M5.5 7V5a2.5 2.5 0 0 1 5 0v2"],
  unlock: ["M4 7h8v6.500H4Z", "M5.5 7V4.500a2.5 2.5 0 0 1 4.8-.9"],
  record: ["M8 4.500a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7Z"],
  play: ["M5 3.500v9l7.5-4.500Z"],
  stop: ["M4.5 4.500h7v7h-7Z"],
  plus: ["M8 3v10M3 8h10"],
  back: ["M9.5 3.5 5 8l4.5 4.5"],
  close: ["M4 4l8 8M12 4l-8 8"],
  sun: ["M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z", "M8 1v1.500M8 13.500V15M1 8h1.500M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1"],
  moon: ["M13 9.500A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.500Z"],
  auto: ["M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Z", "M8 2v12M9.5 3v10M11 4v8M12.5 5.500v5"],
  out: ["M6.5 3H3v10h3.500M7 8h7M11 5l3 3-3 3"],
  pause: ["M5.500 3.500v9M10.500 3.500v9"],
  copy: ["M5.500 5.500h8v8h-8Z", "M3.500 10.500h-1v-8h8v1"],
  check: ["M3 8.500 6.500 12 13 4.500"],
  volume: ["M2 6h2.500L8 3v10L4.500 10H2Z", "M10.500 5.500a3.500 3.500 0 0 1 0 5M12.500 3.500a6.400 6.400 0 0 1 0 9"],
  warn: ["M8 2 1.5 13.500h13Z", "M8 6.500v3M8 11.500v.2"],
};

/** Filled icons. */
const FILLED = new Set(["record", "play", "stop"]);

export function icon(name) {
  return h(
    "svg",
    { class: FILLED.has(name) ? "icon filled" : "icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    ICONS[name].map((d) => h("path", { d })),
  );
}

/** A coloured word: colour alone carries no meaning. */
export function mark(kind, text, { icon: name = null, title = null, key = null } = {}) {
  return h("span", { class: `mark ${kind}`, title, key }, name && icon(name), text);
}

/** A button. `pending`: the label of a command without confirmation; meanwhile the button does nothing. */
export function button({ label, name = null, kind = "", icon: image = null, pending = null, disabled = false, key = null, on, ...rest }) {
  return h(
    "button",
    {
      type: "button",
      key,
      class: `button ${kind}${pending ? " pending" : ""}`,
      "aria-label": name && (pending ? `${name}: ${pending}` : name),
      // Not `disabled`, so that the button keeps the focus.
      "aria-disabled": pending || disabled ? "true" : null,
      "aria-busy": pending ? "true" : null,
      on: { click: pending || disabled ? ignore : on },
      ...rest,
    },
    image && icon(image),
    h("span", null, pending || label),
  );
}

const ignore = () => {};

/**
 * A button of a command. `entry`: its entry among the pending ones. While it waits for a cooldown, the button counts down and
 * a press cancels it.
 */
export function commandButton({ entry, busy, now, cancel, label, name = null, kind = "", ...rest }) {
  if (entry && entry.sendAt !== null) {
    const text = `${label} in ${Math.max(1, Math.ceil((entry.sendAt - now) / 1000))} s`;
    return button({ ...rest, label: text, name: `${name ?? label}: waits for the cooldown, press to cancel`, title: "Waits for the cooldown and is then sent. Press to cancel.", kind: `${kind} cooling`, disabled: false, on: cancel });
  }
  return button({ label, name, kind, pending: entry ? busy : null, ...rest });
}

/** A button that copies a text. `what`: its name, such as "the room's id". */
export function copyButton(text, what, act) {
  return h(
    "button",
    { type: "button", class: "button copy", key: `copy-${what}`, "aria-label": `Copy ${what}`, title: `Copy ${what}`, on: { click: (event) => copied(event.currentTarget, text, what, act) } },
    icon("copy"),
    icon("check"),
  );
}

async function copied(element, text, what, act) {
  const good = await copyText(text);
  act.announce(good ? `Copied ${what}` : `Cannot copy ${what}`);
  if (!good) return;
  element.classList.add("done");
  setTimeout(() => element.classList.remove("done"), 1500);
}

/** Copies a text; false if the browser refuses. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The interface exists only on secure origins and in a focused window.
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  const focused = document.activeElement;
  // An open dialog makes everything outside it inert.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

const UNITS = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86_400, 3600, "h"],
  [Infinity, 86_400, "d"],
];

/** Formats a duration in one unit. */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [, size, unit] = UNITS.find(([below]) => seconds < below);
  return `${Math.floor(seconds / size)} ${unit}`;
}

/** Formats a running time as a clock: `0:42`, `1:02:03`. */
export function elapsed(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

export function since(at, now, words = "") {
  if (!Number.isFinite(at)) return h("span", null, "–");
  return h("time", { datetime: new Date(at).toISOString(), title: new Date(at).toLocaleString() }, `${span(now - at)}${words}`);
}

/** Formats a time of day, with the date unless it is today. */
export function clock(text) {
  const at = Date.parse(text);
  if (Number.isNaN(at)) return h("span", null, text ?? "–");
  const date = new Date(at);
  const today = new Date().toDateString() === date.toDateString();
  const shown = today ? date.toLocaleTimeString() : date.toLocaleString();
  return h("time", { datetime: text, title: text }, shown);
}

/**
 * A table that becomes cards on narrow screens. Roles are explicit, because a CSS grid removes the implicit ones.
 * `columns`: `{title, class}`; `rows`: `{key, class, cells, attributes}`.
 */
export function table({ label, kind, columns, rows }) {
  return h(
    "div",
    { class: `table ${kind}`, role: "table", "aria-label": label },
    h(
      "div",
      { class: "row head", role: "row" },
      columns.map((column) => h("span", { role: "columnheader", class: column.class }, column.title)),
    ),
    rows.map((row) =>
      h(
        "div",
        { key: row.key, role: "row", class: `row ${row.class ?? ""}`, ...row.attributes },
        row.cells.map((cell, i) =>
          h("div", { role: "cell", class: `cell ${columns[i].class ?? ""}`, "data-label": columns[i].title }, cell),
        ),
      ),
    ),
  );
}

export function empty(text, more = null) {
  return h("p", { class: "empty" }, text, more);
}

export function failure(text, again) {
  return h("p", { class: "failure", role: "alert" }, icon("warn"), h("span", null, text), again && button({ label: "Try again", on: again }));
}

/** A heading that can get the focus when its view opens. */
export function heading(level, text, attributes = {}) {
  return h(`h${level}`, { tabindex: "-1", ...attributes }, text);
}
