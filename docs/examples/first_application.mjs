// Puts each new call into a room of its own. Node.js 18 or later, standard library only.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";

const API = `${process.env.ROOMKEEPER_API ?? "http://127.0.0.1:8080"}/api/v1`;
const HEADERS = { "X-App-ID": "demo", "X-API-Key": "lab-key", "Content-Type": "application/json" };
const KEY = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");

function isGenuine(headers, body) {
  const sentAt = headers["webhook-timestamp"] ?? "";
  const mac = createHmac("sha256", KEY).update(`${headers["webhook-id"]}.${sentAt}.`).update(body);
  const expected = Buffer.from(`v1,${mac.digest("base64")}`);
  const given = (headers["webhook-signature"] ?? "").split(" ").map((one) => Buffer.from(one));
  const isRecent = Math.abs(Date.now() / 1000 - Number(sentAt)) < 300;
  return isRecent && given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

async function post(path, body) {
  const signal = AbortSignal.timeout(4000);
  const response = await fetch(API + path, { method: "POST", headers: HEADERS, body: JSON.stringify(body), signal });
  return [response.status, await response.json()];
}

async function handle({ event, session_uuid: call, room_id: joined }) {
  if (event === "conference.member.joined") console.log(`call ${call} joined room ${joined}`);
  if (event !== "call.new") return 204;
  let [status, answer] = await post("/conferences", { name: `call-${call}`, session: call });
  const room = answer.room_id ?? answer.detail?.room_id; // 409: made by an earlier attempt
  if (room) [status] = await post(`/sessions/${call}/commands/conference/join`, { room_id: room, muted: false });
  return status === 429 || status >= 500 ? 503 : 204; // after a 503 Roomkeeper sends the webhook again
}

const server = createServer(async (request, response) => {
  try {
    const body = await buffer(request);
    response.writeHead(isGenuine(request.headers, body) ? await handle(JSON.parse(body)) : 401).end();
  } catch {
    response.writeHead(503).end(); // Roomkeeper cannot be reached
  }
});
server.listen(Number(process.env.PORT ?? 9999), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/hook`);
});
