//! The accounts in chunks, each for an invocation of its own: what somebody needs who divides the work.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use serde::Serialize;

use crate::place::AccountId;

/// The answer to a question for the accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chunks {
    chunks: Vec<Vec<AccountId>>,
}

impl Chunks {
    /// The accounts in order, in chunks of at most so many targets, of which each account has one for each region, and all
    /// of about one size; but never less than an account.
    #[must_use]
    pub fn new(accounts: &BTreeSet<AccountId>, regions: usize, targets: NonZeroUsize) -> Self {
        let accounts: Vec<AccountId> = accounts.iter().copied().collect();
        let most = (targets.get() / regions.max(1)).max(1);
        let size = accounts.len().div_ceil(accounts.len().div_ceil(most).max(1)).max(1);
        Self { chunks: accounts.chunks(size).map(<[AccountId]>::to_vec).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;

    #[test]
    fn chunks_hold_every_account_once_and_no_more_targets_than_asked() {
        let accounts: BTreeSet<AccountId> = (1..=10).map(account).collect();
        for (regions, targets, sizes) in [
            (1, 10, &[10][..]),
            (4, 12, &[3, 3, 3, 1]),
            (3, 18, &[5, 5]),
            (4, 15, &[3, 3, 3, 1]),
            (4, 1, &[1; 10]),
            (17, 2500, &[10]),
        ] {
            let Chunks { chunks } = Chunks::new(&accounts, regions, NonZeroUsize::new(targets).unwrap());
            assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{regions} {targets}");
            assert_eq!(chunks.concat(), accounts.iter().copied().collect::<Vec<_>>());
        }
        let none = Chunks::new(&BTreeSet::new(), 4, NonZeroUsize::MIN);
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"chunks":[]}"#);
    }
}
