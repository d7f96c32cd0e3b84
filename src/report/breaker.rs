//! The breakers: a plan that is too large, in one account or in all together, is nobody's wish.

use std::collections::BTreeMap;

use super::rows::{HeldBack, Report, Row};
use crate::action::Outcome;
use crate::place::AccountId;
use crate::reason::Reason;
use crate::settings::Settings;

impl Report {
    /// Holds back the accounts with more actions than one may have; and where what is left is more than all together may
    /// have, everything. What is held back is not to be attempted, and says why.
    pub fn hold_back(&mut self, settings: &Settings) {
        let most = settings.accounts.as_ref().and_then(|accounts| accounts.max_actions);
        if let Some(limit) = most {
            let mut planned: BTreeMap<AccountId, usize> = BTreeMap::new();
            for account in self.instances.iter().filter(|row| is_open(row)).filter_map(|row| row.entry.account()) {
                *planned.entry(account).or_default() += 1;
            }
            let held_back = planned.into_iter().filter(|(_, planned)| *planned > limit.get());
            self.held_back = held_back.map(|(account, planned)| HeldBack { account, planned, limit }).collect();
            let accounts: Vec<AccountId> = self.held_back.iter().map(|held_back| held_back.account).collect();
            self.not_attempt(|row| row.entry.account().is_some_and(|account| accounts.binary_search(&account).is_ok()));
        }
        let open = self.instances.iter().filter(|row| is_open(row)).count();
        self.held_back_by = settings.max_actions.filter(|limit| open > limit.get());
        if self.held_back_by.is_some() {
            self.not_attempt(|_| true);
        }
    }

    fn not_attempt(&mut self, is_meant: impl Fn(&Row) -> bool) {
        for row in self.instances.iter_mut().filter(|row| row.planned().is_some() && is_meant(row)) {
            row.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
        }
    }
}

/// Whether it is planned, and nothing is said of it yet.
#[must_use]
pub fn is_open(row: &Row) -> bool {
    row.planned().is_some() && row.outcome.is_none()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::action::Action;
    use crate::testing::{account, report, row};

    /// A plan with so many actions in each account, and settings with these limits; what is attempted in each account.
    fn attempted(planned: &[usize], all: usize, each: usize) -> (Vec<usize>, Report) {
        let settings = Settings::from_environment(
            [
                ("AWS_REGION", "eu-west-1".to_owned()),
                ("STOPINATOR_ACCOUNTS", "r-ab12".to_owned()),
                ("STOPINATOR_MAX_ACTIONS", all.to_string()),
                ("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", each.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
        .unwrap();
        let of = |number: usize| account(number as u64);
        let mut rows = Vec::new();
        for (number, count) in planned.iter().enumerate() {
            for action in 0..=*count {
                // One more that is kept.
                let mut row = row(u32::try_from(action).unwrap(), (action > 0).then_some(Action::Stop), None);
                row.entry.place = row.entry.place.map(|place| place.of(of(number)));
                rows.push(row);
            }
        }
        let mut report = report(rows);
        report.hold_back(&settings);
        let open = |number| {
            let rows = report.instances.iter().filter(|row| row.entry.account() == Some(of(number)));
            rows.filter(|row| is_open(row)).count()
        };
        ((0..planned.len()).map(open).collect(), report)
    }

    #[test]
    fn an_account_with_too_much_costs_only_itself() {
        let (attempted, report) = attempted(&[2, 3, 2, 5000], 200, 2);
        assert_eq!(attempted, [2, 0, 2, 0]);
        assert_eq!(report.held_back_by, None);
        let held_back: Vec<_> = report.held_back.iter().map(|held| (held.account, held.planned)).collect();
        assert_eq!(held_back, [(account(1), 3), (account(3), 5000)]);
    }

    #[test]
    fn all_together_may_not_have_too_much_either() {
        assert_eq!(attempted(&[2; 3], 6, 2).0, [2; 3]);
        let (none, report) = attempted(&[2; 4], 6, 2);
        assert_eq!(none, [0; 4]);
        assert_eq!((report.held_back_by, report.held_back.len()), (NonZeroUsize::new(6), 0));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(attempted(&[300, 1], 0, 0).0, [300, 1]);
    }
}
