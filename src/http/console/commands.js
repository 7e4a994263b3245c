// The commands to one member, as a table: one line is one button, and everything that the page does with it.
//
// Pure. `actions.js` sends them, `views/member.js` shows them, `events.js` and `pending.js` confirm them.

/** The path of a command to a call. */
const toCall = (command) => (room, session) => `/sessions/${session}/commands/${command}`;

/** The path of a command to a member of a room. */
const toMember = (command) => (room, session) => `/conferences/${room}/members/${session}/${command}`;

/** One press: the button's words, the event that confirms it, and the words for screen readers and the log. */
const step = (command, label, pending, event, announcement, address) => ({ command, label, pending, event, announcement, address });

/** A button with two positions, which follow a boolean field of the member. */
const toggle = (field, mark, set, clear) => ({ id: set.command, field, mark, steps: [set, clear], stepFor: (member) => (member[field] ? clear : set) });

/**
 * A button with one position. `confirm`: the question before it is sent, as `[title, text, submit]`, where `{}` is the caller.
 * `fields({state, room, member})`: the fields of a dialog, whose values become the body. `done(call)`: the state that
 * confirms the command if its event was missed.
 */
const once = (only, rest = {}) => ({ id: only.command, field: null, steps: [only], stepFor: () => only, ...rest });

/** The rooms that a member of this room can move to. */
const otherRooms = (state, room) =>
  [...state.rooms.values()].filter((one) => one.id !== room.id && one.node === room.node).sort((a, b) => a.name.localeCompare(b.name));

export const MEMBER_COMMANDS = [
  toggle("muted", "Muted", step("mute", "Mute", "Muting …", "conference.member.muted", "is muted", toCall("conference/mute")), step("unmute", "Unmute", "Unmuting …", "conference.member.unmuted", "is unmuted", toCall("conference/unmute"))),
  toggle("deaf", "Deaf", step("deaf", "Deafen", "Deafening …", "conference.member.deafened", "is deafened", toMember("deaf")), step("undeaf", "Undeafen", "Undeafening …", "conference.member.undeafened", "is undeafened", toMember("undeaf"))),
  toggle("held", "On hold", step("hold", "Hold", "Holding …", "conference.member.held", "is on hold", toMember("hold")), step("unhold", "Unhold", "Unholding …", "conference.member.unheld", "is no longer on hold", toMember("unhold"))),
  once(step("move", "Move", "Moving …", "conference.member.left", "moved", toMember("move")), { fields: ({ state, room }) => [{ id: "room_id", label: "Room", type: "select", hint: `There is no other room on ${room.node}.`, options: otherRooms(state, room).map((one) => ({ value: one.id, label: `${one.name}${one.locked ? ", locked" : ""}` })) }] }),
  once(step("kick", "Kick", "Leaving …", "conference.member.left", "left", toMember("kick")), { danger: true, confirm: ["Kick {}?", "The call leaves the room and is parked. It stays up.", "Kick"], done: (call) => call?.state !== "in_room" && call?.state !== "leaving" }),
  once(step("hangup", "Hang up", "Ending …", "call.hangup", "hung up", toCall("hangup")), { danger: true, confirm: ["Hang up {}?", "The call ends.", "Hang up"], done: (call) => !call }),
];

/** The commands that set a flag of a member. */
export const MEMBER_FLAGS = MEMBER_COMMANDS.filter((one) => one.field !== null);

/** The command with this id. */
export const commandOf = (id) => MEMBER_COMMANDS.find((one) => one.id === id);

/** The key of a pending command. */
export const pendingKey = (command, session) => `${command.id}:${session}`;

/** The flags in the fields of a member, or in the data of `conference.member.joined`. */
export const flagsOf = (fields) => Object.fromEntries(MEMBER_FLAGS.map(({ field }) => [field, fields[field] === true]));

/** The change of a flag that an event reports, or undefined. */
export function flagChange(event) {
  for (const flag of MEMBER_FLAGS) {
    const at = flag.steps.findIndex((one) => one.event === event);
    if (at >= 0) return { flag, value: at === 0, announcement: flag.steps[at].announcement };
  }
  return undefined;
}

/** The keys of the commands that this event of a call confirms, apart from flags. */
export function keysConfirmedBy(event, session) {
  return MEMBER_COMMANDS.filter((one) => one.field === null && one.steps[0].event === event).map((one) => pendingKey(one, session));
}
