// A receiver of Roomkeeper's webhooks, in JavaScript (Node.js 18 or later).
//
//     npm install
//     WEBHOOK_SECRET=whsec_… PORT=9999 node receiver.mjs
//
// It verifies each message with the official library of Standard Webhooks, handles each once, and prints it.

import { createServer } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const LONGEST = 1024 * 1024;
// Number of remembered ids. An application stores the id in the same transaction as the effect of the message.
const REMEMBERED = 10_000;

if (!process.env.WEBHOOK_SECRET) {
  console.error("WEBHOOK_SECRET is not set");
  process.exit(1);
}
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const seen = new Set();

function isNew(id) {
  if (seen.has(id)) return false;
  seen.add(id);
  // A set keeps the order of insertion: the first is the oldest.
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  return true;
}

async function read(request) {
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    // Reads a body that is too long to its end without keeping it, so that the sender sees the answer.
    if (length <= LONGEST) pieces.push(piece);
  }
  return length <= LONGEST ? Buffer.concat(pieces) : null;
}

async function receive(request) {
  if (request.method !== "POST" || request.url !== "/hook") return 404;
  const body = await read(request);
  if (body === null) return 413;
  let message;
  try {
    // Verifies the bytes as received: parsed and serialized JSON has another signature. Also refuses a message older
    // than five minutes.
    message = webhook.verify(body, request.headers);
  } catch (error) {
    // A valid signature over a body that is not JSON is another error.
    return error instanceof WebhookVerificationError ? 401 : 400;
  }
  // The same id is the same message, sent again because the answer was lost.
  if (isNew(request.headers["webhook-id"])) {
    const about = message.room_id ?? message.session_uuid ?? "-";
    console.log(JSON.stringify(message.event), about, JSON.stringify(message.data));
  }
  // Answers at once: work that takes more than a few seconds follows the answer.
  return 204;
}

const server = createServer(async (request, response) => {
  try {
    response.writeHead(await receive(request)).end();
  } catch {
    // The connection is gone.
    response.destroy();
  }
});
server.listen(Number(process.env.PORT ?? 9999), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/hook`);
});
