//! FreeSWITCH's own listings (`conference json_list`, `show channels` as a table and as JSON, `uuid_dump json`),
//! whatever they contain: no panic, nothing that is not there, and a text that was cut short is an error, never a shorter truth.
//!
//! Input: the text, read in all four ways.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "reconciler.rs"]
mod reconciler;

use libfuzzer_sys::fuzz_target;
use reconciler::translate;

fuzz_target!(|input: &[u8]| {
    let node = "acW68".parse().expect("a node's id");
    let whole = input.trim_ascii();
    let cut = &whole[..whole.len().saturating_sub(1)];
    if let Ok(rooms) = translate::conferences(node, whole) {
        for room in &rooms {
            assert_eq!(room.room.node(), node);
            let members = room.members.len() + room.recordings.len();
            // The shortest description of a member is its UUID.
            assert!(members * 36 <= input.len() * 2);
        }
        let again = translate::conferences(node, whole).expect("as before");
        assert_eq!(rooms, again);
        assert!(translate::conferences(node, cut).is_err());
    }
    if let Ok(channels) = translate::channels_as_json(whole) {
        assert!(channels.len() * 32 <= input.len());
        assert!(translate::channels_as_json(cut).is_err());
    }
    // It ends in a newline.
    if let Ok(channels) = translate::channels(input) {
        assert!(channels.len() * 32 <= input.len());
        assert!(translate::channels(&input[..input.len() - 1]).is_err());
    }
    if let Ok(dump) = translate::dump(whole) {
        // A byte that is no UTF-8 becomes three.
        assert!(dump.identity.caller_id.len() <= 3 * input.len());
        assert!(translate::dump(cut).is_err());
    }
});
