//! What a schedule is made of, and what it makes: clauses, and edges.

use std::fmt;

use jiff::civil::Weekday;
use jiff::{SignedDuration, Timestamp};

use super::dates::{Days, day_name};

/// How long a moment acts. Ticks must come more often than that.
pub const MOMENT: SignedDuration = SignedDuration::from_mins(60);

/// One clause of a schedule. Times are minutes from midnight; an end may be 1440.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    /// On from `begin` to `end`; where that is not later, to the `end` of the next day.
    Window { days: Days, begin: u16, end: u16 },
    /// On over several days.
    Span { from: (Weekday, u16), to: (Weekday, u16) },
    /// Turns on or off, and lets go.
    Moment { on: bool, days: Days, at: u16 },
}

/// An instant at which a schedule turns on or off. Of two at one instant the greater counts, by the order of the fields:
/// in doubt a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The instant; [`Timestamp::MIN`] where the schedule was never otherwise.
    pub at: Timestamp,
    /// Whether it turns on.
    pub on: bool,
    /// The time that the instance's last start or stop is held against: `at`, but of a moment that a hold has put off
    /// its own time. Since when a hold has been there nobody knows; what was started after the moment it did not mean.
    pub from: Timestamp,
    /// Whether it is a moment's, and counts for [`MOMENT`] only.
    pub moment: bool,
}

impl Edge {
    /// When it no longer counts, where that is known in advance.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        self.moment.then(|| self.at.saturating_add(MOMENT).unwrap_or(Timestamp::MAX))
    }

    pub(super) fn counts(&self, now: Timestamp) -> bool {
        self.over_at().is_none_or(|over| now < over)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window { days, begin, end } => write!(f, "{days} {}-{}", Clock(*begin), Clock(*end)),
            Self::Span { from: (first, begin), to: (last, end) } => {
                write!(f, "{} {} - {} {}", day_name(*first), Clock(*begin), day_name(*last), Clock(*end))
            }
            Self::Moment { on, days, at } => {
                write!(f, "{} {days} {}", if *on { "start" } else { "stop" }, Clock(*at))
            }
        }
    }
}

/// Minutes from midnight, as `HH:MM`.
pub(super) struct Clock(pub(super) u16);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// `7:00`, `07:00` or `24:00`, in minutes from midnight.
pub(super) fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (digits(hours, 1..=2)?, digits(minutes, 2..=2)?);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= 24 * 60).then_some(time)
}

/// A number of so many digits; at most four, so that all fit.
pub(super) fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let fits = count.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}
