// The page's state, and the effect of each event on it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CONFIRM_MS } from "./console/pending.js";
import { counts, waiting } from "./console/selectors.js";
import { dialOfRow, initial, reduce, roomOfRow } from "./console/state.js";

const ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
const CALL = "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11";
const OTHER = "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a12";

const makeEvent = (event, data = {}, session = undefined) => ({
  type: "event",
  event,
  at: 1000,
  body: { event, room_id: ROOM, session_uuid: session, timestamp: "2026-05-06T12:34:56.000000Z", data },
});
const join = (session, muted = true) => makeEvent("conference.member.joined", { caller_id: "527", did: "747", muted }, session);
const run = (state, ...actions) => actions.reduce(reduce, state);

function room() {
  const rooms = [roomOfRow({ room_id: ROOM, name: "standup", created_at: "2026-05-06T12:34:56Z", locked: false })];
  return run(
    initial(0),
    { type: "link", status: "open", at: 0 },
    { type: "read.begin", id: 1 },
    { type: "read.done", id: 1, rooms, calls: [] },
    { type: "read.begin", id: 2 },
    { type: "read.done", id: 2, room: ROOM, members: [] },
  );
}

test("a member joins, is counted and listed, and leaves", () => {
  let state = run(room(), makeEvent("call.new", { caller_id: "527", did: "747", direction: "inbound" }, CALL));
  assert.equal(waiting(state).length, 1);
  state = run(state, join(CALL));
  assert.equal(counts(state).get(ROOM), 1);
  assert.deepEqual(state.members.get(ROOM).get(CALL), {
    uuid: CALL,
    callerId: "527",
    did: "747",
    joinedAt: Date.parse("2026-05-06T12:34:56Z"),
    muted: true,
    deaf: false,
    held: false,
    moderator: false,
    coached: false,
    volume: 0,
  });
  assert.equal(waiting(state).length, 0);
  assert.equal(state.announcement.text, "527 joined standup");
  state = run(state, makeEvent("conference.member.left", { reason: "removed" }, CALL));
  assert.equal(counts(state).get(ROOM), undefined);
  assert.equal(state.members.get(ROOM).size, 0);
  assert.equal(waiting(state).length, 1);
  state = run(state, makeEvent("call.hangup", { cause: "NORMAL_CLEARING" }, CALL));
  assert.equal(state.calls.size, 0);
});

test("events are idempotent", () => {
  const actions = [
    join(CALL),
    makeEvent("conference.member.unmuted", {}, CALL),
    makeEvent("member.floor", { session_uuid: CALL }, CALL),
    makeEvent("conference.play.started", { operation_id: "a", urls: ["http://a"] }),
    makeEvent("conference.recording.started", { recording_id: "r" }),
    makeEvent("conference.updated", { locked: true }),
  ];
  const strip = ({ announcement, notices, nextNotice, activity, nextEntry, ...rest }) => rest;
  const once = run(room(), ...actions);
  assert.deepEqual(strip(run(room(), ...actions.flatMap((one) => [one, one]))), strip(once));
  assert.deepEqual(strip(run(once, ...actions)), strip(once));
});

test("events during a read win over the response", () => {
  const before = room();
  const reading = run(before, { type: "read.begin", id: 3 }, join(CALL), join(OTHER), makeEvent("conference.member.left", {}, OTHER));
  const rows = { type: "read.done", id: 3, rooms: [...before.rooms.values()], calls: [] };
  const state = run(reading, rows);
  assert.equal(counts(state).get(ROOM), 1);
  assert.equal(state.calls.get(CALL).state, "in_room");
  assert.equal(state.replay.length, 0, "no event is kept without a read");
});

test("too many events during a read repeat it", () => {
  let state = run(room(), { type: "read.begin", id: 3 });
  const epoch = state.epoch;
  for (let i = 0; i < 5_001; i += 1) state = run(state, makeEvent("member.talking", { talking: true }, CALL));
  assert.equal(state.epoch, epoch + 1);
  const after = run(state, { type: "read.done", id: 3, rooms: [], calls: [] });
  assert.equal(after.rooms.size, 1, "a read that took too long is discarded");
});

test("a gap and a new stream require a read, a resumed stream does not", () => {
  const state = room();
  assert.equal(run(state, makeEvent("stream.gap", { nodes: [] })).epoch, state.epoch + 1);
  assert.equal(run(state, makeEvent("stream.open", { resumed: false })).epoch, state.epoch + 1);
  assert.equal(run(state, makeEvent("stream.open", { resumed: true })).epoch, state.epoch);
});

test("mute is pending until its event arrives", () => {
  let state = run(room(), join(CALL, false));
  state = run(state, { type: "requested", key: `mute:${CALL}`, want: true, label: "mute 527", at: 1000 });
  assert.equal(state.members.get(ROOM).get(CALL).muted, false);
  assert.equal(state.pending.get(`mute:${CALL}`).want, true);
  const crossed = run(state, makeEvent("conference.member.unmuted", {}, CALL));
  assert.equal(crossed.pending.size, 1, "another's unmute does not confirm the command");
  state = run(state, makeEvent("conference.member.muted", {}, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).muted, true);
  assert.equal(state.pending.size, 0);
});

test("one event changes the role and the volume of a member", () => {
  let state = run(room(), join(CALL));
  for (const what of ["role", "volume-in"]) state = run(state, { type: "requested", key: `${what}:${CALL}`, want: true, label: what, at: 1000 });
  state = run(state, makeEvent("conference.member.updated", { labels: { team: "a" } }, CALL));
  assert.equal(state.pending.size, 2, "another setting confirms nothing");
  state = run(state, makeEvent("conference.member.updated", { role: "moderator", volume_in: 2 }, CALL));
  const member = state.members.get(ROOM).get(CALL);
  assert.equal(member.moderator, true);
  assert.equal(member.volume, 2);
  assert.equal(state.pending.size, 0);
  state = run(state, makeEvent("conference.member.updated", { role: "participant" }, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).moderator, false);
});

test("a coach is no waiting call while it coaches", () => {
  let state = run(room(), makeEvent("call.new", { caller_id: "528" }, OTHER), join(CALL));
  assert.equal(waiting(state).length, 1);
  state = run(state, makeEvent("conference.member.coached", { coach: OTHER }, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).coached, true);
  assert.equal(waiting(state).length, 0);
  state = run(state, makeEvent("conference.member.uncoached", { coach: OTHER, reason: "requested" }, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).coached, false);
  assert.equal(waiting(state).length, 1);
  // A coaching that did not begin ends the command.
  state = run(state, { type: "requested", key: `coach:${CALL}`, want: true, label: "coach 527", at: 1000 });
  state = run(state, makeEvent("conference.member.coach_failed", { coach: OTHER, reason: "hangup" }, CALL));
  assert.equal(state.pending.size, 0);
});

test("a recording pauses and resumes, and a text is shown as what plays", () => {
  let state = run(room(), makeEvent("conference.recording.started", { recording_id: "r" }));
  const pause = (want) => ({ type: "requested", key: `record-pause:${ROOM}`, want, label: "pause", at: 1000 });
  state = run(state, pause(true), makeEvent("conference.recording.paused", { recording_id: "r" }));
  assert.equal(state.rooms.get(ROOM).recording, "paused");
  assert.equal(state.pending.size, 0);
  state = run(state, pause(false), makeEvent("conference.recording.paused", { recording_id: "r" }));
  assert.equal(state.pending.size, 1, "the same event again does not confirm the opposite");
  state = run(state, makeEvent("conference.recording.resumed", { recording_id: "r" }));
  assert.equal(state.pending.size, 0);
  state = run(state, makeEvent("conference.play.started", { operation_id: "a", urls: [], text: "Hello" }));
  assert.deepEqual(state.rooms.get(ROOM).playing.urls, ["Hello"]);
});

test("a dial-out is read again after each of its events, and its end ends its cancellation", () => {
  let state = room();
  const detail = (calls) => ({ ...state.rooms.get(ROOM), dials: calls });
  state = run(state, { type: "read.begin", id: 3 }, { type: "read.done", id: 3, room: ROOM, detail: detail([dialOfRow({ call_id: OTHER, to: "+4930", status: "ringing", attempt: 1, attempts: 2 })]) });
  assert.deepEqual(state.rooms.get(ROOM).dials, [{ id: OTHER, to: "+4930", status: "ringing", attempt: 1, attempts: 2 }]);
  // A list of all rooms has none of them.
  state = run(state, { type: "read.begin", id: 4 }, { type: "read.done", id: 4, rooms: [roomOfRow({ room_id: ROOM, name: "standup", created_at: "2026-05-06T12:34:56Z" })], calls: [] });
  assert.equal(state.rooms.get(ROOM).dials.length, 1);
  state = run(state, { type: "requested", key: `cancel:${OTHER}`, want: true, label: "cancel", at: 1000 });
  state = run(state, makeEvent("conference.call.cancelled", { call_id: OTHER, to: "+4930" }));
  assert.equal(state.pending.size, 0);
  assert.ok(state.doubtful.has(ROOM));
});

test("a room waits for a moderator until it has started, and again when it is empty", () => {
  const row = { room_id: ROOM, name: "standup", created_at: "2026-05-06T12:34:56Z", wait_for_moderator: true, waiting: true };
  let state = room();
  state = { ...state, rooms: new Map(state.rooms).set(ROOM, roomOfRow(row)) };
  const waits = () => state.rooms.get(ROOM).waiting;
  state = run(state, join(CALL), join(OTHER));
  assert.equal(waits(), true);
  state = run(state, makeEvent("conference.started", { started_by: OTHER }));
  assert.equal(waits(), false);
  state = run(state, makeEvent("conference.member.left", {}, OTHER));
  assert.equal(waits(), false);
  state = run(state, makeEvent("conference.member.left", {}, CALL));
  assert.equal(waits(), true);
  state = run(state, makeEvent("conference.updated", { wait_for_moderator: false }));
  assert.ok(state.doubtful.has(ROOM), "the room is read again");
});

test("held and unheld change the member", () => {
  let state = run(room(), join(CALL), makeEvent("conference.member.held", {}, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).held, true);
  state = run(state, makeEvent("conference.member.unheld", {}, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).held, false);
});

test("deafened and undeafened change the member", () => {
  let state = run(room(), join(CALL), makeEvent("conference.member.deafened", {}, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).deaf, true);
  state = run(state, makeEvent("conference.member.undeafened", {}, CALL));
  assert.equal(state.members.get(ROOM).get(CALL).deaf, false);
});

test("an unconfirmed command times out with a notice and a new read", () => {
  let state = run(room(), join(CALL, false), { type: "requested", key: `mute:${CALL}`, want: true, label: "mute 527", at: 1000 });
  assert.equal(run(state, { type: "tick", at: 1000 + CONFIRM_MS - 1 }), state);
  state = run(state, { type: "tick", at: 1000 + CONFIRM_MS });
  assert.equal(state.pending.size, 0);
  assert.match(state.notices[0].text, /mute 527/);
  assert.equal(state.epoch, room().epoch + 1);
});

test("floor and talking are live and end with the connection", () => {
  let state = run(room(), join(CALL, false), makeEvent("member.talking", { session_uuid: CALL, talking: true }, CALL));
  state = run(state, makeEvent("member.floor", { session_uuid: CALL }, CALL));
  assert.ok(state.talking.has(CALL));
  assert.equal(state.floors.get(ROOM), CALL);
  assert.equal(run(state, makeEvent("member.floor", { session_uuid: null })).floors.size, 0);
  const gone = run(state, makeEvent("conference.member.left", {}, CALL));
  assert.equal(gone.floors.size + gone.talking.size, 0);
  assert.equal(run(state, makeEvent("conference.member.muted", {}, CALL)).talking.size, 0);
  state = run(state, { type: "link", status: "lost", at: 5000, retryAt: 6000 });
  assert.equal(state.talking.size, 0);
  assert.equal(state.floors.size, 0);
});

test("attempts to reconnect keep the time of the loss", () => {
  let state = run(room(), { type: "link", status: "lost", at: 5000, retryAt: 6000, error: "cannot be reached" });
  state = run(state, { type: "link", status: "connecting", at: 6000 }, { type: "link", status: "lost", at: 7000, retryAt: 9000 });
  assert.equal(state.link.since, 5000);
  assert.equal(state.link.lost, true);
  state = run(state, { type: "link", status: "connecting", at: 9000 }, { type: "link", status: "open", at: 9100 });
  assert.equal(state.link.lost, false);
  assert.equal(state.link.since, 9100);
});

test("playback is a queue whose head plays", () => {
  const start = (id) => makeEvent("conference.play.started", { operation_id: id, urls: [`http://${id}`] });
  let state = run(room(), start("a"), start("b"), makeEvent("conference.play.paused", { operation_id: "a" }));
  assert.deepEqual(state.rooms.get(ROOM).playing, { status: "paused", urls: ["http://a"], operations: ["a", "b"] });
  state = run(state, makeEvent("conference.play.finished", { operation_id: "a", errors: [] }));
  assert.deepEqual(state.rooms.get(ROOM).playing.operations, ["b"]);
  assert.ok(state.doubtful.has(ROOM), "its files are to be read");
  state = run(state, makeEvent("conference.play.finished", { operation_id: "b", errors: [{ url: "http://b", error: "unreadable" }] }));
  assert.equal(state.rooms.get(ROOM).playing, null);
  assert.match(state.notices[0].text, /http:\/\/b \(unreadable\)/);
});

test("the end of a room clears its pending commands and parks its members", () => {
  let state = run(room(), join(CALL), { type: "requested", key: `lock:${ROOM}`, want: true, label: "lock", at: 0 });
  state = run(state, makeEvent("conference.destroyed"));
  assert.equal(state.rooms.size, 0);
  assert.equal(state.pending.size, 0);
  assert.equal(waiting(state).length, 1);
});

test("unknown events change nothing", () => {
  const state = room();
  assert.equal(run(state, makeEvent("conference.member.danced", {}, CALL)), state);
  assert.equal(run(state, { type: "event", event: "message", body: null, at: 0 }), state);
});
