//! Does a run end well? Pure, so that a function's error and a program's exit code are of one mind.

use std::fmt;
use std::num::NonZeroUsize;

use super::rows::{Report, Row};
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
    /// Something failed or was not attempted, or a region could not be observed.
    Left,
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
            return Err(Unfinished::TooMany { planned: self.counts().planned, limit });
        }
        if self.first_left().is_some() || !self.unobserved.is_empty() { Err(Unfinished::Left) } else { Ok(()) }
    }

    /// The run in one line: what was asked, the sums, the regions that could not be observed, and the first that is left.
    #[must_use]
    pub fn summary(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            write!(f, "{} at {}: {}", self.action, self.time, self.counts())?;
            for unobserved in &self.unobserved {
                write!(f, "; {unobserved}")?;
            }
            // Where the breaker held, all are left.
            match self.first_left().filter(|_| self.held_back_by.is_none()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::report::Unobserved;
    use crate::testing::{region, report, row};

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

    #[test]
    fn an_unobserved_region_is_unfinished_whatever_was_done() {
        for action in [RequestedAction::Stop, RequestedAction::Schedule] {
            let unobserved =
                Unobserved { region: region("eu-west-1"), call: "DescribeInstances", why: "AuthFailure: no".into() };
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
        let rows = vec![row(1, STOP, Some(Outcome::NotAttempted)), row(2, STOP, Some(Outcome::NotAttempted))];
        let report = Report { held_back_by: NonZeroUsize::new(1), ..report(rows) };
        let limit = NonZeroUsize::MIN;
        assert_eq!(report.verdict(), Err(Unfinished::TooMany { planned: 2, limit }));
        assert!(report.summary().to_string().ends_with("2 planned: 2 not attempted"), "{}", report.summary());
    }
}
