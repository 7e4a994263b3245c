use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const UUID: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";

fn uuid() -> ChannelUuid {
    ChannelUuid::new(UUID).unwrap()
}

fn room() -> ConferenceName {
    ConferenceName::new("nodeA-room-77afd03e").unwrap()
}

fn shows(command: Command, expected: &str) {
    assert_eq!(command.render(), expected.as_bytes());
}

#[test]
fn commands_render_as_freeswitch_expects() {
    use Api as A;
    let api = |a: Api, text: &str| shows(Command::Api(a), &format!("api {text}\n\n"));
    let plan = |flags: &[JoinFlag]| {
        InlinePlan::new(PlanStep::SetVars(vec![
            (
                VarName::new("a").unwrap(),
                Some(VarValue::new("1").unwrap()),
            ),
            (VarName::new("b").unwrap(), None),
        ]))
        .then(PlanStep::Conference {
            name: room(),
            profile: ProfileName::new("default").unwrap(),
            flags: flags.to_vec(),
            levels: Vec::new(),
        })
        .then(PlanStep::Park)
    };
    let conference = |c| A::Conference(room(), c);
    let member = |a, m| conference(ConferenceCommand::Member(a, m));
    let value = || VarValue::new("eyJhIjoxfQ==").unwrap();
    api(A::Echo(Arg::new("ping-1").unwrap()), "echo ping-1");
    api(A::Uptime, "uptime ms");
    api(
        A::ModuleExists(ModuleName::new("mod_conference").unwrap()),
        "module_exists mod_conference",
    );
    api(
        A::Transfer(uuid(), plan(&[JoinFlag::Mute])),
        &format!(
            "uuid_transfer {UUID} multiset:^^;a=1;b=,conference:nodeA-room-77afd03e@default+flags{{mute}},park inline"
        ),
    );
    api(
        A::Transfer(
            uuid(),
            plan(&[
                JoinFlag::Deaf,
                JoinFlag::Moderator,
                JoinFlag::WaitForModerator,
            ]),
        ),
        &format!(
            "uuid_transfer {UUID} multiset:^^;a=1;b=,conference:nodeA-room-77afd03e@default+flags{{deaf|moderator|wait-mod}},park inline"
        ),
    );
    api(
        A::Transfer(uuid(), plan(&[])),
        &format!(
            "uuid_transfer {UUID} multiset:^^;a=1;b=,conference:nodeA-room-77afd03e@default,park inline"
        ),
    );
    api(
        A::Transfer(uuid(), InlinePlan::new(PlanStep::Park)),
        &format!("uuid_transfer {UUID} park inline"),
    );
    api(
        A::SetVars(
            uuid(),
            vec![
                (VarName::new("a").unwrap(), VarValue::new("1").unwrap()),
                (VarName::new("b").unwrap(), VarValue::new("false").unwrap()),
            ],
        ),
        &format!("uuid_setvar_multi {UUID} a=1;b=false"),
    );
    api(A::Kill(uuid(), None), &format!("uuid_kill {UUID}"));
    api(
        A::Kill(uuid(), Some(HangupCause::normal_clearing())),
        &format!("uuid_kill {UUID} NORMAL_CLEARING"),
    );
    api(A::Answer(uuid()), &format!("uuid_answer {UUID}"));
    api(
        A::SetVar(
            uuid(),
            VarName::new("park_timeout").unwrap(),
            VarValue::new("600").unwrap(),
        ),
        &format!("uuid_setvar {UUID} park_timeout 600"),
    );
    api(A::Exists(uuid()), &format!("uuid_exists {UUID}"));
    api(A::Dump(uuid()), &format!("uuid_dump {UUID} json"));
    api(
        A::ShowChannels(TableForm::Delimited),
        "show channels as delim \x1f",
    );
    api(A::RecoverCalls, "sofia recover");
    api(A::ShowChannels(TableForm::Json), "show channels as json");
    api(A::ConferenceList, "conference json_list compact");
    api(
        member(MemberAction::Mute, MemberSelector::Number(15)),
        "conference nodeA-room-77afd03e mute 15",
    );
    api(
        member(MemberAction::Kick, MemberSelector::Channel(uuid())),
        &format!("conference nodeA-room-77afd03e kick uuid={UUID}"),
    );
    api(
        member(MemberAction::Unmute, MemberSelector::All),
        "conference nodeA-room-77afd03e unmute all",
    );
    api(
        conference(ConferenceCommand::SetVar(
            ConferenceVarName::new("roomkeeper_meta").unwrap(),
            value(),
        )),
        "conference nodeA-room-77afd03e setvar roomkeeper_meta eyJhIjoxfQ==",
    );
    api(
        conference(ConferenceCommand::Lock),
        "conference nodeA-room-77afd03e lock",
    );
    api(
        conference(ConferenceCommand::Unlock),
        "conference nodeA-room-77afd03e unlock",
    );

    let prefix = JobPrefix::new("rk1").unwrap();
    shows(
        Command::BgApi(A::ConferenceList, prefix.job(7)),
        "bgapi conference json_list compact\nJob-UUID: rk1-7\n\n",
    );
    shows(Command::FilterJobs(prefix), "filter Job-UUID /^rk1-/\n\n");
    shows(
        Command::Subscribe {
            format: EventFormat::Plain,
            names: vec![
                EventName::new("HEARTBEAT").unwrap(),
                EventName::new("SHUTDOWN").unwrap(),
            ],
            subclasses: vec![
                Subclass::new("conference::maintenance").unwrap(),
                Subclass::new("roomkeeper::fence").unwrap(),
            ],
        },
        "event plain HEARTBEAT SHUTDOWN CUSTOM conference::maintenance roomkeeper::fence\n\n",
    );
    shows(
        Command::SendEvent {
            subclass: Subclass::new("roomkeeper::fence").unwrap(),
            headers: vec![(HeaderName::new("Fence").unwrap(), Line::new("a b").unwrap())],
        },
        "sendevent CUSTOM\nEvent-Subclass: roomkeeper::fence\nFence: a b\n\n",
    );
    shows(
        Command::Execute {
            channel: uuid(),
            app: AppName::new("playback").unwrap(),
            arg: Some(Line::new("http://192.0.2.1/one.wav").unwrap()),
            event_uuid: ExecutionId::new("f00.1").unwrap(),
            lock: true,
        },
        &format!(
            "sendmsg {UUID}\ncall-command: execute\nexecute-app-name: playback\n\
             execute-app-arg: http://192.0.2.1/one.wav\nevent-uuid: f00.1\nevent-lock: true\n\n"
        ),
    );
    shows(
        Command::ExecuteMark {
            channel: uuid(),
            variable: VarName::new("roomkeeper_step").unwrap(),
            mark: ExecutionId::new("f00.1").unwrap(),
            result: MarkedResult::Digits(VarName::new("roomkeeper_digits").unwrap()),
        },
        &format!(
            "sendmsg {UUID}\ncall-command: execute\nexecute-app-name: set\n\
             execute-app-arg: roomkeeper_step=f00.1=${{read_result}}:${{roomkeeper_digits}}\nevent-lock: true\n\n"
        ),
    );
    shows(
        Command::ExecuteMark {
            channel: uuid(),
            variable: VarName::new("roomkeeper_step").unwrap(),
            mark: ExecutionId::new("f00.1").unwrap(),
            result: MarkedResult::Response,
        },
        &format!(
            "sendmsg {UUID}\ncall-command: execute\nexecute-app-name: set\n\
             execute-app-arg: roomkeeper_step=f00.1=${{current_application_response}}\nevent-lock: true\n\n"
        ),
    );
    api(
        A::TestCall {
            uuid: uuid(),
            from: Number::of_digits(527_121_100),
            to: Number::new("+747713001").unwrap(),
            context: ContextName::new("inbound").unwrap(),
            lasts: Duration::from_secs(90),
        },
        &format!(
            "originate {{origination_uuid={UUID},origination_caller_id_number=527121100}}\
             loopback/+747713001/inbound &playback(silence_stream://90000,1400)"
        ),
    );
    shows(Command::NoEvents, "noevents\n\n");
    shows(Command::Exit, "exit\n\n");
    assert_eq!(
        auth(&Password::new("ClueCon").unwrap()),
        "auth ClueCon\n\n".as_bytes()
    );
}

#[test]
fn injection_attempts_are_refused() {
    for bad in [
        "", "a b", "a\nb", "a\rb", "a\0", "${x}", "a${", "'a", "\"", "\\", "`id`", "^^:a", "\u{7f}",
    ] {
        assert!(Arg::new(bad).is_err(), "{bad:?}");
    }
    assert!(Arg::new("$1.00-{é}").is_ok());
    for bad in [
        "",
        "a b",
        "a@b",
        "a+b",
        "a:b",
        "a,b",
        "a\tb",
        "{a}",
        "a|b",
        "json_list",
        "JSON_List",
        "list",
        "commands",
        "é",
        "a'b",
        "${a}",
    ] {
        assert!(ConferenceName::new(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "",
        UUID.to_uppercase().as_str(),
        "75cdcc5ca7574d4480d595d9e74567a2",
        "{75cdcc5c-a757-4d44-80d5-95d9e74567a2}",
        "75cdcc5c-a757-4d44-80d5-95d9e74567a2\n",
    ] {
        assert!(ChannelUuid::new(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "Content-Length",
        "content-type",
        "Event-Name",
        "Event-Subclass",
        "a:b",
        "a b",
    ] {
        assert!(HeaderName::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["seconds", "Action", "action", "1_a", "_a", "a-b"] {
        assert!(ConferenceVarName::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["a b", "a,b", "{", "$", "a/b", ""] {
        assert!(VarValue::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["CUSTOM", "ALL", "heartbeat", "A B"] {
        assert!(EventName::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "normal_clearing", "A B", "16"] {
        assert!(HangupCause::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "+", "1 2", "1,2", "a", "1/2", "++1", "{1}", "1)"] {
        assert!(Number::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "a b", "a/b", "a,b", "a)", "${a}"] {
        assert!(ContextName::new(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "a\n\napi shutdown", " a", "a ", "a\t"] {
        assert!(Password::new(bad).is_err(), "{bad:?}");
    }
    assert!(Arg::new("a".repeat(1_025)).is_err());
}

#[test]
fn password_is_hidden_in_debug_output() {
    let password = Password::new("s3cret").unwrap();
    assert!(!format!("{password:?}").contains("s3cret"));
}

fn reply(body: &str) -> ApiReply {
    ApiReply::parse(Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn refusal_without_text_is_reported_as_such() {
    for (body, expected) in [
        ("-ERR\n", "FreeSWITCH refused without a reason"),
        ("-ERR Locked\n", "FreeSWITCH refused: Locked"),
    ] {
        let failure = reply(body).ok().unwrap_err();
        assert_eq!(failure.to_string(), expected);
    }
}

#[test]
fn answers_are_classified() {
    let ok = |t: &str| ApiReply::Ok(t.to_owned());
    let err = |t: &str| ApiReply::Err(t.to_owned());
    assert_eq!(reply("+OK\n"), ok(""));
    assert_eq!(reply("+OK mute 15\n"), ok("mute 15"));
    assert_eq!(
        reply("+OK kicked 1\n+OK kicked 2\n"),
        ok("kicked 1\nkicked 2")
    );
    assert_eq!(reply("+OK kicked 1\n-ERR x\n"), err("x"));
    assert_eq!(reply("-ERR No such channel!\n"), err("No such channel!"));
    assert_eq!(reply("-ERR no reply\n"), ApiReply::NoReply);
    assert_eq!(reply(""), ApiReply::NoReply);
    assert_eq!(reply("true"), ApiReply::Bool(true));
    assert_eq!(reply("false"), ApiReply::Bool(false));
    assert!(matches!(reply("[]"), ApiReply::Json(_)));
    assert!(matches!(reply("{\"row_count\": 0}\n"), ApiReply::Json(_)));
    let usage = "mute <[member_id|all]|last|non_moderator> [<quiet>]";
    assert_eq!(reply(usage), ApiReply::Other(usage.to_owned()));
    assert_eq!(
        reply("Stopped recording file /a.wav\n+OK Stopped 1 recording files\n"),
        ok("Stopped 1 recording files")
    );
    assert_eq!(
        reply("-ERR non-existant recording '/a.wav'\n+OK Stopped 0 recording files\n"),
        err("non-existant recording '/a.wav'")
    );
    assert_eq!(
        reply("-USAGE: <uuid>\n"),
        ApiReply::Other("-USAGE: <uuid>".to_owned())
    );
}

#[test]
fn only_the_expected_answer_succeeds() {
    assert!(reply("+OK").ok().is_ok());
    for bad in ["-ERR no reply\n", "-ERR x", "true", "[]", "usage"] {
        assert!(reply(bad).ok().is_err(), "{bad}");
    }
    for bad in ["-ERR no reply\n", "-ERR x", "true", "+OK", "usage", ""] {
        assert!(reply(bad).json().is_err(), "{bad}");
    }
    assert_eq!(reply("false").bool(), Ok(false));
    assert_eq!(
        reply("-ERR x").bool(),
        Err(ApiFailure::Refused("x".to_owned()))
    );
    assert_eq!(reply("12345").text(), Ok("12345".to_owned()));
    assert_eq!(reply("-ERR no reply\n").text(), Err(ApiFailure::NoReply));
    assert_eq!(
        CommandReply::parse("+OK accepted"),
        CommandReply::Ok("accepted".to_owned())
    );
    assert_eq!(
        CommandReply::parse("-ERR invalid"),
        CommandReply::Err("invalid".to_owned())
    );
    assert_eq!(
        CommandReply::parse("odd"),
        CommandReply::Err("odd".to_owned())
    );
}

/// Returns every command that can carry `text` somewhere, with its number of lines.
fn commands_with(text: &str) -> Vec<(Command, usize)> {
    let mut made = Vec::new();
    let api = Command::Api;
    let transfer = |step| Api::Transfer(uuid(), InlinePlan::new(step).then(PlanStep::Park));
    let conference = |name, profile| PlanStep::Conference {
        name,
        profile,
        flags: vec![JoinFlag::Mute],
        levels: vec![(MemberLevel::Energy, 300)],
    };
    let one = || VarValue::new("1").unwrap();
    if let Ok(arg) = Arg::new(text) {
        made.push((api(Api::Echo(arg)), 1));
    }
    if let Ok(name) = ConferenceName::new(text) {
        made.push((
            api(Api::Conference(name.clone(), ConferenceCommand::Lock)),
            1,
        ));
        let profile = ProfileName::new("default").unwrap();
        made.push((api(transfer(conference(name, profile))), 1));
    }
    if let Ok(profile) = ProfileName::new(text) {
        made.push((api(transfer(conference(room(), profile))), 1));
    }
    if let Ok(channel) = ChannelUuid::new(text) {
        made.push((api(Api::Exists(channel)), 1));
    }
    if let Ok(cause) = HangupCause::new(text) {
        made.push((api(Api::Kill(uuid(), Some(cause))), 1));
    }
    if let Ok(name) = VarName::new(text) {
        let set = PlanStep::SetVars(vec![(name.clone(), Some(one()))]);
        made.push((api(transfer(set)), 1));
        made.push((api(Api::SetVars(uuid(), vec![(name.clone(), one())])), 1));
        made.push((api(Api::SetVar(uuid(), name, one())), 1));
    }
    if let Ok(value) = VarValue::new(text) {
        let name = || VarName::new("a").unwrap();
        let set = PlanStep::SetVars(vec![(name(), Some(value.clone())), (name(), None)]);
        made.push((api(transfer(set)), 1));
        made.push((api(Api::SetVars(uuid(), vec![(name(), value.clone())])), 1));
        made.push((
            api(Api::SetVar(uuid(), VarName::new("a").unwrap(), value)),
            1,
        ));
    }
    if let Ok(name) = ConferenceVarName::new(text) {
        let set = ConferenceCommand::SetVar(name, VarValue::new("1").unwrap());
        made.push((api(Api::Conference(room(), set)), 1));
    }
    if let Ok(module) = ModuleName::new(text) {
        made.push((api(Api::ModuleExists(module)), 1));
    }
    let test_call = |to, context| Api::TestCall {
        uuid: uuid(),
        from: Number::of_digits(1),
        to,
        context,
        lasts: Duration::from_secs(1),
    };
    if let Ok(number) = Number::new(text) {
        let context = ContextName::new("inbound").unwrap();
        made.push((api(test_call(number, context)), 1));
    }
    if let Ok(context) = ContextName::new(text) {
        made.push((api(test_call(Number::of_digits(1), context)), 1));
    }
    if let Ok(job) = JobUuid::new(text) {
        made.push((Command::BgApi(Api::Uptime, job), 2));
    }
    if let Ok(prefix) = JobPrefix::new(text) {
        made.push((Command::FilterJobs(prefix), 1));
    }
    let execute = |app: AppName, arg| Command::Execute {
        channel: uuid(),
        app,
        arg,
        event_uuid: ExecutionId::new("f00.1").unwrap(),
        lock: false,
    };
    if let Ok(app) = AppName::new(text) {
        made.push((execute(app, None), 4));
    }
    if let Ok(line) = Line::new(text) {
        made.push((
            execute(AppName::new("sleep").unwrap(), Some(line.clone())),
            5,
        ));
        made.push((
            Command::SendEvent {
                subclass: Subclass::new("a::b").unwrap(),
                headers: vec![(HeaderName::new("A").unwrap(), line)],
            },
            3,
        ));
    }
    if let Ok(name) = HeaderName::new(text) {
        made.push((
            Command::SendEvent {
                subclass: Subclass::new("a::b").unwrap(),
                headers: vec![(name, Line::new("x").unwrap())],
            },
            3,
        ));
    }
    let subscribe = |names, subclasses| Command::Subscribe {
        format: EventFormat::Plain,
        names,
        subclasses,
    };
    if let Ok(name) = EventName::new(text) {
        made.push((subscribe(vec![name], vec![]), 1));
    }
    if let Ok(subclass) = Subclass::new(text) {
        made.push((subscribe(vec![], vec![subclass]), 1));
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]
    #[test]
    fn no_constructible_command_injects(
        text in prop_oneof![
            any::<String>(),
            "[ -~]{0,40}",
            "[a-z0-9_]{1,20}",
            "[A-Z_]{1,20}",
            "[a-zA-Z0-9:._~=$ {\n\r,-]{1,40}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ]
    ) {
        for (command, lines) in commands_with(&text) {
            let wire = command.render();
            let wire = std::str::from_utf8(&wire).unwrap();
            let inside = wire.strip_suffix("\n\n").unwrap();
            prop_assert!(!inside.contains("\n\n"), "{wire:?}");
            prop_assert_eq!(inside.lines().count(), lines, "{:?}", wire);
            prop_assert_eq!(inside.matches('\n').count() + 1, lines, "{:?}", wire);
            prop_assert!(!inside.contains('\r') && !inside.contains('\0'), "{wire:?}");
            prop_assert!(!inside.contains("${"), "{wire:?}");
        }
        if let Ok(password) = Password::new(text.as_str()) {
            let wire = auth(&password);
            let inside = wire.strip_suffix(b"\n\n").unwrap();
            prop_assert!(!inside.iter().any(|b| *b < b' '));
        }
    }
}

#[test]
fn media_url_refuses_what_freeswitch_interprets() {
    let good = "https://host.example:8443/a/b%20c/greeting.wav?x=1&y=~";
    assert_eq!(MediaUrl::new(good).unwrap().as_str(), good);
    for bad in [
        "",
        "ftp://h/a",
        "file:///a",
        "/a.wav",
        "http://h/a b",
        "http://u@h/a",
        "http://h/a!http://h/b",
        "http://h/{a}",
        "http://h/(a",
        "http://h/'a'",
        "http://h/a\\b",
        "http://h/${x}",
        "http://h/a\n",
    ] {
        assert!(MediaUrl::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn level_is_set_with_its_value_and_confirmed_without_ok() {
    let member = MemberSelector::Channel(uuid());
    for (level, value, words) in [
        (MemberLevel::VolumeIn, -4, "volume_in uuid="),
        (MemberLevel::VolumeOut, 2, "volume_out uuid="),
        (MemberLevel::Energy, 300, "energy uuid="),
    ] {
        let command = ConferenceCommand::Level(level, member, value);
        let text = Api::Conference(ConferenceName::new("r").unwrap(), command).to_string();
        assert_eq!(text, format!("conference r {words}{} {value}", uuid()));
    }
    let read = |text: &'static str| ApiReply::parse(text.into()).ok_or_level();
    assert_eq!(read("Energy 7 = 300\n"), Ok("Energy 7 = 300".to_owned()));
    assert_eq!(
        read("+OK Volume IN 7 = -4\n"),
        Ok("Volume IN 7 = -4".to_owned())
    );
    let adjusted = "Energy 7 = 300\nAuto-Energy level exceeded, Auto-Energy mode disabled\n";
    assert!(read(adjusted).is_ok());
    for bad in [
        "-ERR Non-Existant member\n",
        "Energy x = 1\n",
        "energy <member_id|all|last|non_moderator> [<newval>]",
        "",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    assert!(ApiReply::parse("Energy 7 = 300\n".into()).ok().is_err());
}
