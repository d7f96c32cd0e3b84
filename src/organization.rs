//! AWS Organizations: which of its accounts are meant by a unit's id.

use std::collections::BTreeSet;
use std::fmt;

use crate::place::AccountId;
use crate::quote;

/// The id of an organizational unit, or of the root.
///
/// Source: <https://docs.aws.amazon.com/organizations/latest/APIReference/API_OrganizationalUnit.html>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(Box<str>);

/// An account as Organizations lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: AccountId,
    /// Whether it is told to be in another state than `ACTIVE`, such as `SUSPENDED`.
    pub is_inactive: bool,
    /// Where it stands: the ids from the organization down, as in `o-a1b2c3d4e5/r-ab12/ou-ab12-cdefgh34/`.
    pub paths: Vec<String>,
}

impl Unit {
    /// The active accounts under it, however deep.
    pub fn of<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = AccountId> + 'a {
        let is_under = |member: &Member| member.paths.iter().any(|path| path.split('/').any(|id| id == &*self.0));
        members.iter().filter(move |member| !member.is_inactive && is_under(member)).map(|member| member.id)
    }
}

/// The active accounts under any of these units, and the units that have none: a wrong id, or nobody may see the paths.
#[must_use]
pub fn accounts<'a>(units: &'a BTreeSet<Unit>, members: &[Member]) -> (BTreeSet<AccountId>, Vec<&'a Unit>) {
    let (mut accounts, mut empty) = (BTreeSet::new(), Vec::new());
    for unit in units {
        let mut found = unit.of(members).peekable();
        if found.peek().is_none() {
            empty.push(unit);
        }
        accounts.extend(found);
    }
    (accounts, empty)
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Unit {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_part = |part: &str, least: usize| {
            (least..=32).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let fits = match text.split('-').collect::<Vec<_>>().as_slice() {
            ["r", root] => is_part(root, 4),
            ["ou", root, unit] => is_part(root, 4) && is_part(unit, 8),
            _ => false,
        };
        if fits { Ok(Self(text.into())) } else { Err(UnitError { text: quote::word(&text) }) }
    }
}

/// A text that is no unit's id.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is neither a unit nor the root; they are written like `ou-ab12-cdefgh34` and `r-ab12`")]
pub struct UnitError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;

    fn unit(text: &str) -> Unit {
        Unit::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn units() {
        for good in ["r-ab12", "ou-ab12-cdefgh34", "r-0123456789abcdef0123456789abcdef"] {
            assert_eq!(unit(good).to_string(), good);
        }
        for bad in
            ["", "r-", "r-ab1", "R-ab12", "ou-ab12", "ou-ab12-cdefgh3", "ou-ab12-CDEFGH34", "o-a1b2c3d4e5", "r-ab12 "]
        {
            assert!(Unit::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_means_the_active_accounts_under_it() {
        let member =
            |id, path: &str, is_inactive| Member { id: account(id), is_inactive, paths: vec![path.to_owned()] };
        let members = [
            member(1, "o-a1b2c3d4e5/r-ab12/", false),
            member(2, "o-a1b2c3d4e5/r-ab12/ou-ab12-cdefgh34/", false),
            member(3, "o-a1b2c3d4e5/r-ab12/ou-ab12-cdefgh34/ou-ab12-deeper00/", false),
            member(4, "o-a1b2c3d4e5/r-ab12/ou-ab12-cdefgh34/", true),
            member(5, "o-a1b2c3d4e5/r-ab12/ou-ab12-cdefgh345/", false),
            Member { id: account(6), is_inactive: false, paths: Vec::new() },
        ];
        let of = |units: &[&str]| {
            let units: BTreeSet<Unit> = units.iter().map(|text| unit(text)).collect();
            let (accounts, empty) = accounts(&units, &members);
            (accounts.into_iter().collect::<Vec<_>>(), empty.into_iter().map(Unit::to_string).collect::<Vec<_>>())
        };
        assert_eq!(of(&["ou-ab12-cdefgh34"]), (vec![account(2), account(3)], vec![]));
        assert_eq!(of(&["r-ab12"]).0, [1, 2, 3, 5].map(account));
        assert_eq!(
            of(&["ou-ab12-deeper00", "ou-ab12-nowhere0"]),
            (vec![account(3)], vec!["ou-ab12-nowhere0".to_owned()])
        );
    }
}
