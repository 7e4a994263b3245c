use super::*;

fn event(content_type: &str, body: &[u8]) -> Result<Event, EventError> {
    let mut wire = format!(
        "Content-Length: {}\nContent-Type: {content_type}\n\n",
        body.len()
    )
    .into_bytes();
    wire.extend_from_slice(body);
    Event::from_frame(Frame::from_bytes(wire).unwrap())
}

fn plain(body: &str) -> Event {
    event("text/event-plain", body.as_bytes()).unwrap()
}

fn json(body: &str) -> Event {
    event("text/event-json", body.as_bytes()).unwrap()
}

#[test]
fn last_of_repeated_headers_counts() {
    let e = plain(
        "Event-Name: CUSTOM\nEvent-Subclass: conference%3A%3Amaintenance\n\
         Action: lock\nAction: add-member\n\n",
    );
    assert_eq!(e.kind(), EventKind::Conference(ConferenceAction::AddMember));
    let e = json(r#"{"Event-Name":"X","Action":"lock","Action":"unlock"}"#);
    assert_eq!(e.get("Action").unwrap(), "unlock");
    assert_eq!(e.header_count(), 3);
}

#[test]
fn similar_names_are_different_headers() {
    let e = plain("Track: 1\nSpeak: 2\nEvent-Name: X\nBreak: 3\nEvents-Ame: Y\n\n");
    assert_eq!(e.name(), "X");
    for (name, value) in [("Track", "1"), ("Speak", "2"), ("Break", "3")] {
        assert_eq!(e.get(name).unwrap(), value, "{name}");
    }
    assert_eq!(e.get("Steak"), None);
    assert_eq!(e.get(""), None);
}

#[test]
fn event_with_too_many_headers_is_an_error() {
    let limits = Limits::default();
    let read = |headers: usize| {
        let body = format!("Event-Name: X\n{}\n", "A: b\n".repeat(headers - 1));
        event("text/event-plain", body.as_bytes())
    };
    assert_eq!(read(limits.headers).unwrap().header_count(), limits.headers);
    let limit = limits.headers;
    let too_many = EventError::Headers(ParseError::HeaderCount { limit });
    assert_eq!(read(limits.headers + 1).unwrap_err(), too_many);
}

#[test]
fn event_with_too_long_headers_is_an_error() {
    let limit = Limits::default().header_bytes;
    let read = |bytes: usize| {
        let start = "Event-Name: X\nA: ";
        let value = "b".repeat(bytes - start.len() - 1);
        event("text/event-plain", format!("{start}{value}\n\n").as_bytes())
    };
    assert_eq!(read(limit).unwrap().header_count(), 2);
    let too_long = EventError::Headers(ParseError::HeaderBytes { limit });
    assert_eq!(read(limit + 1).unwrap_err(), too_long);
}

#[test]
fn undef_decodes_to_empty() {
    let e = plain("Event-Name: X\nA: _undef_\nB:\nC: \n\n");
    for name in ["A", "B", "C"] {
        assert_eq!(e.get(name).unwrap(), "", "{name}");
        assert_eq!(e.text(name), None);
    }
    assert_eq!(e.get_raw("A").unwrap(), b"_undef_");
    assert_eq!(json(r#"{"Event-Name":"X","A":"_undef_"}"#).text("A"), None);
}

#[test]
fn plus_is_not_a_space_and_lone_percent_is_kept() {
    let e = plain("Event-Name: X\nA: 1+1%20%2b%2B%7B%zz%4\nB: %\nC: %2\nD: %%41\n\n");
    assert_eq!(e.get("A").unwrap(), "1+1 ++{%zz%4");
    assert_eq!(e.get("B").unwrap(), "%");
    assert_eq!(e.get("C").unwrap(), "%2");
    assert_eq!(e.get("D").unwrap(), "%A");
    assert!(matches!(e.get("Event-Name"), Some(Cow::Borrowed("X"))));
}

#[test]
fn invalid_utf8_is_replaced() {
    let e = event("text/event-plain", b"Event-Name: X\nA: \xff%FFa\n\n").unwrap();
    assert_eq!(e.get("A").unwrap(), "\u{fffd}\u{fffd}a");
    let e = event(
        "text/event-json",
        b"{\"Event-Name\":\"X\",\"A\":\"\xff\x01\n\",\"B\":\"\xe9\\n\"}",
    )
    .unwrap();
    assert_eq!(e.get("A").unwrap(), "\u{fffd}\u{1}\n");
    assert_eq!(e.get("B").unwrap(), "\u{fffd}\n");
    assert_eq!(e.get_raw("A").unwrap(), b"\xff\x01\n");
}

#[test]
fn arrays_decode_equally_in_both_formats() {
    let p = plain("Event-Name: X\nA: ARRAY%3A%3Aa%7C%3Ab%20c\nB: ARRAY::a|:b c\nC: one\n\n");
    let j = json(r#"{"Event-Name":"X","A":["a","b c"],"B":[ "a" , "b c" ],"C":"one","D":[]}"#);
    for e in [&p, &j] {
        for name in ["A", "B"] {
            assert_eq!(e.list(name).unwrap(), ["a", "b c"]);
            assert_eq!(e.get(name).unwrap(), "ARRAY::a|:b c");
        }
        assert_eq!(e.list("C").unwrap(), ["one"]);
    }
    assert!(j.list("D").unwrap().is_empty());
}

#[test]
fn body_of_a_job_is_raw() {
    let p = plain("Event-Name: BACKGROUND_JOB\nContent-Length: 9\n\n+OK a%20\n");
    assert_eq!(p.kind(), EventKind::BackgroundJob);
    assert_eq!(p.body().unwrap().as_ref(), b"+OK a%20\n");
    assert_eq!(p.body_bytes().unwrap().as_ref(), b"+OK a%20\n");
    let j = json(r#"{"Event-Name":"BACKGROUND_JOB","Content-Length":"9","_body":"+OK a%20\n"}"#);
    assert_eq!(j.body().unwrap().as_ref(), b"+OK a%20\n");
    assert_eq!(j.body_bytes().unwrap().as_ref(), b"+OK a%20\n");
    assert_eq!(plain("Event-Name: X\n\n").body(), None);
}

#[test]
fn json_escapes_are_decoded() {
    let e = json(r#"{"Event-Name":"X","A":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx\q\u12"}"#);
    assert_eq!(
        e.get("A").unwrap(),
        "\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x\\q\u{fffd}12"
    );
}

#[test]
fn carriage_return_line_feed_ends_a_line() {
    let e = plain("Event-Name: HEARTBEAT\r\nUptime-msec: 12\r\n\r\n");
    assert_eq!(e.kind(), EventKind::Heartbeat);
    assert_eq!(e.uptime_ms(), Some(12));
}

#[test]
fn header_names_may_contain_colons() {
    let e = plain("Event-Name: X\na::b:c: d: e\n\n");
    assert_eq!(e.get("a::b:c").unwrap(), "d: e");
}

#[test]
fn message_that_is_no_event_is_a_typed_error() {
    let err = |t: &str, b: &str| event(t, b.as_bytes()).unwrap_err();
    assert_eq!(err("text/event-plain", "A: b\n\n"), EventError::NoName);
    assert_eq!(err("text/event-plain", ""), EventError::NoName);
    assert!(matches!(
        err("text/event-plain", "nonsense\n\n"),
        EventError::Headers(ParseError::HeaderLine { .. })
    ));
    assert!(matches!(
        err("text/event-plain", "Event-Name: X\nContent-Length: 5\n\nab"),
        EventError::Body {
            declared: 5,
            held: 2
        }
    ));
    assert!(matches!(
        err(
            "text/event-plain",
            "Event-Name: X\nContent-Length: -5\n\nab"
        ),
        EventError::Headers(ParseError::ContentLength)
    ));
    assert!(matches!(
        err("text/event-xml", "<event/>"),
        EventError::NotAnEvent {
            content_type: ContentType::EventXml
        }
    ));
    for (n, bad) in [
        "",
        "{",
        "[]",
        "{}x",
        "{\"Event-Name\"}",
        "{\"Event-Name\":}",
        "{\"Event-Name\":\"X",
        "{\"Event-Name\":\"X\"",
        "{\"Event-Name\":\"X\",}",
        "{\"a\":{}}",
        "{\"a\":[[]]}",
        "{\"a\":[\"b\"",
        "{\"a\" \"b\"}",
        "{\"a\":\"b\\",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            matches!(err("text/event-json", bad), EventError::Headers(_)),
            "{n}: {bad}"
        );
    }
    assert_eq!(err("text/event-json", " { } "), EventError::NoName);
}

#[test]
fn too_many_headers_are_a_typed_error() {
    let many = "A: b\n".repeat(1_025);
    assert_eq!(
        event("text/event-plain", many.as_bytes()).unwrap_err(),
        EventError::Headers(ParseError::HeaderCount { limit: 1_024 })
    );
    let long = format!("A: {}\n\n", "b".repeat(256 * 1024));
    assert_eq!(
        event("text/event-plain", long.as_bytes()).unwrap_err(),
        EventError::Headers(ParseError::HeaderBytes { limit: 256 * 1024 })
    );
}

#[test]
fn every_action_name_round_trips() {
    for wire in ConferenceAction::KNOWN {
        let action = ConferenceAction::from_wire(Cow::Borrowed(wire));
        assert_eq!(action.as_str(), *wire);
        assert!(!matches!(action, ConferenceAction::Other(_)));
    }
    let other = ConferenceAction::from_wire(Cow::Borrowed("video-refresh"));
    assert_eq!(other.as_str(), "video-refresh");
}
