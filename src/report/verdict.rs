//! Does a run end well? Pure, so that a function's error and a program's exit code are of one mind.

use std::fmt;
use std::num::NonZeroUsize;

use super::rows::{HeldBack, Report, Row, Unobserved};
use crate::action::{Outcome, RequestedAction};
use crate::reason::Reason;

/// Why a run did not end well: something is left that another try, or somebody, may finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// The breaker held; nothing has been touched.
    TooMany {
        /// How many actions the plan has.
        planned: usize,
        /// How many it may have.
        limit: NonZeroUsize,
    },
    /// The breaker held in this account, and in so many others; nothing has been touched there.
    TooManyIn(HeldBack, usize),
    /// Something failed or was not attempted, a region could not be observed, or too many accounts are out of reach.
    Left,
}

impl Unfinished {
    /// A stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } | Self::TooManyIn(..) => "too-many",
            Self::Left => "unfinished",
        }
    }
}

impl Report {
    /// Whether the run ended well.
    ///
    /// What was refused for good is no reason to try again. Of a schedule the next tick is the next try, so only a run
    /// of which nothing at all went ahead does not end well.
    ///
    /// # Errors
    ///
    /// What is left.
    pub fn verdict(&self) -> Result<(), Unfinished> {
        if let Some(limit) = self.held_back_by {
            let held_back: usize = self.held_back.iter().map(|held_back| held_back.planned).sum();
            return Err(Unfinished::TooMany { planned: self.counts().planned - held_back, limit });
        }
        if let Some(held_back) = self.held_back.first() {
            return Err(Unfinished::TooManyIn(*held_back, self.held_back.len() - 1));
        }
        let is_lost = self.reach.is_some_and(|reach| reach.is_lost);
        if is_lost || self.first_left().is_some() || !self.unobserved.is_empty() {
            Err(Unfinished::Left)
        } else {
            Ok(())
        }
    }

    /// The run in one line: what was asked, the sums, what could not be observed, and the first that is left.
    #[must_use]
    pub fn summary(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            write!(f, "{} at {}: {}", self.action, self.time, self.counts())?;
            if let Some(reach) = self.reach.filter(|reach| reach.is_lost) {
                let (unreachable, looked_at) = (self.unreachable.len(), reach.looked_at);
                write!(f, "; {looked_at} accounts looked at, {unreachable} times out of reach: is the hub in order?")?;
                few(f, &self.unreachable)?;
            }
            few(f, &self.unobserved)?;
            // Where a breaker held, all are left.
            match self.first_left().filter(|row| row.reason != Some(Reason::TooMany)) {
                Some(row) => {
                    let reason = row.reason().map_or("failed", Reason::as_str);
                    write!(f, "; first: {}: {}", row.entry.id, row.detail().as_deref().unwrap_or(reason))
                }
                None => Ok(()),
            }
        })
    }

    /// The first row of which another try may make something.
    fn first_left(&self) -> Option<&Row> {
        let is_left = |row: &&Row| matches!(row.outcome, Some(Outcome::Failed | Outcome::NotAttempted));
        let went_ahead = |row: &Row| row.planned().is_some() && !is_left(&row);
        if self.action == RequestedAction::Schedule && self.instances.iter().any(went_ahead) {
            return None;
        }
        self.instances.iter().find(is_left)
    }
}

/// The first of them: of 500 accounts all may be meant, and a line has an end.
fn few(f: &mut fmt::Formatter<'_>, unobserved: &[Unobserved]) -> fmt::Result {
    const FEW: usize = 20;
    for unobserved in unobserved.iter().take(FEW) {
        write!(f, "; {unobserved}")?;
    }
    match unobserved.len().saturating_sub(FEW) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::reach::Reach;
    use crate::testing::{account, region, report, row};

    const STOP: Option<Action> = Some(Action::Stop);

    #[test]
    fn what_another_try_may_finish_is_unfinished() {
        use Outcome::{Accepted, Confirmed, Failed, NotAttempted, Refused};
        for (outcomes, stop, schedule) in [
            (&[][..], true, true),
            (&[Confirmed, Accepted], true, true),
            (&[Refused], true, true),
            (&[Failed], false, false),
            (&[NotAttempted], false, false),
            (&[Confirmed, Failed], false, true),
            (&[Refused, NotAttempted], false, true),
            (&[Failed, NotAttempted], false, false),
        ] {
            for (action, ends_well) in
                [(RequestedAction::Stop, stop), (RequestedAction::Start, stop), (RequestedAction::Schedule, schedule)]
            {
                let mut rows = vec![row(1, None, None)];
                rows.extend((2..).zip(outcomes).map(|(number, outcome)| row(number, STOP, Some(*outcome))));
                let report = Report { action, ..report(rows) };
                assert_eq!(report.verdict().is_ok(), ends_well, "{action} {outcomes:?}");
            }
        }
    }

    fn unobserved(of: Option<u64>, at: Option<&str>) -> Unobserved {
        Unobserved {
            account: of.map(account),
            region: at.map(region),
            call: if at.is_some() { "DescribeInstances" } else { "AssumeRole" },
            why: "AuthFailure: no".into(),
            is_remembered: false,
        }
    }

    #[test]
    fn what_is_out_of_reach_is_no_reason_to_try_again_unless_it_is_too_much() {
        let unreachable = vec![unobserved(Some(1), None), unobserved(Some(2), Some("eu-west-1"))];
        let reached = |is_lost| Report {
            unreachable: unreachable.clone(),
            reach: Some(Reach { looked_at: 1, is_lost }),
            ..report(vec![row(1, STOP, Some(Outcome::Confirmed))])
        };
        assert_eq!(reached(false).verdict(), Ok(()));
        assert_eq!(reached(true).verdict(), Err(Unfinished::Left));
        assert_eq!(
            reached(true).summary().to_string(),
            "stop at 2026-11-21T10:00:00Z: 1 found, 0 kept, 1 planned: 1 confirmed; 1 accounts looked at, 2 times out of \
             reach: is the hub in order?; account 000000000001 could not be observed: AssumeRole: AuthFailure: no; 000000000002 \
             eu-west-1 could not be observed: DescribeInstances: AuthFailure: no"
        );
    }

    #[test]
    fn the_line_stays_short_whatever_many_accounts_say() {
        let all = (1..=500).map(|number| unobserved(Some(number), None)).collect();
        let told = Report { unobserved: all, ..report(Vec::new()) }.summary().to_string();
        assert!(told.ends_with("; and 480 more") && told.len() < 2_000, "{told}");
    }

    #[test]
    fn an_account_that_was_held_back_is_told_whatever_went_well_elsewhere() {
        let limit = NonZeroUsize::MIN;
        let held_back = HeldBack { account: account(7), planned: 2, limit };
        let mut held = row(2, STOP, None);
        held.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
        let rows = vec![row(1, STOP, Some(Outcome::Confirmed)), held];
        let report = Report { action: RequestedAction::Schedule, held_back: vec![held_back], ..report(rows) };
        assert_eq!(report.verdict(), Err(Unfinished::TooManyIn(held_back, 0)));
        assert!(
            report.summary().to_string().ends_with("2 planned: 1 confirmed, 1 not attempted"),
            "{}",
            report.summary()
        );
    }

    #[test]
    fn an_unobserved_region_is_unfinished_whatever_was_done() {
        for action in [RequestedAction::Stop, RequestedAction::Schedule] {
            let unobserved = unobserved(None, Some("eu-west-1"));
            let rows = vec![row(1, STOP, Some(Outcome::Confirmed))];
            let report = Report { action, unobserved: vec![unobserved], ..report(rows) };
            assert_eq!(report.verdict(), Err(Unfinished::Left));
            assert_eq!(
                report.summary().to_string(),
                format!(
                    "{action} at 2026-11-21T10:00:00Z: 1 found, 0 kept, 1 planned: 1 confirmed; eu-west-1 could not be \
                     observed: DescribeInstances: AuthFailure: no"
                )
            );
        }
    }

    #[test]
    fn the_first_that_is_left_is_told() {
        let mut failed = row(2, STOP, None);
        failed.settle(Outcome::Failed, Some(Reason::Ec2Error), Some("InternalError: oh".into()));
        let mut throttled = row(3, STOP, None);
        throttled.settle(Outcome::Failed, Some(Reason::Throttled), None);
        for (rows, first) in [
            (
                vec![row(1, STOP, Some(Outcome::Refused)), failed.clone(), throttled.clone()],
                "first: i-00000002: InternalError: oh",
            ),
            (vec![throttled, failed], "first: i-00000003: throttled"),
        ] {
            let summary = report(rows).summary().to_string();
            assert!(summary.ends_with(first), "{summary}");
        }
    }

    #[test]
    fn the_breaker_comes_before_all_else() {
        let mut rows = vec![row(1, STOP, None), row(2, STOP, None)];
        for row in &mut rows {
            row.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
        }
        let report = Report { held_back_by: NonZeroUsize::new(1), ..report(rows) };
        let limit = NonZeroUsize::MIN;
        assert_eq!(report.verdict(), Err(Unfinished::TooMany { planned: 2, limit }));
        assert!(report.summary().to_string().ends_with("2 planned: 2 not attempted"), "{}", report.summary());
    }
}
