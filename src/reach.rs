//! How far a run reaches: which errors say that nobody may look, when so many do that the fault is the hub's, and in which
//! region nobody answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::place::{AccountId, Region};

/// How far a hub reached into the accounts that it looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// In how many accounts something could be looked at.
    pub looked_at: usize,
    /// Whether so many are out of reach that the fault is the hub's.
    pub is_lost: bool,
}

/// Whether so many of the accounts that were asked for are out of reach that the fault is the hub's and not theirs: all,
/// or more than half of those that were in reach before. Silence must not look like peace.
#[must_use]
pub fn is_lost(asked: &BTreeSet<AccountId>, out: &BTreeSet<AccountId>, before: &BTreeSet<AccountId>) -> bool {
    let known = asked.intersection(before);
    let lost = known.clone().filter(|account| out.contains(account)).count();
    (!asked.is_empty() && asked.is_subset(out)) || 2 * lost > known.count()
}

/// Whether an error of this code, to `AssumeRole` or a call that looks, comes again until somebody changes something, or
/// until the hub enters anew: the role is missing or does not trust the hub, the account is suspended, a policy denies the
/// region, or the region is not switched on. STS says the same in nearly all of these, on purpose.
///
/// Sources: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>,
/// <https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>
#[must_use]
pub fn is_denial(code: &str) -> bool {
    let code = code.strip_prefix("Client.").unwrap_or(code);
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "AuthFailure"
            | "Blocked"
            | "ExpiredToken"
            | "InvalidClientTokenId"
            | "OptInRequired"
            | "PendingVerification"
            | "RegionDisabledException"
            | "UnauthorizedOperation"
            | "UnrecognizedClientException"
    )
}

/// Where nobody answers, region by region: one that is silent must not take the time of all the others.
#[derive(Debug, Default)]
pub struct Silence(RefCell<BTreeMap<Region, usize>>);

impl Silence {
    /// So many in a row are no accident.
    const TOO_MANY: usize = 8;

    /// Whether so many have given no answer there that nobody else need be asked.
    #[must_use]
    pub fn is_in(&self, region: &Region) -> bool {
        self.0.borrow().get(region).is_some_and(|in_a_row| *in_a_row >= Self::TOO_MANY)
    }

    /// Hears whether there was an answer, whatever it said.
    pub fn hear(&self, region: &Region, is_answer: bool) {
        let mut in_a_row = self.0.borrow_mut();
        if is_answer {
            in_a_row.remove(region);
        } else {
            *in_a_row.entry(region.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, region};

    #[test]
    fn all_or_most_of_those_before_is_lost() {
        let set = |numbers: &[u64]| -> BTreeSet<AccountId> { numbers.iter().map(|number| account(*number)).collect() };
        for (asked, out, before, lost) in [
            (&[1, 2, 3, 4][..], &[][..], &[][..], false),
            (&[1, 2, 3, 4], &[1, 2, 3], &[], false),
            (&[1, 2, 3, 4], &[1, 2, 3, 4], &[], true),
            (&[1], &[1], &[], true),
            (&[], &[], &[1, 2], false),
            (&[1, 2, 3, 4], &[1, 2], &[1, 2, 3, 4], false),
            (&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3, 4], true),
            // Whoever was out of reach all along does not count.
            (&[1, 2, 3, 4, 5, 6], &[4, 5, 6], &[1, 2, 3], false),
            // Of those that nobody asks for nothing is known.
            (&[1, 2], &[1], &[1, 2, 3, 4, 5], false),
            (&[1, 2, 9], &[1, 2], &[1, 2, 3, 4, 5], true),
        ] {
            assert_eq!(is_lost(&set(asked), &set(out), &set(before)), lost, "{asked:?} {out:?} {before:?}");
        }
    }

    #[test]
    fn eight_in_a_row_are_silence() {
        let (silence, here, there) = (Silence::default(), region("eu-west-1"), region("us-east-1"));
        for _ in 0..7 {
            silence.hear(&here, false);
        }
        assert!(!silence.is_in(&here));
        silence.hear(&here, true);
        for _ in 0..8 {
            assert!(!silence.is_in(&here));
            silence.hear(&here, false);
        }
        assert!(silence.is_in(&here) && !silence.is_in(&there));
    }

    #[test]
    fn denials() {
        for code in ["AccessDenied", "AuthFailure", "Client.UnauthorizedOperation", "OptInRequired"] {
            assert!(is_denial(code), "{code}");
        }
        // Another try may help, or the fault is in what was asked.
        for code in ["Throttling", "RequestLimitExceeded", "InternalError", "ValidationError", ""] {
            assert!(!is_denial(code), "{code}");
        }
    }
}
