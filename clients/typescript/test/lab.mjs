// `roomkeeper lab` for tests, on free ports, and what stands between it and a client.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";

export const APP = { appId: "demo", apiKey: "lab-key" };
const PATIENCE = 30_000;

/** Values that one side adds and the other waits for. */
export class Mailbox {
  #values = [];
  #waiting = [];

  add(value) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#values.push(value);
  }

  async next() {
    if (this.#values.length > 0) return this.#values.shift();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("nothing came in time")), PATIENCE);
    });
    const next = new Promise((resolve) => this.#waiting.push(resolve));
    return Promise.race([next, late]).finally(() => clearTimeout(timer));
  }

  /** The added values that nobody has taken yet. */
  get rest() {
    return this.#values;
  }
}

/** Starts a lab; returns its address and a function that ends it. */
export async function startLab() {
  const binary = process.env.ROOMKEEPER_BINARY ?? new URL("../../../target/debug/roomkeeper", import.meta.url).pathname;
  const state = await mkdtemp(join(tmpdir(), "roomkeeper-"));
  const child = spawn(binary, ["lab", "--port", "0", "--admin-port", "0"], {
    env: { ...process.env, XDG_STATE_HOME: state },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const close = async () => {
    if (child.exitCode === null) {
      child.kill();
      await once(child, "exit");
    }
    await rm(state, { recursive: true });
  };
  const ready = new Mailbox();
  let url;
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.trim().startsWith("API ")) url = line.trim().split(/\s+/)[1];
    if (line.includes("Ctrl-C ends the lab")) ready.add(url);
  });
  return { url: await ready.next(), close };
}

/** Passes connections on, and cuts them on request. */
export async function startProxy(url) {
  const { hostname, port } = new URL(url);
  const open = new Set();
  let connections = 0;
  const listener = createServer((client) => {
    connections += 1;
    const server = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      open.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const cut = () => open.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    cut,
    connections: () => connections,
    close: () => {
      cut();
      listener.close();
    },
  };
}

/** Starts a webhook endpoint that keeps requests as received. */
export async function startReceiver() {
  const received = new Mailbox();
  const server = createHttpServer(async (request, response) => {
    received.add({ body: await buffer(request), headers: request.headers });
    response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/hook`, next: () => received.next(), close };
}
