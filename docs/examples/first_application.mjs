// Puts each new call into a room of its own. Node.js 20.3 or later, with the package roomkeeper-client.
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { result, Roomkeeper, WebhookVerificationError, WebhookVerifier } from "roomkeeper-client";

const baseUrl = process.env.ROOMKEEPER_API ?? "http://127.0.0.1:8080";
const retry = { attempts: 2, longestWait: 2 };
const roomkeeper = new Roomkeeper({ baseUrl, appId: "demo", apiKey: "lab-key", timeout: 3, retry });
const verifier = new WebhookVerifier(process.env.WEBHOOK_SECRET);

async function roomFor(call) {
  try {
    const body = { name: `call-${call}`, session: call };
    return (await result(roomkeeper.POST("/api/v1/conferences", { body }))).room_id;
  } catch (error) {
    if (!error.detail?.room_id) throw error;
    return error.detail.room_id; // 409: made by an earlier attempt
  }
}

async function handle(event) {
  if (event.event === "conference.member.joined") console.log(`call ${event.session_uuid} joined room ${event.room_id}`);
  if (event.event !== "call.new") return;
  const uuid = event.session_uuid;
  const request = { params: { path: { uuid } }, body: { room_id: await roomFor(uuid), muted: false } };
  await result(roomkeeper.POST("/api/v1/sessions/{uuid}/commands/conference/join", request));
}

const server = createServer(async (request, response) => {
  let status = 204;
  try {
    await handle(verifier.verify(await buffer(request), request.headers));
  } catch (error) {
    // After a 503 Roomkeeper sends the webhook again.
    status = error instanceof WebhookVerificationError ? 401 : (error.isTemporary ?? true) ? 503 : 204;
  }
  response.writeHead(status).end();
});
server.listen(Number(process.env.PORT ?? 9999), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/hook`);
});
