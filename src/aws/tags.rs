//! The tags of a resource that count here, and the tokens of pages.

use std::collections::BTreeSet;

use super::call::CallError;
use crate::schedule::Hold;
use crate::settings::Settings;

/// What the key of the owner's tag has after that of the deployment's tag.
const OWNER_SUFFIX: &str = "-Owner";

/// The tags that count.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// The value of `Name`.
    pub(super) name: Option<Box<str>>,
    /// The value of the deployment's tag.
    pub(super) tag: Option<Box<str>>,
    /// The value of the hold's tag.
    pub(super) hold: Option<Box<str>>,
    /// The value of the owner's tag.
    pub(super) owner: Option<Box<Box<str>>>,
}

/// Picks them out of all tags, each a key and a value.
pub(super) fn tags<'a>(all: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>, settings: &Settings) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in all.filter_map(|(key, value)| Some((key?, value.unwrap_or_default()))) {
        if key == &*settings.tag_key {
            tags.tag = Some(value.into());
        }
        // `-hold` is no other tag's suffix, and in doubt it holds; but the exact one comes first.
        let suffix =
            key.strip_prefix(&*settings.tag_key).filter(|suffix| suffix.eq_ignore_ascii_case(Hold::KEY_SUFFIX));
        if suffix == Some(Hold::KEY_SUFFIX) || (suffix.is_some() && tags.hold.is_none()) {
            tags.hold = Some(value.into());
        }
        if key.strip_prefix(&*settings.tag_key) == Some(OWNER_SUFFIX) {
            tags.owner = Some(value.trim()).filter(|owner| !owner.is_empty()).map(|owner| Box::new(owner.into()));
        }
        if key == "Name" {
            tags.name = Some(value.into());
        }
    }
    tags
}

/// The tokens of the pages of one walk. One that comes again would lead in a circle.
pub(super) struct Tokens {
    call: &'static str,
    seen: BTreeSet<String>,
    next: Option<String>,
}

impl Tokens {
    pub(super) fn of(call: &'static str) -> Self {
        Self { call, seen: BTreeSet::new(), next: None }
    }

    /// The one to ask the next page with; none for the first.
    pub(super) fn next(&self) -> Option<String> {
        self.next.clone()
    }

    /// Takes the one that a page ends with; whether there is another page.
    pub(super) fn take(&mut self, token: Option<&str>) -> Result<bool, CallError> {
        self.next = token.filter(|token| !token.is_empty()).map(str::to_owned);
        match &self.next {
            None => Ok(false),
            Some(token) if self.seen.insert(token.clone()) => Ok(true),
            // Half a fleet would look like a whole one.
            Some(_) => Err(CallError::without_answer(self.call, "the token of a page came again")),
        }
    }
}
