//! `originate`: a call that FreeSWITCH makes, with its plan.
//!
//! ```text
//! origination = leg SP plan " inline"
//! ```

use std::fmt;

use super::leg::Leg;
use super::plan::InlinePlan;

/// A call to make, with the plan that it executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origination {
    /// The call.
    pub leg: Leg,
    /// The plan of the answered call.
    pub plan: InlinePlan,
}

impl fmt::Display for Origination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leg.write("{", ',', f)?;
        write!(f, " {} inline", self.plan)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::{
        Api, ChannelUuid, DialTemplate, PlanStep, QuotedText, SipHeaderName, VarName, VarValue,
    };

    #[test]
    fn origination_is_rendered() {
        let template = DialTemplate::new("sofia/gateway/trunk/${number}", "number").unwrap();
        let leg = Leg {
            uuid: ChannelUuid::new("75cdcc5c-a757-4d44-80d5-95d9e74567a2").unwrap(),
            timeout: Duration::from_secs(30),
            caller_number: Some(QuotedText::new("+4955").unwrap()),
            caller_name: Some(QuotedText::new("Zoë 7").unwrap()),
            headers: vec![(
                SipHeaderName::new("X-Ticket").unwrap(),
                QuotedText::new("a b").unwrap(),
            )],
            variables: vec![(
                VarName::new("roomkeeper_app").unwrap(),
                VarValue::new("demo").unwrap(),
            )],
            to: template.fill("+4930").unwrap(),
        };
        let call = Origination {
            leg: leg.clone(),
            plan: InlinePlan::new(PlanStep::Park),
        };
        assert_eq!(
            Api::Originate(Box::new(call)).to_string(),
            "originate {origination_uuid=75cdcc5c-a757-4d44-80d5-95d9e74567a2,ignore_early_media=true,\
             originate_timeout=30,origination_caller_id_number='+4955',origination_caller_id_name='Zoë 7',\
             roomkeeper_app=demo,sip_h_X-Ticket='a b'}sofia/gateway/trunk/+4930 park inline"
        );
        let plan = InlinePlan::new(PlanStep::Bridge(Box::new(leg))).then(PlanStep::Park);
        assert_eq!(
            plan.to_string(),
            "m:!:bridge:%[^^;hangup_after_bridge=false;continue_on_fail=true;ringback=%(2000,4000,440,480)]\
             {^^;origination_uuid=75cdcc5c-a757-4d44-80d5-95d9e74567a2;ignore_early_media=true;originate_timeout=30;\
             origination_caller_id_number='+4955';origination_caller_id_name='Zoë 7';roomkeeper_app=demo;\
             sip_h_X-Ticket='a b'}sofia/gateway/trunk/+4930!park"
        );
    }
}
