// The log of a room, and the order of rooms by activity.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_ENTRIES, MAX_LOGS } from "./console/activity.js";
import { inOrder, roomsByActivity, roomsByName } from "./console/selectors.js";
import { callOfRow, initial, memberOfRow, reduce, roomOfRow } from "./console/state.js";

const ROOM = "acW68-room-1";
const CALL = "acW68-1";
const START = Date.parse("2026-05-06T12:00:00Z");

const makeEvent = (event, data = {}, { room = ROOM, session = undefined, at = 1000 } = {}) => ({
  type: "event",
  event,
  at,
  body: { event, room_id: room, session_uuid: session, timestamp: "2026-05-06T12:34:56Z", data },
});
const run = (state, ...actions) => actions.reduce(reduce, state);
const log = (state, room = ROOM) => (state.activity.get(room) ?? []).map(({ who, text, by }) => [who, text, by].filter(Boolean).join(" | "));
const row = (id, name) => roomOfRow({ room_id: id, name, created_at: "2026-05-06T12:00:00Z" });

function rooms(...names) {
  const rows = names.map((name) => row(`acW68-room-${name}`, name));
  return run(initial(0, "me"), { type: "read.begin", id: 1 }, { type: "read.done", id: 1, rooms: rows, calls: [] });
}

test("the log names the caller, the event and the origin of its command", () => {
  const about = { session: CALL };
  const state = run(
    rooms("1"),
    makeEvent("conference.member.joined", { caller_id: "527", muted: true, command_uid: "join-1" }, about),
    makeEvent("conference.member.unmuted", { command_uid: "console-me-1" }, about),
    makeEvent("conference.member.muted", { command_uid: "console-other-1" }, about),
    makeEvent("member.talking", { talking: true }, about),
    makeEvent("conference.updated", { locked: true }),
    makeEvent("conference.play.volume_changed", { volume: -3 }),
    makeEvent("conference.member.left", { reason: "hangup" }, about),
    makeEvent("call.hangup", {}, { room: undefined, session: CALL }),
    makeEvent("conference.destroyed"),
  );
  assert.deepEqual(log(state), [
    "527 | joined, muted | the API",
    "527 | is unmuted | this console",
    "527 | is muted | another console",
    "Room locked",
    "Playback volume set to -3 dB",
    "527 | hung up",
    "Room ended",
  ]);
  assert.equal(state.activity.get(ROOM)[0].at, Date.parse("2026-05-06T12:34:56Z"));
});

test("a gap is noted, and the event of a response is not logged twice", () => {
  const created = { event: "conference.created", room_id: ROOM, data: { name: "standup" } };
  let state = run(initial(0), { type: "event", event: "answer", at: 1, body: created }, makeEvent("conference.created", { name: "standup" }));
  assert.deepEqual(log(state), ["Room created"]);
  state = run(state, makeEvent("stream.gap"));
  assert.deepEqual(log(state), ["Room created", "Some events may be missing here"]);
});

test("logs are bounded", () => {
  let state = rooms("1");
  for (let n = 0; n < MAX_ENTRIES + 5; n += 1) state = run(state, makeEvent("conference.play.volume_changed", { volume: n }));
  assert.equal(log(state).length, MAX_ENTRIES);
  assert.equal(log(state).at(-1), `Playback volume set to ${MAX_ENTRIES + 4} dB`);
  for (let n = 0; n < MAX_LOGS; n += 1) state = run(state, makeEvent("conference.created", { name: "x" }, { room: `acW68-room-x${n}` }));
  assert.equal(state.activity.size, MAX_LOGS);
  assert.equal(state.activity.has(ROOM), false, "the longest silent room loses its log");
});

test("rooms are sorted by talking, latest event, members and name", () => {
  const call = (uuid, room) => callOfRow({ uuid, caller_id: uuid, did: "", direction: "inbound", state: "in_room", room_id: `acW68-room-${room}`, created_at: "2026-05-06T12:00:00Z" });
  const rows = ["a", "b", "c", "d"].map((name) => row(`acW68-room-${name}`, name));
  let state = run(initial(0), { type: "read.begin", id: 1 }, { type: "read.done", id: 1, rooms: rows, calls: [call("s1", "d"), call("s2", "c")] });
  const names = (list) => list.map((room) => room.name).join("");
  assert.equal(names(roomsByActivity(state)), "cdab", "members first, then the name");
  state = run(state, makeEvent("conference.updated", { locked: true }, { room: "acW68-room-b", at: START + 60_000 }));
  assert.equal(names(roomsByActivity(state)), "bcda", "the latest event first");
  const order = roomsByActivity(state).map((room) => room.id);
  state = run(state, makeEvent("member.talking", { talking: true }, { room: "acW68-room-d", session: "s1", at: START + 1000 }));
  assert.equal(names(roomsByActivity(state)), "dbca", "talking before everything");
  assert.equal(names(inOrder(roomsByActivity(state), order)), "bcda", "a held order does not change");
  assert.equal(names(inOrder(roomsByActivity(state), order.slice(1))), "cdab", "others follow");
  assert.equal(names(roomsByName(state)), "abcd");
});

test("the joining time comes from the API, or from the event, and survives a read", () => {
  const list = [{ uuid: CALL, caller_id: "527", did: "", direction: "inbound", state: "in_room", room_id: ROOM, created_at: "2026-05-06T12:00:00Z" }];
  let state = run(rooms("1"), makeEvent("conference.member.joined", { caller_id: "527" }, { session: CALL }));
  const joined = Date.parse("2026-05-06T12:34:56Z");
  assert.equal(state.calls.get(CALL).joinedAt, joined);
  state = run(state, { type: "read.begin", id: 2 }, { type: "read.done", id: 2, rooms: [row(ROOM, "1")], calls: list.map(callOfRow) });
  assert.equal(state.calls.get(CALL).joinedAt, joined);
  const told = memberOfRow({ uuid: CALL, caller_id: "527", did: "", muted: true, joined_at: "2026-05-06T12:30:00Z" });
  assert.equal(told.joinedAt, Date.parse("2026-05-06T12:30:00Z"));
  state = run(state, makeEvent("conference.member.left", {}, { session: CALL }));
  assert.equal(state.calls.get(CALL).joinedAt, null);
  const fresh = run(rooms("1"), { type: "read.begin", id: 2 }, { type: "read.done", id: 2, rooms: [row(ROOM, "1")], calls: list.map(callOfRow) });
  const membership = (status, time) => ({ reference_id: "1", status, tm_create: `2026-05-06 ${time}.672025` });
  const read = run(fresh, { type: "memberships", room: ROOM, rows: [membership("leaved", "12:00:00"), membership("joined", "12:31:00")] });
  assert.equal(read.calls.get(CALL).joinedAt, Date.parse("2026-05-06T12:31:00.672Z"), "of the present membership");
});

test("the volume is kept when a list has none", () => {
  let state = run(rooms("1"), makeEvent("conference.play.volume_changed", { volume: 5 }));
  assert.equal(state.rooms.get(ROOM).volume, 5);
  state = run(state, { type: "read.begin", id: 2 }, { type: "read.done", id: 2, rooms: [row(ROOM, "1")], calls: [] });
  assert.equal(state.rooms.get(ROOM).volume, 5);
});
