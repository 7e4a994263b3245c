// Dialogs: a form that shows its errors.
//
// Owns focus: it enters the dialog, stays inside, and returns to its origin. Leaves out the use of the values.

import { create, h } from "../dom.js";
import { button } from "./parts.js";

let number = 0;

/**
 * Opens a dialog. `fields`: `{id, label, type, hint, options, required, pattern, value, placeholder}` with `type` `text`,
 * `select` or `lines`. Submitting calls `action(values)`; an exception is shown and leaves the dialog open.
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
      await action(Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()])));
      dialog.close();
    } catch (failed) {
      show(failed.text ?? failed.message, failed.detail?.field ?? null);
    } finally {
      send.removeAttribute("aria-busy");
    }
  });
  dialog.addEventListener("keydown", (event) => stay(dialog, event));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const opener = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    // The browser restores focus, but the element may be gone, such as the button of a deleted room.
    if (!opener?.isConnected || document.activeElement === document.body) document.querySelector("main h2, main h1")?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  ([...inputs.values()][0] ?? dialog.querySelector(".dialog-buttons .button"))?.focus();
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
