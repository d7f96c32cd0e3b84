//! How far a hub reaches: which errors say that nobody may look, and when so many do that the fault is the hub's.

use std::collections::BTreeSet;

use crate::place::AccountId;

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
/// until the hub enters anew: the role is missing or does not trust the hub, the account is suspended, a policy denies the region, or the region is not
/// switched on. STS says the same in nearly all of these, on purpose.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;

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
