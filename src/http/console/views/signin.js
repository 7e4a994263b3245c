// Sign-in with an app's key.
//
// The inputs have no names and the form has no target, so a browser never puts the key into a URL.

import { h } from "../dom.js";
import { brand } from "./shell.js";

export function signInView({ error, busy, appId, signIn }) {
  return [
    h(
      "main",
      { class: "sign-in", key: "sign-in", id: "main" },
      h(
        "form",
        { class: "card", novalidate: true, "aria-labelledby": "sign-in-title", on: { submit: (event) => submitted(event, signIn) } },
        brand(),
        h("h1", { id: "sign-in-title" }, "Sign in"),
        h("p", { class: "muted" }, "Use an app's key. It is stored in this tab until you sign out or close the tab."),
        h(
          "div",
          { class: "field" },
          h("label", { for: "app-id" }, "App"),
          h("input", { id: "app-id", type: "text", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", value: appId, "aria-describedby": error && "sign-in-error" }),
        ),
        h(
          "div",
          { class: "field" },
          h("label", { for: "api-key" }, "Key"),
          h("input", { id: "api-key", type: "password", required: true, autocomplete: "off", spellcheck: "false", "aria-describedby": error && "sign-in-error", "aria-invalid": error ? "true" : null }),
        ),
        h("p", { class: "failure", role: "alert", id: "sign-in-error", hidden: !error }, error),
        h("button", { type: "submit", class: "button primary wide", "aria-busy": busy ? "true" : null }, busy ? "Signing in …" : "Sign in"),
      ),
    ),
  ];
}

function submitted(event, signIn) {
  event.preventDefault();
  const app = document.getElementById("app-id");
  const key = document.getElementById("api-key");
  signIn(app.value.trim(), key.value.trim());
}
