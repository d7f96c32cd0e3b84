//! What the value of an instance's tag means: plain, opted out, or a schedule and its edges.

mod clause;
mod dates;
mod hint;
mod hold;
mod loose;
mod parse;
mod tokens;
mod window;
mod words;
mod wrong;

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::clause::Clause;
use self::dates::Exceptions;
use self::parse::Parts;
use self::window::Timetable;

pub use self::clause::{Edge, MOMENT};
pub use self::hold::{Hold, HoldMode};
pub use self::wrong::ParseError;

/// The parsed value of the deployment's tag on one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// Empty, `true` or `yes`: the instance follows the rule.
    Plain,
    /// `false`, `no`, `never` or `ignore`: the instance is left alone.
    OptedOut,
    /// The instance keeps hours of its own.
    Schedule(Schedule),
    /// Any other value: reported, never acted on.
    Invalid(ParseError),
}

/// The hours that an instance keeps.
///
/// Its [`Display`](fmt::Display) is the canonical form, which parses to the same schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    clauses: Vec<Clause>,
    zone: Option<TimeZone>,
    exceptions: Exceptions,
    enforced: bool,
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
            let schedule = parse::of_a_tag(word).and_then(parse::schedule);
            schedule.map_or_else(|wrong| Self::Invalid(wrong.of(value)), |parts| Self::Schedule(parts.into()))
        }
    }

    /// What it means, in plain English, with times in the zone `default` where it names none; of one that does not
    /// parse, what is wrong.
    #[must_use]
    pub fn in_words(&self, default: &TimeZone) -> String {
        match self {
            Self::Plain => {
                "Plain: follows the stop rule and the start rule of the deployment; ticks leave it alone.".into()
            }
            Self::OptedOut => "Opted out: left alone, whatever else is set.".into(),
            Self::Schedule(schedule) => schedule.in_words(default),
            Self::Invalid(error) => error.to_string(),
        }
    }

    /// The value that was probably meant by one that does not parse, where that is sure.
    ///
    /// ```
    /// use stopinator::schedule::Tag;
    ///
    /// let meant = Tag::mended("weekday 8am-6pm EST");
    /// assert_eq!(meant.as_deref(), Some("weekdays 08:00-18:00 America/New_York"));
    /// assert_eq!(Tag::mended("weekdays 9-5"), None, "to five in the morning, or in the afternoon?");
    /// ```
    #[must_use]
    pub fn mended(value: &str) -> Option<String> {
        let refused = |value: &str| match Self::parse(value) {
            Self::Invalid(error) => Some(error),
            _ => None,
        };
        wrong::mended(value, refused).filter(|_| parse::can_be_mended(value))
    }
}

impl Schedule {
    /// Reads a schedule, as `docs/tag.md` describes it; of any length, since the canonical form may be longer than a tag.
    ///
    /// # Errors
    ///
    /// The first piece that does not fit, and what is expected there.
    ///
    /// ```
    /// use jiff::tz::TimeZone;
    /// use stopinator::schedule::Schedule;
    ///
    /// let hours = Schedule::parse("Mon-Fri 8:00-18:00 europe/berlin")?;
    /// assert_eq!(hours.to_string(), "weekdays 08:00-18:00 Europe/Berlin");
    /// let friday_noon = "2026-11-27T11:00:00Z".parse().unwrap();
    /// let edge = hours.latest_edge(&TimeZone::UTC, friday_noon, None).unwrap();
    /// assert_eq!((edge.on, edge.at.to_string()), (true, "2026-11-27T07:00:00Z".to_owned()));
    ///
    /// let error = Schedule::parse("weekdays 8-18h").unwrap_err();
    /// assert_eq!(error.to_string(), "`8-18h`: a time range is written 08:00-18:00");
    /// # Ok::<(), stopinator::schedule::ParseError>(())
    /// ```
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        parse::schedule(value).map(Self::from).map_err(|wrong| wrong.of(value))
    }

    /// What it means, in plain English, in the zone `default` where it names none.
    ///
    /// ```
    /// use jiff::tz::TimeZone;
    /// use stopinator::schedule::Schedule;
    ///
    /// let hours = Schedule::parse("weekdays 08:00-18:00 except 12-25")?;
    /// let words = "On from 08:00 to 18:00 from Monday to Friday, in UTC. Not on 25 December, every year.";
    /// assert_eq!(hours.in_words(&TimeZone::UTC), words);
    /// # Ok::<(), stopinator::schedule::ParseError>(())
    /// ```
    #[must_use]
    pub fn in_words(&self, default: &TimeZone) -> String {
        words::schedule(self.timetable(default), self.enforced)
    }

    /// Whether it is applied again on every tick, against people as well.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// The zone it names, or else the deployment's.
    #[must_use]
    pub fn zone<'a>(&'a self, default: &'a TimeZone) -> &'a TimeZone {
        self.zone.as_ref().unwrap_or(default)
    }

    /// The latest edge at or before an instant that still counts, in the zone `default` where it names none.
    ///
    /// The end of a hold, where there was one, is an edge to whatever the windows say then, and the latest moment
    /// before it happens then.
    #[must_use]
    pub fn latest_edge(&self, default: &TimeZone, now: Timestamp, hold_ended: Option<Timestamp>) -> Option<Edge> {
        let timetable = self.timetable(default);
        let begin = hold_ended.unwrap_or(Timestamp::MIN);
        let change = timetable.latest_change(now);
        // A window's edge within the hold, later than the moment, has overtaken it.
        let overtaken = |moment: &Edge| moment.at < begin && change.is_some_and(|change| change.at > moment.at);
        let moment = timetable.latest_moment(now).filter(|moment| !overtaken(moment));
        let put_off = |edge: Edge| {
            let at = edge.at.max(begin);
            Edge { at, from: if edge.moment { edge.from } else { at }, ..edge }
        };
        change.into_iter().chain(moment).map(put_off).filter(|edge| edge.counts(now)).max()
    }

    /// When its latest moment was, at or before an instant, whether that still counts or not.
    #[must_use]
    pub fn latest_moment(&self, default: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.timetable(default).latest_moment(now).map(|moment| moment.at)
    }

    /// The edges after an instant, in order and each instant once, in the zone `default` where it names none.
    pub fn edges_after<'a>(&'a self, default: &'a TimeZone, now: Timestamp) -> impl Iterator<Item = Edge> + use<'a> {
        self.timetable(default).edges_after(now)
    }

    /// What it last turned its instance to, at or before an instant, whether that still counts or not: where it leaves an
    /// instance that nobody touches. None where it has not turned anything yet.
    #[must_use]
    pub fn left_on(&self, default: &TimeZone, now: Timestamp) -> Option<bool> {
        self.latest_turn(default, now).map(|edge| edge.on)
    }

    /// The edge at which it did.
    #[must_use]
    pub fn latest_turn(&self, default: &TimeZone, now: Timestamp) -> Option<Edge> {
        let timetable = self.timetable(default);
        timetable.latest_change(now).into_iter().chain(timetable.latest_moment(now)).max()
    }

    /// Whether it tells when an instance runs and when it does not: it has windows, or moments of both kinds. One that
    /// only stops, or only starts, leaves the other half to people.
    #[must_use]
    pub fn tells_hours(&self) -> bool {
        let has = |turn| self.clauses.iter().any(|clause| matches!(clause, Clause::Moment { on, .. } if *on == turn));
        let has_windows = self.clauses.iter().any(|clause| !matches!(clause, Clause::Moment { .. }));
        has_windows || (has(true) && has(false))
    }

    /// The same hours in a week like any other: by UTC, which never changes its clocks, and without exceptions.
    #[must_use]
    pub fn usual(&self) -> Self {
        Self { zone: Some(TimeZone::UTC), exceptions: Exceptions::default(), ..self.clone() }
    }

    fn timetable<'a>(&'a self, default: &'a TimeZone) -> Timetable<'a> {
        Timetable { clauses: &self.clauses, exceptions: &self.exceptions, zone: self.zone(default) }
    }
}

impl From<Parts> for Schedule {
    fn from(Parts { clauses, zone, exceptions, enforced }: Parts) -> Self {
        Self { clauses, zone, exceptions, enforced }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, clause) in self.clauses.iter().enumerate() {
            write!(f, "{}{clause}", if place == 0 { "" } else { " + " })?;
        }
        if let Some(zone) = self.zone.as_ref().and_then(TimeZone::iana_name) {
            write!(f, " {zone}")?;
        }
        for (place, except) in self.exceptions.written().iter().enumerate() {
            write!(f, "{} {except}", if place == 0 { " except" } else { "" })?;
        }
        f.write_str(if self.enforced { " enforced" } else { "" })
    }
}

#[cfg(test)]
mod tests;
