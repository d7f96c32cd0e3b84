//! Instances that travel in one call, and what EC2 has said of them so far.

use crate::action::Outcome;
use crate::reason::Reason;

/// What becomes of an instance, and why.
pub(super) type Verdict = (Outcome, Reason);

/// Instances that travel in one call.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Their places among the executor's targets.
    pub(super) members: Vec<usize>,
    pub(super) hibernate: bool,
    /// How often it was sent and its fate stayed uncertain.
    pub(super) tries: u32,
    /// Whether its last try was throttled.
    pub(super) throttled: bool,
    /// What is to become of the one that EC2 meant when it refused a call with these among others.
    pub(super) refused: Option<Verdict>,
    /// What EC2 said when it refused that call, or else of the last try.
    pub(super) said: Option<Box<str>>,
}

impl Batch {
    pub(super) fn new(members: Vec<usize>, hibernate: bool) -> Self {
        Self { members, hibernate, tries: 0, throttled: false, refused: None, said: None }
    }

    /// The same call for others.
    pub(super) fn with(&self, members: Vec<usize>) -> Self {
        let Self { hibernate, tries, throttled, refused, .. } = *self;
        Self { members, hibernate, tries, throttled, refused, said: self.said.clone() }
    }

    /// The same call for its members from a place on, which it loses.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let members = self.members.split_off(at);
        self.with(members)
    }

    /// Whether it is a plain one of which EC2 has said nothing yet.
    pub(super) fn is_untried(&self) -> bool {
        !self.hibernate && self.tries == 0 && self.refused.is_none() && !self.throttled
    }

    pub(super) fn said(&self) -> &str {
        self.said.as_deref().unwrap_or_default()
    }

    /// What becomes of its members if it is not sent again, and what there is to say of it.
    pub(super) fn given_up(&self) -> (Verdict, Option<Box<str>>) {
        let verdict = match (self.refused, self.throttled, self.tries) {
            (Some(verdict), ..) => {
                let said = format!("refused among others, and not tried alone in time: {}", self.said());
                return (verdict, Some(said.into()));
            }
            (None, true, _) => (Outcome::Failed, Reason::Throttled),
            (None, false, 0) => (Outcome::NotAttempted, Reason::NoTimeLeft),
            (None, false, _) => (Outcome::Failed, Reason::Ec2Error),
        };
        (verdict, self.said.clone())
    }
}
