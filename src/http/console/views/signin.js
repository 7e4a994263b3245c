// Sign-in with a key.
//
// The inputs have no names and the form has no target, so a browser never puts the key into a URL.

import { h } from "../dom.js";
import { brand } from "./shell.js";

/** `text`: the kind of key. `appId`: null for a page without apps. `signIn(appId, key)`. */
export function signInView({ error, busy, appId, text, signIn }) {
  const described = error && "sign-in-error";
  return [
    h(
      "main",
      { class: "sign-in", key: "sign-in", id: "main" },
      h(
        "form",
        { class: "card", novalidate: true, "aria-labelledby": "sign-in-title", on: { submit: (event) => submitted(event, signIn) } },
        brand(),
        h("h1", { id: "sign-in-title" }, "Sign in"),
        h("p", { class: "muted" }, `${text} It is stored in this tab until you sign out or close the tab.`),
        appId !== null &&
          h(
            "div",
            { class: "field" },
            h("label", { for: "app-id" }, "App"),
            h("input", { id: "app-id", type: "text", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", value: appId, "aria-describedby": described }),
          ),
        h(
          "div",
          { class: "field" },
          h("label", { for: "api-key" }, "Key"),
          h("input", { id: "api-key", type: "password", required: true, autocomplete: "off", spellcheck: "false", "aria-describedby": described, "aria-invalid": error ? "true" : null }),
        ),
        h("p", { class: "failure", role: "alert", id: "sign-in-error", hidden: !error }, error),
        h("button", { type: "submit", class: "button primary wide", "aria-busy": busy ? "true" : null }, busy ? "Signing in …" : "Sign in"),
      ),
    ),
  ];
}

function submitted(event, signIn) {
  event.preventDefault();
  const value = (id) => document.getElementById(id)?.value.trim() ?? "";
  signIn(value("app-id"), value("api-key"));
}
