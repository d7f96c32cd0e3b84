//! What the value of an instance's tag means.
//!
//! Plain values and opting out. Schedules in the tag have their room here when they come.

/// The parsed value of the deployment's tag on one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Empty, `true` or `yes`: the instance follows the rule.
    Plain,
    /// `false`, `no`, `never` or `ignore`: the instance is left alone.
    OptedOut,
    /// Any other value: reported, never acted on.
    Invalid,
}

impl Tag {
    /// Reads a tag's value, without regard to case and outer blanks.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let word = value.trim();
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        if word.is_empty() || is("true") || is("yes") {
            Self::Plain
        } else if is("false") || is("no") || is("never") || is("ignore") {
            Self::OptedOut
        } else {
            Self::Invalid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for plain in ["", " ", "true", "TRUE", " True ", "yes", "Yes"] {
            assert_eq!(Tag::parse(plain), Tag::Plain, "{plain:?}");
        }
        for out in ["false", "False", " FALSE ", "no", "NO", "never", "Ignore"] {
            assert_eq!(Tag::parse(out), Tag::OptedOut, "{out:?}");
        }
        for other in ["on", "off", "0", "1", "y", "n", "truee", "weekdays 07:00-19:00", "-", "нет", "tr ue"] {
            assert_eq!(Tag::parse(other), Tag::Invalid, "{other:?}");
        }
    }
}
