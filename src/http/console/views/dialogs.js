// Dialogs: a form that shows its errors.
//
// Owns focus: it enters the dialog, stays inside, and returns to its origin. Leaves out the use of the values.

import { create, h } from "../dom.js";
import { button, copyButton } from "./parts.js";

let number = 0;

/**
 * Opens a dialog. `fields`: `{id, label, type, hint, options, required, pattern, value, placeholder}` with `type` `text`,
 * `select` or `lines`. Submitting calls `action(values, waits)`; an exception is shown and leaves the dialog open.
 * `waits`: `onWait(time)` shows a cooldown until that time, and `signal` ends it when the dialog closes.
 */
export function ask({ title, text = null, fields = [], submit, danger = false, action }) {
  number += 1;
  const id = (name) => `dialog-${number}-${name}`;
  const dialog = create(
    h(
      "dialog",
      { "aria-labelledby": id("title"), class: "dialog" },
      h(
        "form",
        { method: "dialog", novalidate: true },
        h("h2", { id: id("title") }, title),
        text && h("p", null, text),
        fields.map((field) => fieldOf(field, id)),
        h("p", { class: "failure", role: "alert", id: id("error"), hidden: true }),
        h(
          "div",
          { class: "dialog-buttons" },
          button({ label: "Cancel", on: () => dialog.close() }),
          h("button", { type: "submit", class: `button ${danger ? "danger solid" : "primary"}` }, submit),
        ),
      ),
    ),
  );
  const form = dialog.querySelector("form");
  const error = dialog.querySelector(".failure");
  const send = dialog.querySelector("[type=submit]");
  const inputs = new Map(fields.map((field) => [field.id, dialog.querySelector(`#${id(field.id)}`)]));

  const closed = new AbortController();
  const waits = { onWait: (time) => countDown(send, submit, time), signal: closed.signal };
  const show = (message, field = null) => {
    error.textContent = message;
    error.hidden = false;
    for (const [name, input] of inputs) input.toggleAttribute("aria-invalid", name === field);
    (inputs.get(field) ?? [...inputs.values()][0] ?? send).focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.getAttribute("aria-busy")) return;
    for (const field of fields) {
      const input = inputs.get(field.id);
      if (!input.checkValidity()) return show(`${field.label}: ${field.hint ?? input.validationMessage}`, field.id);
    }
    error.hidden = true;
    send.setAttribute("aria-busy", "true");
    try {
      await action(Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()])), waits);
      dialog.close();
    } catch (failed) {
      show(failed.text ?? failed.message, failed.detail?.field ?? null);
    } finally {
      send.removeAttribute("aria-busy");
    }
  });
  open(dialog, () => closed.abort());
  ([...inputs.values()][0] ?? dialog.querySelector(".dialog-buttons .button"))?.focus();
}

/** Shows a secret that cannot be shown again. */
export function showSecret({ title, text, secret, act }) {
  number += 1;
  const id = `dialog-${number}-title`;
  const dialog = create(
    h(
      "dialog",
      { "aria-labelledby": id, class: "dialog" },
      h("h2", { id }, title),
      h("p", null, text),
      h("p", { class: "secret" }, h("code", { class: "mono" }, secret), copyButton(secret, "the secret", act)),
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button primary", on: { click: () => dialog.close() } }, "Done")),
    ),
  );
  open(dialog, () => {}, false);
  dialog.querySelector(".copy").focus();
}

function open(dialog, onClose, closesOutside = true) {
  dialog.addEventListener("keydown", (event) => stay(dialog, event));
  if (closesOutside) dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const opener = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose();
    // The browser restores focus, but the element may be gone, such as the button of a deleted room.
    if (!opener?.isConnected || document.activeElement === document.body) document.querySelector("main h2, main h1")?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Shows a cooldown on the button until that time; null ends it. */
function countDown(send, submit, time) {
  clearInterval(send.timer);
  const show = () => {
    send.textContent = time === null ? submit : `${submit} in ${Math.max(1, Math.ceil((time - Date.now()) / 1000))} s`;
  };
  show();
  if (time !== null) send.timer = setInterval(() => (send.isConnected ? show() : clearInterval(send.timer)), 200);
}

function fieldOf({ id: name, label, type = "text", hint = null, options = [], required = true, value = "", ...rest }, id) {
  const shared = { id: id(name), required, "aria-describedby": hint && id(`${name}-hint`), autocomplete: "off", spellcheck: "false" };
  const input =
    type === "select"
      ? h("select", shared, options.map((option) => h("option", { value: option.value, selected: option.value === value }, option.label)))
      : type === "lines"
        ? h("textarea", { ...shared, ...rest, rows: "3" })
        : h("input", { ...shared, ...rest, type: "text", value });
  return h(
    "div",
    { class: "field" },
    h("label", { for: id(name) }, label),
    input,
    hint && h("p", { class: "hint", id: id(`${name}-hint`) }, hint),
  );
}

/** Keeps Tab inside: a native dialog would let focus leave to the browser's window. */
function stay(dialog, event) {
  if (event.key !== "Tab") return;
  const all = [...dialog.querySelectorAll("button, input, select, textarea")].filter((one) => !one.disabled);
  const [first, last] = [all[0], all[all.length - 1]];
  if (event.shiftKey && document.activeElement === first) {
    event.preventDefault();
    last.focus();
  } else if (!event.shiftKey && document.activeElement === last) {
    event.preventDefault();
    first.focus();
  }
}

/** Closes all dialogs, after sign-out. */
export function closeAll() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}
