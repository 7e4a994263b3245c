// The commands to one member, as a table: one line is one button, and everything that the page does with it.
//
// Pure. `actions.js` sends them, `views/member.js` shows them, `events.js` and `pending.js` confirm them.

/** The path of a command to a call. */
const toCall = (command) => (room, session) => `/sessions/${session}/commands/${command}`;

/** The path of a command to a member of a room. */
const toMember = (command) => (room, session) => `/conferences/${room}/members/${session}/${command}`;

/** The path of a member of a room, whose settings a `PATCH` changes. */
const member = (room, session) => `/conferences/${room}/members/${session}`;

/**
 * One press: the button's words, the event that confirms it, and the words for screen readers and the log. `rest.fields({state,
 * room, member})`: the fields of a dialog, whose values become the body, after `rest.body(values)` if there is that.
 * `rest.patch`: the request is a `PATCH`. `rest.confirms(data)`: the data of the event, if its name is not enough.
 */
const step = (command, label, pending, event, announcement, address, rest = {}) => ({ command, label, pending, event, announcement, address, ...rest });

/** A button with two positions, which follow a boolean field of the member. `read`: that field in the fields of a row. */
const toggle = (field, mark, set, clear, rest = {}) => ({
  id: set.command,
  field,
  mark,
  steps: [set, clear],
  stepFor: (one) => (one[field] ? clear : set),
  read: (fields) => fields[field] === true,
  ...rest,
});

/**
 * A button with one position. `confirm`: the question before it is sent, as `[title, text, submit]`, where `{}` is the caller.
 * `done(call)`: the state that confirms the command if its event was missed. `more`: the button is among those for rarer use.
 */
const once = (only, rest = {}) => ({ id: only.command, field: null, steps: [only], stepFor: () => only, ...rest });

/** The rooms that a member of this room can move to. */
const otherRooms = (state, room) =>
  [...state.rooms.values()].filter((one) => one.id !== room.id && one.node === room.node).sort((a, b) => a.name.localeCompare(b.name));

/** The calls that can coach a member of this room. */
const coaches = (state, room) =>
  [...state.calls.values()].filter((call) => call.state === "parked" && call.node === room.node).sort((a, b) => a.callerId.localeCompare(b.callerId));

/** A step that changes a setting of a member. */
const setting = (command, label, pending, announcement, rest) => step(command, label, pending, "conference.member.updated", announcement, member, { patch: true, ...rest });

const role = (command, label, pending, announcement, value) =>
  setting(command, label, pending, announcement, { body: () => ({ role: value }), confirms: (data) => data.role === value });

/** The volumes that the API has, the loudest first. */
const VOLUMES = [4, 3, 2, 1, 0, -1, -2, -3, -4];
const volumeLabel = (volume) => (volume === 0 ? "0, unchanged" : volume > 0 ? `+${volume}, louder` : `−${-volume}, quieter`);

/** The volume of a member as its mark shows it. */
export const signed = (volume) => (volume > 0 ? `+${volume}` : `−${-volume}`);

export const MEMBER_COMMANDS = [
  toggle("muted", "Muted", step("mute", "Mute", "Muting …", "conference.member.muted", "is muted", toCall("conference/mute")), step("unmute", "Unmute", "Unmuting …", "conference.member.unmuted", "is unmuted", toCall("conference/unmute"))),
  toggle("deaf", "Deaf", step("deaf", "Deafen", "Deafening …", "conference.member.deafened", "is deafened", toMember("deaf")), step("undeaf", "Undeafen", "Undeafening …", "conference.member.undeafened", "is undeafened", toMember("undeaf"))),
  toggle("held", "On hold", step("hold", "Hold", "Holding …", "conference.member.held", "is on hold", toMember("hold")), step("unhold", "Unhold", "Unholding …", "conference.member.unheld", "is no longer on hold", toMember("unhold"))),
  once(step("move", "Move", "Moving …", "conference.member.left", "moved", toMember("move"), { fields: ({ state, room }) => [{ id: "room_id", label: "Room", type: "select", hint: `There is no other room on ${room.node}.`, options: otherRooms(state, room).map((one) => ({ value: one.id, label: `${one.name}${one.locked ? ", locked" : ""}` })) }] })),
  once(step("kick", "Kick", "Leaving …", "conference.member.left", "left", toMember("kick")), { danger: true, confirm: ["Kick {}?", "The call leaves the room and is parked. It stays up.", "Kick"], done: (call) => call?.state !== "in_room" && call?.state !== "leaving" }),
  toggle(
    "moderator",
    "Moderator",
    role("make moderator", "Make moderator", "Changing …", "is a moderator", "moderator"),
    role("make participant", "Make participant", "Changing …", "is no longer a moderator", "participant"),
    { id: "role", read: (fields) => fields.role === "moderator", more: true },
  ),
  toggle(
    "coached",
    "Has a coach",
    step("coach", "Coach …", "Connecting …", "conference.member.coached", "has a coach", toMember("coach"), {
      fields: ({ state, room }) => [{ id: "session", label: "Coach", type: "select", hint: `No call is parked on ${room.node}.`, options: coaches(state, room).map((call) => ({ value: call.uuid, label: call.callerId || call.uuid })) }],
      text: "Only this member hears the coach.",
    }),
    step("uncoach", "Stop coaching", "Stopping …", "conference.member.uncoached", "no longer has a coach", toMember("uncoach")),
    { read: (fields) => typeof fields.coach === "string", more: true },
  ),
  once(
    setting("change the volume of", "Volume …", "Changing …", "has another volume", {
      fields: ({ member: { volume } }) => [{ id: "volume_in", label: "Volume of what the member says", type: "select", value: String(volume), options: VOLUMES.map((one) => ({ value: String(one), label: volumeLabel(one) })) }],
      body: ({ volume_in }) => ({ volume_in: Number(volume_in) }),
      confirms: (data) => typeof data.volume_in === "number",
    }),
    { id: "volume-in", more: true },
  ),
  once(step("hangup", "Hang up", "Ending …", "call.hangup", "hung up", toCall("hangup")), { danger: true, confirm: ["Hang up {}?", "The call ends.", "Hang up"], done: (call) => !call }),
];

/** The commands that set a flag of a member. */
export const MEMBER_FLAGS = MEMBER_COMMANDS.filter((one) => one.field !== null);

/** The command with this id. */
export const commandOf = (id) => MEMBER_COMMANDS.find((one) => one.id === id);

/** The key of a pending command. */
export const pendingKey = (command, session) => `${command.id}:${session}`;

/** The flags in the fields of a member, or in the data of `conference.member.joined`. */
export const flagsOf = (fields) => Object.fromEntries(MEMBER_FLAGS.map(({ field, read }) => [field, read(fields)]));

const isConfirmedBy = (one, event, data) => one.event === event && (one.confirms?.(data) ?? true);

/** The change of a flag that an event reports, or undefined. */
export function flagChange({ event, data = {} }) {
  for (const flag of MEMBER_FLAGS) {
    const at = flag.steps.findIndex((one) => isConfirmedBy(one, event, data));
    if (at >= 0) return { flag, value: at === 0, announcement: flag.steps[at].announcement };
  }
  return undefined;
}

/** The keys of the commands that this event of a call confirms, apart from flags. */
export function keysConfirmedBy({ event, session_uuid: session, data = {} }) {
  return MEMBER_COMMANDS.filter((one) => one.field === null && isConfirmedBy(one.steps[0], event, data)).map((one) => pendingKey(one, session));
}
