// Notices, and announcements to screen readers. Pure.

/** The maximum number of notices; older ones disappear. */
const MAX_NOTICES = 4;

export const initialNotices = () => ({
  notices: [],
  nextNotice: 1,
  /** The latest announcement for the live region, and its number. */
  announcement: { n: 0, text: "" },
});

export function announce(state, text) {
  return { ...state, announcement: { n: state.announcement.n + 1, text } };
}

/** Adds a notice. `kind`: `error` or `info`. */
export function notice(state, kind, text) {
  const notices = [...state.notices, { id: state.nextNotice, kind, text }].slice(-MAX_NOTICES);
  return { ...state, notices, nextNotice: state.nextNotice + 1 };
}

export function closeNotice(state, id) {
  return { ...state, notices: state.notices.filter((one) => one.id !== id) };
}
