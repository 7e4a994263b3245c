// One member of a room: its flags, its time in the room, and a button for each command of the table.

import { h } from "../dom.js";
import { MEMBER_COMMANDS, MEMBER_FLAGS, pendingKey, signed } from "../commands.js";
import { button, commandButton, copyButton, elapsed, icon, mark } from "./parts.js";

export function memberItem(room, member, { state, now, act }) {
  const talking = state.talking.has(member.uuid);
  const name = member.callerId || "(no caller id)";
  return h(
    "li",
    { key: member.uuid, class: `member${talking ? " talking" : ""}`, "data-session": member.uuid },
    h("span", { class: "voice", "aria-hidden": "true" }, icon(member.muted ? "micOff" : "mic")),
    h(
      "span",
      { class: "who" },
      h("span", { class: "who-name" }, h("b", { class: "caller" }, name), copyButton(member.uuid, `the call id of ${name}`, act)),
      h("span", { class: "muted" }, member.did && `dialled ${member.did}`),
    ),
    h(
      "span",
      { class: "member-marks" },
      state.floors.get(room.id) === member.uuid && mark("info", "Floor", { key: "floor" }),
      talking && mark("good", "Talking", { key: "talking" }),
      MEMBER_FLAGS.map(({ field, mark: text }) => member[field] && mark("plain", text, { key: field })),
      member.volume !== 0 && mark("plain", `Volume ${signed(member.volume)}`, { key: "volume" }),
    ),
    timeIn(member, state, now),
    memberButtons(room, member, name, { state, now, act }),
  );
}

/** The buttons of a member: the common ones, and the others behind a switch that the user opens. It stays where it is. */
function memberButtons(room, member, name, props) {
  const shown = (more) => MEMBER_COMMANDS.filter((command) => (command.more === true) === more).map((command) => memberButton(command, room, member, name, props));
  return h(
    "span",
    { class: "member-buttons" },
    shown(false),
    button({ label: "More", name: `More commands for ${name}`, kind: "small more", key: "more", "aria-expanded": "false", on: ({ currentTarget }) => toggleMore(currentTarget) }),
    h("span", { class: "more-buttons", key: "more-buttons", hidden: true }, shown(true)),
  );
}

/** Shows or hides the buttons behind the switch. The description has the first position only, so the page keeps it. */
function toggleMore(element) {
  const opens = element.getAttribute("aria-expanded") === "false";
  element.setAttribute("aria-expanded", String(opens));
  element.nextElementSibling.hidden = !opens;
}

/** The time in the room; empty for a member whose join the page has not seen, if the API does not report it. */
function timeIn(member, state, now) {
  const at = member.joinedAt ?? state.calls.get(member.uuid)?.joinedAt ?? null;
  if (at === null) return h("span", { class: "member-time" });
  const joined = new Date(at);
  return h("time", { class: "member-time", datetime: joined.toISOString(), title: `In the room since ${joined.toLocaleString()}` }, elapsed(now - at));
}

function memberButton(command, room, member, name, { state, now, act }) {
  const key = pendingKey(command, member.uuid);
  const entry = state.pending.get(key);
  const next = command.stepFor(member);
  // The words of a pending command are those of what was pressed.
  const pressed = entry && command.field ? command.steps[entry.want ? 0 : 1] : next;
  return commandButton({
    entry,
    busy: pressed.pending,
    now,
    cancel: () => act.cancel(key),
    label: pressed.label,
    name: `${pressed.label} ${name}`,
    kind: command.danger ? "small danger" : "small",
    key: command.id,
    on: () => act.runCommand(command, room, member),
  });
}
