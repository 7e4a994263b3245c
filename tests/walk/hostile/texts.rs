//! Texts that would act as commands if they were inserted into one unchecked.

use proptest::prelude::*;

/// Texts for every place.
pub const TEXTS: &[&str] = &[
    "\n",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "\u{7f}",
    "\u{1b}[2J",
    "${system(touch /tmp/x)}",
    "$${x}",
    "${hostname}",
    "%0a",
    "%0aapi status",
    "%00",
    "'",
    "\"",
    "\\",
    "\\n",
    "`id`",
    "|",
    "a|:b",
    "{}",
    "{vol=9}a",
    "[]",
    "[x=y]a",
    ",",
    "a,system:touch /tmp/x",
    "^^:a:b",
    "m:^:system^touch /tmp/x",
    "@+:",
    "a@default+flags{moderator}",
    " ",
    "a b",
    "a ",
    "\u{85}",
    "\u{2028}",
    "é",
    "\u{202e}txt",
    "\u{1f4a9}",
    "api status\n\n",
    "\n\nbgapi system touch /tmp/x\n\n",
    "a\n\nsendmsg x\ncall-command: hangup\n\n",
    "all",
    "json_list",
    "uuid=x",
    "../../..",
    "..",
    "&park",
    ";",
    "*",
    "?",
    "#",
    "<!-- -->",
    "-ERR",
    "inline",
    "say:hello",
    "shell_stream://ls",
    "/etc/passwd",
    "file_string://a!b",
    "local_stream://moh",
];

/// Bytes for every place that accepts raw bytes.
pub const BYTES: &[&[u8]] = &[
    b"\xff",
    b"\xff\xfe",
    b"a\xc3",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
];

/// Generates texts of pieces with a meaning somewhere, and of any characters.
pub fn generated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => proptest::sample::select(TEXTS).prop_map(str::to_owned),
        2 => any::<char>().prop_map(String::from),
        2 => "[ -~]{0,12}",
        1 => "[A-Za-z0-9_.-]{1,20}",
        1 => Just("acW68-room-550e8400-e29b-41d4-a716-446655440000".to_owned()),
        1 => Just("a\u{0}".repeat(40)),
    ];
    proptest::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}
