//! The inline dialplans that move a call, and the channel variables that keep a call movable.
//!
//! Owns the variables of each plan, and the quirks of FreeSWITCH behind them. Leaves out the time of a move
//! (`dispatch`) and the syntax of plans (`esl::command`).

use std::time::Duration;

use freeswitch_esl::command::{
    ChannelUuid, ConferenceName, InlinePlan, JoinFlag, Leg, MemberLevel, PlanStep, ProfileName,
    Unfit, VarName, VarValue,
};

use super::variables::{META_VARIABLE, PARK_VARIABLE, RESULT_VARIABLES};

/// The entry of a call into a conference.
#[derive(Debug)]
pub struct Entry {
    /// The conference.
    pub name: ConferenceName,
    /// Its profile, if the call creates it.
    pub profile: ProfileName,
    /// The flags of the member.
    pub flags: Vec<JoinFlag>,
    /// The levels of the member.
    pub levels: Vec<(MemberLevel, i32)>,
    /// The conference's lock applies to the call, even if FreeSWITCH dialled it.
    pub obeys_lock: bool,
    /// The conference's lock does not apply to the call.
    pub past_lock: bool,
    /// The registration that the conference carries from its creation, if the call creates it. A conference that exists
    /// keeps its own.
    pub registration: Option<VarValue>,
}

/// Moves a call into a conference, and back into the park when the conference refuses it, ends, or loses it by a kick:
/// without the park the call would be hung up. The node hangs up a call that stays parked for `park_timeout`.
///
/// # Errors
/// [`Unfit`] if a constant of this file is wrong.
pub fn enter(entry: Entry, park_timeout: Duration) -> Result<InlinePlan, Unfit> {
    let mut variables = common_variables(park_timeout, entry.registration)?;
    if entry.obeys_lock || entry.past_lock {
        variables.push(set(quirk_lock_binds_by_variable(!entry.past_lock))?);
    }
    Ok(InlinePlan::new(PlanStep::SetVars(variables))
        .then(PlanStep::Conference {
            name: entry.name,
            profile: entry.profile,
            flags: entry.flags,
            levels: entry.levels,
        })
        .then(PlanStep::Park))
}

/// Moves a call into the park, out of whatever it is in, and notes the id of this park command on the channel.
///
/// # Errors
/// As [`enter`].
pub fn park(id: u64, park_timeout: Duration) -> Result<InlinePlan, Unfit> {
    let mut variables = common_variables(park_timeout, None)?;
    variables.push((
        VarName::new(PARK_VARIABLE)?,
        Some(VarValue::new(id.to_string())?),
    ));
    Ok(InlinePlan::new(PlanStep::SetVars(variables)).then(PlanStep::Park))
}

/// Makes a call heard by a member alone, and hear what the member hears. The call parks when the member hangs up, and notes
/// the id of that park on the channel.
///
/// # Errors
/// As [`enter`].
pub fn coach(member: ChannelUuid, id: u64, park_timeout: Duration) -> Result<InlinePlan, Unfit> {
    let mut variables = common_variables(park_timeout, None)?;
    variables.push((
        VarName::new(PARK_VARIABLE)?,
        Some(VarValue::new(id.to_string())?),
    ));
    variables.push(set(("eavesdrop_whisper_bleg", "true"))?);
    variables.push((VarName::new("eavesdrop_whisper_aleg")?, None));
    variables.push(set(quirk_keys_of_a_coach_change_who_hears_it())?);
    Ok(InlinePlan::new(PlanStep::SetVars(variables))
        .then(PlanStep::Eavesdrop(member))
        .then(PlanStep::Park))
}

/// Connects a call with somebody, and parks it afterwards, whatever happened. Notes the id of that park on the channel. The
/// variables with the result of an earlier transfer are removed.
///
/// # Errors
/// As [`enter`].
pub fn transfer(leg: Leg, id: u64, park_timeout: Duration) -> Result<InlinePlan, Unfit> {
    let mut variables = common_variables(park_timeout, None)?;
    variables.push((
        VarName::new(PARK_VARIABLE)?,
        Some(VarValue::new(id.to_string())?),
    ));
    for name in RESULT_VARIABLES {
        variables.push((VarName::new(name)?, None));
    }
    Ok(InlinePlan::new(PlanStep::SetVars(variables))
        .then(PlanStep::Bridge(Box::new(leg)))
        .then(PlanStep::Park))
}

/// The keys 0 to 3 of a call that listens to another one choose who hears it: with 1 or 3 the whole room would hear the
/// coach (`switch_ivr_async.c`). This is the default, which the variable turns off.
const fn quirk_keys_of_a_coach_change_who_hears_it() -> (&'static str, &'static str) {
    ("eavesdrop_enable_dtmf", "false")
}

/// The variables for a call that is seen for the first time: it can be transferred without limit, and outlives a
/// conference.
///
/// # Errors
/// As [`enter`].
pub fn preparation() -> Result<Vec<(VarName, VarValue)>, Unfit> {
    [
        quirk_each_transfer_uses_up_a_forward(),
        quirk_conference_end_hangs_up(),
    ]
    .into_iter()
    .map(|(name, value)| Ok((VarName::new(name)?, VarValue::new(value)?)))
    .collect()
}

type Variable = (VarName, Option<VarValue>);

/// The variables of every plan.
///
/// `mod_conference` copies each channel variable `confvar_X` into variable `X` of a conference that the channel creates,
/// before it sends `conference-create`. Every plan sets the registration's, so that no conference gets the value of an
/// earlier one.
fn common_variables(
    park_timeout: Duration,
    registration: Option<VarValue>,
) -> Result<Vec<Variable>, Unfit> {
    Ok(vec![
        set(quirk_each_transfer_uses_up_a_forward())?,
        (VarName::new(quirk_each_transfer_is_remembered())?, None),
        set(quirk_conference_end_hangs_up())?,
        quirk_park_clears_its_timeout(park_timeout)?,
        (
            VarName::new(format!("confvar_{META_VARIABLE}"))?,
            registration,
        ),
    ])
}

fn set((name, value): (&str, &str)) -> Result<Variable, Unfit> {
    Ok((VarName::new(name)?, Some(VarValue::new(value)?)))
}

/// Each transfer uses up one of the channel's `max_session_transfers`, or else of its `max_forwards`: 70, or the
/// `Max-Forwards` of the SIP caller. The last one hangs the call up with `EXCHANGE_ROUTING_ERROR` (`switch_ivr.c`). The
/// value is FreeSWITCH's own default.
const fn quirk_each_transfer_uses_up_a_forward() -> (&'static str, &'static str) {
    ("max_session_transfers", "70")
}

/// Each transfer appends its plan to this variable, which every dump and every event with variables carries. An empty
/// value removes it.
const fn quirk_each_transfer_is_remembered() -> &'static str {
    "transfer_history"
}

/// A conference that ends by itself hangs up its members, whatever their plan has next (`mod_conference.c`): by
/// `endconf`, by its silence timeout, or because the last member left while another one came in.
const fn quirk_conference_end_hangs_up() -> (&'static str, &'static str) {
    ("hangup_after_conference", "false")
}

/// Each park clears `park_timeout`, so every plan sets it: seen on 1.11.2, where a call that was kicked out of its room
/// hung up by itself after that time. FreeSWITCH counts whole seconds.
fn quirk_park_clears_its_timeout(park_timeout: Duration) -> Result<Variable, Unfit> {
    let seconds = park_timeout.as_secs().max(1);
    Ok((
        VarName::new("park_timeout")?,
        Some(VarValue::new(seconds.to_string())?),
    ))
}

/// `lock` binds a call from outside, and not one that FreeSWITCH dialled, unless the channel says otherwise. `max-members`
/// binds every call (`mod_conference.c`).
const fn quirk_lock_binds_by_variable(binds: bool) -> (&'static str, &'static str) {
    let value = if binds { "true" } else { "false" };
    ("conference_enforce_security", value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freeswitch_esl::command::{Api, DialString};

    const UUID: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// The variables that every plan sets first.
    const VARIABLES: &str = "multiset:^^;max_session_transfers=70;transfer_history=;hangup_after_conference=false;park_timeout=60;confvar_roomkeeper_meta=";

    fn channel() -> ChannelUuid {
        ChannelUuid::new(UUID).unwrap()
    }

    fn entry() -> Entry {
        Entry {
            name: ConferenceName::new("nodeA-room-77afd03e").unwrap(),
            profile: ProfileName::new("default").unwrap(),
            flags: Vec::new(),
            levels: Vec::new(),
            obeys_lock: false,
            past_lock: false,
            registration: Some(VarValue::new("eyJhIjoxfQ").unwrap()),
        }
    }

    fn check(plan: Result<InlinePlan, Unfit>, rest: &str) {
        let command = Api::Transfer(channel(), plan.unwrap());
        let expected = format!("uuid_transfer {UUID} {VARIABLES}{rest} inline");
        assert_eq!(command.to_string(), expected);
    }

    #[test]
    fn entry_sets_variables_and_parks_after_the_conference() {
        check(
            enter(entry(), TIMEOUT),
            "eyJhIjoxfQ,conference:nodeA-room-77afd03e@default,park",
        );
        let muted = Entry {
            flags: vec![JoinFlag::Mute],
            ..entry()
        };
        check(
            enter(muted, TIMEOUT),
            "eyJhIjoxfQ,conference:nodeA-room-77afd03e@default+flags{mute},park",
        );
        let deaf = Entry {
            flags: vec![JoinFlag::Mute, JoinFlag::Deaf],
            past_lock: true,
            ..entry()
        };
        check(
            enter(deaf, TIMEOUT),
            "eyJhIjoxfQ;conference_enforce_security=false,conference:nodeA-room-77afd03e@default+flags{mute|deaf},park",
        );
        let loud = Entry {
            flags: vec![JoinFlag::Mute],
            levels: vec![(MemberLevel::VolumeIn, 4), (MemberLevel::Energy, 300)],
            ..entry()
        };
        check(
            enter(loud, TIMEOUT),
            "eyJhIjoxfQ,conference:%[^^;conference_join_volume_in=4;conference_join_energy_level=300]nodeA-room-77afd03e@default+flags{mute},park",
        );
        let dialled = Entry {
            obeys_lock: true,
            registration: None,
            ..entry()
        };
        check(
            enter(dialled, TIMEOUT),
            ";conference_enforce_security=true,conference:nodeA-room-77afd03e@default,park",
        );
    }

    #[test]
    fn park_notes_its_id_and_clears_the_registration() {
        check(
            park(1_700_000_000_000_000, TIMEOUT),
            ";roomkeeper_park=1700000000000000,park",
        );
    }

    #[test]
    fn coach_is_heard_by_the_member_alone_whatever_it_presses() {
        let member = ChannelUuid::new("1f0f77f9-5b94-4f1c-9f0a-6b6f4d6f3c11").unwrap();
        check(
            coach(member, 17, TIMEOUT),
            ";roomkeeper_park=17;eavesdrop_whisper_bleg=true;eavesdrop_whisper_aleg=;eavesdrop_enable_dtmf=false,eavesdrop:1f0f77f9-5b94-4f1c-9f0a-6b6f4d6f3c11,park",
        );
    }

    #[test]
    fn transfer_parks_whatever_happens() {
        let leg = Leg {
            uuid: ChannelUuid::new("1f0f77f9-5b94-4f1c-9f0a-6b6f4d6f3c11").unwrap(),
            timeout: Duration::from_secs(30),
            caller_number: None,
            caller_name: None,
            headers: Vec::new(),
            variables: Vec::new(),
            to: DialString::new("loopback/1000/desk").unwrap(),
        };
        let command = Api::Transfer(channel(), transfer(leg, 17, TIMEOUT).unwrap());
        let expected = format!(
            "uuid_transfer {UUID} m:!:{VARIABLES};roomkeeper_park=17;originate_disposition=;last_bridge_hangup_cause=;\
             bridge_hangup_cause=;last_bridge_proto_specific_hangup_cause=!\
             bridge:%[^^;hangup_after_bridge=false;continue_on_fail=true;ringback=%(2000,4000,440,480)]\
             {{^^;origination_uuid=1f0f77f9-5b94-4f1c-9f0a-6b6f4d6f3c11;ignore_early_media=true;originate_timeout=30}}\
             loopback/1000/desk!park inline"
        );
        assert_eq!(command.to_string(), expected);
    }

    #[test]
    fn park_timeout_is_one_second_at_least() {
        let plan = park(1, Duration::ZERO).unwrap().to_string();
        assert!(plan.contains(";park_timeout=1;"), "{plan}");
    }

    #[test]
    fn preparation_sets_both_variables_at_once() {
        let command = Api::SetVars(channel(), preparation().unwrap());
        let expected = format!(
            "uuid_setvar_multi {UUID} max_session_transfers=70;hangup_after_conference=false"
        );
        assert_eq!(command.to_string(), expected);
    }
}
