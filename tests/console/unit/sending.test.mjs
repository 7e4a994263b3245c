// Commands: the table of those to one member, cooldowns, and their cancellation.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "./console/api.js";
import { MEMBER_COMMANDS, commandOf, flagsOf, keysConfirmedBy } from "./console/commands.js";
import { cooldownAfter, sender } from "./console/sending.js";
import { initial, reduce } from "./console/state.js";

const early = (ms, detail = {}) => new ApiError(429, "too early", { retryAfterMs: ms, detail });

/** A sender over a real state. `answers`: what each request returns or throws. */
function start(answers) {
  const bench = { state: initial(0), requests: [], waits: [], refused: [] };
  let next = 0;
  const dispatch = (action) => {
    bench.state = reduce(bench.state, action);
    bench.onAction?.(action);
  };
  bench.send = sender({ dispatch, getState: () => bench.state, uid: () => `uid-${(next += 1)}`, refused: (text) => bench.refused.push(text) });
  bench.request = async (body) => {
    bench.requests.push(body.command_uid);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  bench.dispatch = dispatch;
  return bench;
}

test("a command that is too early is sent again after the cooldown", async () => {
  const bench = start([early(30), early(20), { status: "muted" }]);
  const shown = [];
  bench.onAction = ({ type }) => type === "cooldown" && shown.push(bench.state.pending.get("mute:s").sendAt > 0);
  const answer = await bench.send.press("mute:s", true, "mute 527", bench.request);
  assert.deepEqual(answer, { status: "muted" });
  assert.deepEqual(bench.requests, ["uid-1", "uid-2", "uid-3"], "each attempt is a new command");
  assert.deepEqual(shown, [true, true]);
  assert.match(bench.state.announcement.text, /mute 527: sent in 1 s/);
  assert.equal(bench.state.pending.get("mute:s").sendAt, null, "then it waits for its event");
  assert.deepEqual(bench.state.notices, []);
});

test("a cancelled command is not sent, and a second press is sent once", async () => {
  const bench = start([early(60), early(10), { status: "muted" }]);
  const first = bench.send.press("mute:s", true, "mute 527", bench.request);
  await new Promise((done) => setImmediate(done));
  bench.send.cancel("mute:s");
  const second = bench.send.press("mute:s", true, "mute 527", bench.request);
  assert.equal(await first, null);
  assert.deepEqual(await second, { status: "muted" });
  assert.equal(bench.requests.length, 3);
});

test("a command that became needless during its cooldown is not sent", async () => {
  const bench = start([early(20)]);
  const pressed = bench.send.press("kick:s", true, "kick 527", bench.request);
  await new Promise((done) => setImmediate(done));
  const body = { event: "conference.member.left", room_id: "acW68-room-1", session_uuid: "s", data: {} };
  bench.dispatch({ type: "event", event: body.event, at: 1, body });
  assert.equal(await pressed, null);
  assert.equal(bench.requests.length, 1);
});

test("a closed dialog ends the wait at once", async () => {
  const bench = start([early(9_000)]);
  const closed = new AbortController();
  const waits = [];
  const sent = bench.send.submit("join:s", true, "join 527", bench.request, { onWait: (time) => waits.push(time !== null), signal: closed.signal });
  await new Promise((done) => setImmediate(done));
  closed.abort();
  assert.equal(await sent, null);
  assert.deepEqual(waits, [true, false]);
  assert.equal(bench.state.pending.size, 0);
});

test("quotas, long waits and other errors are shown, not waited for", async () => {
  assert.equal(cooldownAfter(early(500), 0), 500);
  assert.equal(cooldownAfter(early(500), 5), null, "not for ever");
  assert.equal(cooldownAfter(early(60_000), 0), null);
  assert.equal(cooldownAfter(early(500, { quota_bytes: 1 }), 0), null);
  assert.equal(cooldownAfter(new ApiError(503, "busy", { retryAfterMs: 500 }), 0), null);
  const bench = start([new ApiError(409, "muted already")]);
  assert.equal(await bench.send.press("mute:s", true, "mute 527", bench.request), null);
  assert.equal(bench.state.notices[0].text, "mute 527: muted already");
  assert.equal(bench.state.pending.size, 0);
  const late = start([new ApiError(504, "no answer")]);
  await late.send.press("mute:s", true, "mute 527", late.request);
  assert.equal(late.state.pending.size, 1, "the event may still come");
});

test("each command of a member has a path, an event and words", () => {
  const ids = MEMBER_COMMANDS.map((command) => command.id);
  assert.equal(new Set(ids).size, ids.length);
  for (const command of MEMBER_COMMANDS) {
    assert.equal(commandOf(command.id), command);
    for (const step of command.steps) {
      assert.match(step.address("ROOM", "CALL"), step.patch ? /members\/CALL$/ : new RegExp(`CALL.*/${step.command}$`));
      assert.match(step.event, /^(conference\.member|call)\./);
      assert.ok(step.label && step.pending && step.announcement);
    }
    assert.equal(command.stepFor({ [command.field]: true }), command.field ? command.steps[1] : command.steps[0]);
  }
  const keys = (event, data = {}) => keysConfirmedBy({ event, session_uuid: "s", data });
  assert.deepEqual(keys("conference.member.left"), ["move:s", "kick:s"]);
  assert.deepEqual(keys("conference.member.muted"), [], "a flag is confirmed by its value");
  assert.deepEqual(keys("conference.member.updated", { volume_in: 0 }), ["volume-in:s"]);
  assert.deepEqual(keys("conference.member.updated", { labels: {} }), [], "another setting");
  const row = { muted: true, role: "moderator", coach: "c" };
  assert.deepEqual(flagsOf(row), { muted: true, deaf: false, held: false, moderator: true, coached: true });
});
