//! Holds: the second tag, which sets an instance's schedule aside until a date.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::clause::Clock;
use super::window::{DAY, instant, local};

/// A hold. Its [`Display`](fmt::Display) is the canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub(super) mode: HoldMode,
    pub(super) until: (Date, u16),
    pub(super) zone: Option<TimeZone>,
}

/// What a hold does with its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldMode {
    /// `until …`: leaves it alone.
    Leave,
    /// `on until …`: keeps it running.
    On,
    /// `off until …`: keeps it stopped.
    Off,
}

impl Hold {
    /// What the key of the hold's tag has after that of the deployment's tag.
    pub const KEY_SUFFIX: &'static str = "-Hold";

    /// What it does.
    #[must_use]
    pub fn mode(&self) -> HoldMode {
        self.mode
    }

    /// When it ends, in the zone `default` where it names none. At that instant it is no longer in force.
    #[must_use]
    pub fn end(&self, default: &TimeZone) -> Timestamp {
        let (date, minute) = self.until;
        instant(self.zone.as_ref().unwrap_or(default), local(date, minute))
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, minute) = self.until;
        f.write_str(match self.mode {
            HoldMode::Leave => "",
            HoldMode::On => "on ",
            HoldMode::Off => "off ",
        })?;
        write!(f, "until {date}")?;
        if minute != DAY {
            write!(f, " {}", Clock(minute))?;
        }
        match self.zone.as_ref().and_then(TimeZone::iana_name) {
            Some(zone) => write!(f, " {zone}"),
            None => Ok(()),
        }
    }
}
