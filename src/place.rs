//! Where something is: a region.

use std::fmt;
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
