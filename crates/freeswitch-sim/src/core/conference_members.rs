//! Subcommands of `conference` that act on members, and the members that a selector names.

use super::{Core, FRAME, Origin, Step, task::Task};

/// A subcommand that acts on members.
pub(super) struct MemberCommand {
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) origin: Origin,
    pub(super) usage: &'static str,
}

pub(super) const MEMBER_COMMANDS: [MemberCommand; 12] = [
    MemberCommand {
        name: "mute",
        action: "mute-member",
        origin: ("conference_api.c", "conference_api_sub_mute", 339),
        usage: "mute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "unmute",
        action: "unmute-member",
        origin: ("conference_api.c", "conference_api_sub_unmute", 492),
        usage: "unmute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "tmute",
        action: "",
        origin: ("conference_api.c", "conference_api_sub_tmute", 0),
        usage: "tmute <[member_id|all]|last|non_moderator> [<quiet>]",
    },
    MemberCommand {
        name: "deaf",
        action: "deaf-member",
        origin: ("conference_api.c", "conference_api_sub_deaf", 797),
        usage: "deaf <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "undeaf",
        action: "undeaf-member",
        origin: ("conference_api.c", "conference_api_sub_undeaf", 839),
        usage: "undeaf <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "hold",
        action: "hold-member",
        origin: ("conference_api.c", "conference_api_sub_hold", 440),
        usage: "hold <[member_id|all]|last|non_moderator> [file]",
    },
    MemberCommand {
        name: "unhold",
        action: "unhold-member",
        origin: ("conference_api.c", "conference_api_sub_unhold", 389),
        usage: "unhold <[member_id|all]|last|non_moderator>",
    },
    MemberCommand {
        name: "kick",
        action: "kick-member",
        origin: ("conference_api.c", "conference_api_sub_kick", 902),
        usage: "kick <[member_id|all|last|non_moderator]> [<optional sound file>]",
    },
    MemberCommand {
        name: "hup",
        action: "hup-member",
        origin: ("conference_api.c", "conference_api_sub_hup", 871),
        usage: "hup <[member_id|all|last|non_moderator]>",
    },
    MemberCommand {
        name: "energy",
        action: "energy-level-member",
        origin: ("conference_api.c", "conference_api_sub_energy", 1062),
        usage: "energy <member_id|all|last|non_moderator> [<newval>]",
    },
    MemberCommand {
        name: "volume_in",
        action: "volume-in-member",
        origin: ("conference_api.c", "conference_api_sub_volume_in", 1574),
        usage: "volume_in <member_id|all|last|non_moderator> [<newval>]",
    },
    MemberCommand {
        name: "volume_out",
        action: "volume-out-member",
        origin: ("conference_api.c", "conference_api_sub_volume_out", 1609),
        usage: "volume_out <member_id|all|last|non_moderator> [<newval>]",
    },
];

impl Core {
    /// Returns the members that a selector names, or the server's error if there are none.
    pub(super) fn select(&self, uid: &str, selector: &str) -> Result<Vec<u64>, Option<String>> {
        let Some(room) = self.rooms.get(uid) else {
            return Err(None);
        };
        if let Some(uuid) = selector.strip_prefix("uuid=") {
            return match room.member_of(uuid) {
                Some(member) => Ok(vec![member.id]),
                None => Err(Some("-ERR Non-Existant member\n".into())),
            };
        }
        match selector {
            "all" => Ok(room.members.iter().map(|member| member.id).collect()),
            "non_moderator" => Ok(room
                .members
                .iter()
                .filter(|member| !member.moderator)
                .map(|member| member.id)
                .collect()),
            "last" => Ok(room
                .members
                .iter()
                .map(|member| member.id)
                .max()
                .into_iter()
                .collect()),
            number => match number.parse::<u64>() {
                Ok(id) if room.member(id).is_some() => Ok(vec![id]),
                Ok(_) => Err(Some(format!("-ERR Non-Existant ID {number}\n"))),
                Err(_) => Err(None),
            },
        }
    }

    pub(super) fn for_members(
        &mut self,
        uid: &str,
        command: &MemberCommand,
        args: &[&str],
    ) -> String {
        let Some(selector) = args.first() else {
            return command.usage.into();
        };
        match self.select(uid, selector) {
            Ok(ids) => {
                let mut body = String::new();
                for id in ids {
                    body.push_str(&self.act_on_member(uid, id, command, args.get(1).copied()));
                }
                body
            }
            Err(Some(body)) => body,
            Err(None) => command.usage.into(),
        }
    }

    pub(super) fn act_on_member(
        &mut self,
        uid: &str,
        id: u64,
        command: &MemberCommand,
        value: Option<&str>,
    ) -> String {
        let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) else {
            return String::new();
        };
        let uuid = member.uuid.clone();
        match command.name {
            "tmute" => {
                let turned = if member.can_speak {
                    &MEMBER_COMMANDS[0]
                } else {
                    &MEMBER_COMMANDS[1]
                };
                return self.act_on_member(uid, id, turned, None);
            }
            "mute" => {
                member.can_speak = false;
                member.talking = false;
            }
            "unmute" => member.can_speak = true,
            "deaf" => member.can_hear = false,
            "undeaf" => member.can_hear = true,
            "hold" => {
                member.hold = true;
                member.talking = false;
            }
            "unhold" => {
                member.hold = false;
                let _ = self.stop_member_files(uid, &id.to_string());
            }
            "kick" => {
                member.kicked = true;
                self.member_event(uid, id, command.origin, command.action, &[]);
                self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
                return format!("+OK kicked {id}\n");
            }
            "hup" => {
                // The member is released like a kicked one; only the end of its plan hangs the call up.
                member.kicked = true;
                self.member_event(uid, id, command.origin, command.action, &[]);
                self.step(Step::Notice, &uuid, Task::Run(uuid.clone()));
                return format!("+OK hup {id}\n");
            }
            _ => return self.set_level(uid, id, command, value),
        }
        self.member_event(uid, id, command.origin, command.action, &[]);
        if matches!(command.name, "unmute" | "unhold")
            && self
                .channels
                .get(&uuid)
                .is_some_and(|channel| channel.voice)
        {
            // The voice is present already, so the gate opens with the next frame.
            let at = self
                .timing
                .at(Step::TalkStart, &uuid, self.now)
                .min(self.now + FRAME);
            self.schedule(at, Task::TalkStart(uuid));
        }
        format!("+OK {} {id}\n", command.name)
    }

    /// Sets or reads a member's energy level or volume.
    fn set_level(
        &mut self,
        uid: &str,
        id: u64,
        command: &MemberCommand,
        value: Option<&str>,
    ) -> String {
        let Some(member) = self.rooms.get_mut(uid).and_then(|room| room.member_mut(id)) else {
            return String::new();
        };
        if command.name == "energy" {
            if let Some(text) = value {
                // The server does not bound it, and reads 0 where there is no number.
                member.energy_level = text.parse().unwrap_or(0);
            }
            let level = member.energy_level;
            if value.is_some() {
                self.member_event(uid, id, command.origin, command.action, &[]);
            }
            return format!("Energy {id} = {level}\n");
        }
        let (volume, side) = match command.name {
            "volume_in" => (&mut member.volume_in, "IN"),
            _ => (&mut member.volume_out, "OUT"),
        };
        if let Some(text) = value {
            *volume = text.parse::<i64>().unwrap_or(0).clamp(-4, 4);
        }
        let level = *volume;
        if value.is_some() {
            let more = [("Volume-Level", level.to_string())];
            self.member_event(uid, id, command.origin, command.action, &more);
        }
        format!("+OK Volume {side} {id} = {level}\n")
    }

    /// Moves members to another conference, like any transfer of calls.
    pub(super) fn move_members(&mut self, uid: &str, target: &str, ids: &[&str]) -> String {
        let mut body = String::new();
        let old = self
            .rooms
            .get(uid)
            .map(|room| room.name.clone())
            .unwrap_or_default();
        for selector in ids {
            let Ok(ids) = self.select(uid, selector) else {
                body.push_str(&format!("-ERR No Member {selector} in conference {old}.\n"));
                continue;
            };
            for id in ids {
                let Some(uuid) = self
                    .rooms
                    .get(uid)
                    .and_then(|room| room.member(id))
                    .map(|member| member.uuid.clone())
                else {
                    continue;
                };
                // A member that has hung up meanwhile stays out.
                let _ = self.transfer(&uuid, &format!("conference:{target}"), "inline", None);
                let more = [
                    ("Old-Conference-Name", old.clone()),
                    ("New-Conference-Name", target.to_owned()),
                ];
                self.member_event(
                    uid,
                    id,
                    ("conference_api.c", "conference_api_sub_transfer", 3704),
                    "transfer",
                    &more,
                );
                body.push_str(&format!("+OK Member '{id}' sent to conference {target}.\n"));
            }
        }
        body
    }

    /// Accepts relations between members, which neither appear in events nor are kept.
    pub(super) fn relate(&self, uid: &str, args: &[&str]) -> String {
        let known = |id: &str| {
            let room = self.rooms.get(uid);
            id.parse()
                .ok()
                .is_some_and(|id| room.is_some_and(|room| room.member(id).is_some()))
        };
        match args {
            [] => "+OK No relationships\n".into(),
            [a, b, verb, ..] if known(a) && known(b) => match *verb {
                "clear" => format!("+OK relationship {a}->{b} cleared.\n"),
                _ => format!("+OK {a}->{b} {verb} set\n"),
            },
            [a, b, _, ..] => format!("-ERR relationship {a}->{b} not found.\n"),
            [_] | [_, _] => {
                "relate <member_id>[,<member_id>] <other_member_id>[,<other_member_id>] [nospeak|nohear|clear]".into()
            }
        }
    }
}
