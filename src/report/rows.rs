//! Rows, sums, and what could not be looked at.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;

use jiff::Timestamp;
use serde::Serialize;

use crate::action::{Action, Outcome, RequestedAction};
use crate::place::{AccountId, Region};
use crate::plan::{Decision, Entry, Plan};
use crate::reach::Reach;
use crate::reason::{Reason, Why};
use crate::request::Request;
use crate::resource::{DatabaseId, Kind, ResourceId};

/// Plan plus outcomes, and what there is no plan for.
///
/// ```
/// use stopinator::plan::{Looked, plan};
/// use stopinator::report::Report;
/// use stopinator::settings::Settings;
/// use stopinator::trigger;
///
/// let settings = Settings::from_environment([("AWS_REGION".to_owned(), "eu-west-1".to_owned())]).unwrap();
/// let now = "2026-11-20T18:00:00Z".parse().unwrap();
/// let command = r#"{"action": "stop", "instance_ids": ["i-0000000a"]}"#;
/// let request = trigger::parse(command, &settings, now).unwrap();
/// let report = Report::new(&request, plan(&settings, &request, [], Looked::EVERYWHERE));
/// assert_eq!(report.counts().to_string(), "1 found, 1 kept, 0 planned");
/// assert_eq!(report.instances[0].reason().unwrap().as_str(), "gone");
/// assert!(report.verdict().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the run was asked to do.
    pub action: RequestedAction,
    /// The instant decided for, in whole seconds.
    pub time: Timestamp,
    /// Whether the run stopped after the plan.
    pub dry_run: bool,
    /// Every instance, in the plan's order.
    pub instances: Vec<Row>,
    /// The regions, and accounts, that could not be observed, in order. They cost only themselves.
    pub unobserved: Vec<Unobserved>,
    /// Those that may not be looked in until somebody changes something, in order.
    pub unreachable: Vec<Unobserved>,
    /// How far it reached into other accounts, where there are such.
    pub reach: Option<Reach>,
    /// The limit of the breaker, where it held the plan back.
    pub held_back_by: Option<NonZeroUsize>,
    /// The accounts whose part of the plan was held back, in order.
    pub held_back: Vec<HeldBack>,
    /// Whether what is planned is to be told to people, as a notice.
    pub notice: bool,
    /// Whether the response is to have sums alone.
    pub counts_alone: bool,
}

/// An account whose part of the plan has more actions than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// The account.
    pub account: AccountId,
    /// How many actions are planned there.
    pub planned: usize,
    /// How many may be.
    pub limit: NonZeroUsize,
}

/// One instance in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was decided.
    pub entry: Entry,
    /// What became of a planned action; none in a dry run.
    pub outcome: Option<Outcome>,
    /// Why what was planned is not as planned.
    pub reason: Option<Reason>,
    /// What EC2 said of it.
    pub said: Option<Box<str>>,
}

/// A region, an account, or a region of an account, that could not be observed; where neither is known, all accounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize)]
#[error("{} could not be observed: {call}: {why}", self.place())]
pub struct Unobserved {
    /// The account, where there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region; none where the account as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The call that failed, such as `DescribeInstances`.
    pub call: &'static str,
    /// What AWS said, or what went wrong on the way.
    pub why: Box<str>,
    /// Whether it was found out in an earlier run, and not asked again in this one.
    #[serde(skip)]
    pub is_remembered: bool,
}

impl Unobserved {
    fn place(&self) -> impl fmt::Display {
        fmt::from_fn(|f| match (self.account, &self.region) {
            (Some(account), Some(region)) => write!(f, "{account} {region}"),
            (Some(account), None) => write!(f, "account {account}"),
            (None, Some(region)) => write!(f, "{region}"),
            (None, None) => f.write_str("the accounts"),
        })
    }
}

/// Sums over a report: `found` = `kept` + `planned`; `planned` = the five outcomes together, unless dry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// All instances found, and all ids asked for.
    pub found: usize,
    /// Left alone.
    pub kept: usize,
    /// To be acted on.
    pub planned: usize,
    /// Seen stopped, or running.
    pub confirmed: usize,
    /// Taken by EC2, not seen to arrive.
    pub accepted: usize,
    /// Refused for good.
    pub refused: usize,
    /// Not done; another try may succeed.
    pub failed: usize,
    /// Not tried.
    pub not_attempted: usize,
}

impl Report {
    /// The report of a plan of which nothing has been done yet.
    #[must_use]
    pub fn new(request: &Request, plan: Plan) -> Self {
        let row = |entry| Row { entry, outcome: None, reason: None, said: None };
        Self {
            action: request.action,
            time: request.instant,
            dry_run: request.dry_run,
            instances: plan.entries.into_iter().map(row).collect(),
            unobserved: Vec::new(),
            unreachable: Vec::new(),
            reach: None,
            held_back_by: None,
            held_back: Vec::new(),
            notice: request.notice,
            counts_alone: request.counts_alone,
        }
    }

    /// The sums over all instances.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { found: self.instances.len(), ..Counts::default() };
        for row in &self.instances {
            *(if row.planned().is_some() { &mut counts.planned } else { &mut counts.kept }) += 1;
            match row.outcome {
                None => {}
                Some(Outcome::Failed) => counts.failed += 1,
                Some(Outcome::Refused) => counts.refused += 1,
                Some(Outcome::NotAttempted) => counts.not_attempted += 1,
                Some(Outcome::Accepted) => counts.accepted += 1,
                Some(Outcome::Confirmed) => counts.confirmed += 1,
            }
        }
        counts
    }
}

impl Row {
    /// What it is, where it is no instance.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Some(self.entry.id.kind()).filter(|kind| *kind != Kind::Instance)
    }

    /// Whether it is a tagged member of a cluster that was not found by its own tag.
    #[must_use]
    pub fn is_member_of_untagged(&self, report: &Report) -> bool {
        let Decision::Keep(Why::ClusterMember(cluster)) = &self.entry.decision else { return false };
        let Ok(cluster) = DatabaseId::new(Kind::Cluster, cluster).map(ResourceId::from) else { return true };
        let wanted = (&self.entry.place, &cluster);
        // The rows have the plan's order.
        report.instances.binary_search_by(|row| (&row.entry.place, &row.entry.id).cmp(&wanted)).is_err()
    }

    /// Whether it is a database that ought to have arrived long since.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        matches!(&self.entry.decision, Decision::Keep(why) if why.is_unsettled())
    }

    /// Notes what became of the planned action.
    pub fn settle(&mut self, outcome: Outcome, reason: Option<Reason>, said: Option<Box<str>>) {
        (self.outcome, self.reason, self.said) = (Some(outcome), reason, said);
    }

    /// The planned action; none where the instance is kept.
    #[must_use]
    pub fn planned(&self) -> Option<Action> {
        match self.entry.decision {
            Decision::Act(action) => Some(action),
            Decision::Keep(_) => None,
        }
    }

    /// The decision as it stands in responses and logs: the action, or `keep`.
    #[must_use]
    pub fn decision(&self) -> &'static str {
        self.planned().map_or("keep", Action::as_str)
    }

    /// Why it was kept, or is not as planned.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match &self.entry.decision {
            Decision::Act(_) => self.reason,
            Decision::Keep(why) => Some(why.reason()),
        }
    }

    /// More, where there is more to say.
    #[must_use]
    pub fn detail(&self) -> Option<Cow<'_, str>> {
        match &self.entry.decision {
            Decision::Act(_) => self.said.as_deref().map(Into::into),
            Decision::Keep(why) => why.detail().map(Into::into),
        }
    }
}

impl fmt::Display for Counts {
    /// One line for people, such as `7 found, 3 kept, 4 planned: 3 accepted, 1 failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} found, {} kept, {} planned", self.found, self.kept, self.planned)?;
        let outcomes = [
            (self.confirmed, "confirmed"),
            (self.accepted, "accepted"),
            (self.refused, "refused"),
            (self.failed, "failed"),
            (self.not_attempted, "not attempted"),
        ];
        let mut separator = ": ";
        for (count, word) in outcomes.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {word}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{one_of_each, report, row};

    #[test]
    fn counts_add_up_and_read_as_a_line() {
        let counts = one_of_each().counts();
        assert_eq!(counts.found, counts.kept + counts.planned);
        assert_eq!(
            counts.planned,
            counts.confirmed + counts.accepted + counts.refused + counts.failed + counts.not_attempted
        );
        assert_eq!(
            counts.to_string(),
            "7 found, 2 kept, 5 planned: 1 confirmed, 1 accepted, 1 refused, 1 failed, 1 not attempted"
        );
        assert_eq!(report(vec![row(1, None, None)]).counts().to_string(), "1 found, 1 kept, 0 planned");
    }
}
