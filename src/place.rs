//! Where something is: an account and a region.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::quote;

/// A region's name, such as `ap-northeast-2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The name as AWS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    /// Checks the shape only (`ap-northeast-2`, `us-gov-west-1`): regions are added every year.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Vec<&str> = text.split('-').collect();
        let shaped = match parts.as_slice() {
            [words @ .., number] => {
                words.len() >= 2
                    && words.iter().all(|w| w.len() >= 2 && w.bytes().all(|b| b.is_ascii_lowercase()))
                    && !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            [] => false,
        };
        if shaped { Ok(Self(text.into())) } else { Err(RegionError { text: quote::word(&text) }) }
    }
}

/// An account's id: 12 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // They were digits when they came in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for AccountId {
    type Error = AccountIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.as_bytes().try_into().ok().filter(|digits: &[u8; 12]| digits.iter().all(u8::is_ascii_digit));
        digits.map(Self).ok_or_else(|| AccountIdError { text: quote::word(&text) })
    }
}

/// An account and a region. What differs by it: credentials, token buckets. Shared by all that is there, which is much.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(Arc<AccountAndRegion>);

/// What a place is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountAndRegion {
    /// The account; none where there is only the function's own.
    pub account: Option<AccountId>,
    /// The region.
    pub region: Region,
}

impl Place {
    /// A region of an account.
    #[must_use]
    pub fn new(account: Option<AccountId>, region: Region) -> Self {
        Self(Arc::new(AccountAndRegion { account, region }))
    }

    /// The same region in an account.
    #[cfg(test)]
    pub(crate) fn of(&self, account: AccountId) -> Self {
        Self::new(Some(account), self.region.clone())
    }
}

impl Deref for Place {
    type Target = AccountAndRegion;

    fn deref(&self) -> &AccountAndRegion {
        &self.0
    }
}

impl From<Region> for Place {
    /// A region of the function's own account, where there is no other.
    fn from(region: Region) -> Self {
        Self::new(None, region)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.account {
            Some(account) => write!(f, "{account} {}", self.region),
            None => self.region.fmt(f),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no account's id.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an account; one is written with 12 digits, like `111122223333`")]
pub struct AccountIdError {
    text: String,
}

/// A text that is no region's name.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a region; one is written like `ap-northeast-2`")]
pub struct RegionError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts() {
        for good in ["111122223333", "000000000000"] {
            assert_eq!(AccountId::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in ["", "11112222333", "1111222233334", "1111-2222-3333", "11112222333x", "１１１１", "111122223333 "]
        {
            assert!(AccountId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_stand_in_the_order_of_account_and_region() {
        let place = |account: Option<&str>, region: &str| {
            Place::new(
                account.map(|account| AccountId::try_from(account.to_owned()).unwrap()),
                Region::try_from(region.to_owned()).unwrap(),
            )
        };
        let mut places = [
            place(Some("222222222222"), "ap-northeast-2"),
            place(Some("111111111111"), "us-east-1"),
            place(Some("111111111111"), "eu-west-1"),
        ];
        places.sort();
        let told: Vec<String> = places.iter().map(Place::to_string).collect();
        assert_eq!(told, ["111111111111 eu-west-1", "111111111111 us-east-1", "222222222222 ap-northeast-2"]);
        assert_eq!(place(None, "eu-west-1").to_string(), "eu-west-1");
    }

    #[test]
    fn regions() {
        for good in ["ap-northeast-2", "us-gov-west-1", "us-iso-east-1", "mx-central-1", "us-east-12"] {
            assert!(Region::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "seoul", "ap-northeast", "ap--2", "AP-NORTHEAST-2", "ap-northeast-2a", "ap-northeast-2 ", "-2"]
        {
            assert!(Region::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
