// The flags of a member that the page shows and sets: one entry for each.
//
// `field` is the member's field in the API. `set` and `clear` turn it on and off: the command, its path, the event that
// confirms it, and the words of the page.

export const MEMBER_FLAGS = [
  {
    field: "muted",
    mark: "Muted",
    path: (room, session, command) => `/sessions/${session}/commands/conference/${command}`,
    set: { command: "mute", event: "conference.member.muted", label: "Mute", pending: "Muting …", announcement: "is muted" },
    clear: { command: "unmute", event: "conference.member.unmuted", label: "Unmute", pending: "Unmuting …", announcement: "is unmuted" },
  },
  {
    field: "deaf",
    mark: "Deaf",
    path: (room, session, command) => `/conferences/${room}/members/${session}/${command}`,
    set: { command: "deaf", event: "conference.member.deafened", label: "Deafen", pending: "Deafening …", announcement: "is deafened" },
    clear: { command: "undeaf", event: "conference.member.undeafened", label: "Undeafen", pending: "Undeafening …", announcement: "is undeafened" },
  },
];

/** The key of a pending command. */
export const pendingKey = (flag, session) => `${flag.set.command}:${session}`;

/** The flag of such a key. */
export const flagOfKey = (what) => MEMBER_FLAGS.find((flag) => flag.set.command === what);

/** The flags in the fields of a member, or in the data of `conference.member.joined`. */
export const flagsOf = (fields) => Object.fromEntries(MEMBER_FLAGS.map(({ field }) => [field, fields[field] === true]));

/** The change of a flag that an event reports, or undefined. */
export function flagChange(event) {
  for (const flag of MEMBER_FLAGS) {
    if (event === flag.set.event) return { flag, value: true, announcement: flag.set.announcement };
    if (event === flag.clear.event) return { flag, value: false, announcement: flag.clear.announcement };
  }
  return undefined;
}
