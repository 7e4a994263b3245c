// Starts the viewer on the document of this listener. Everything that would use another host is off: fonts, the proxy,
// telemetry, assistants and the vendor's client.
"use strict";

Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  theme: "default",
  layout: "modern",
  withDefaultFonts: false,
  telemetry: false,
  proxyUrl: "",
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  // Keys stay in the page's memory.
  persistAuth: false,
  showOperationId: true,
});
