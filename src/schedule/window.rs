//! Windows, spans and moments on the local calendar, and the instants at which they turn on or off.
//!
//! Everything is joined and cut in local time, where a day has 24 hours, and only the edges become instants. Local time
//! never runs backwards on the way (see [`instant`]), so that what is joined stays joined.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::clause::{Clause, Edge};
use super::dates::{Days, Exceptions, Way, walk};

/// Minutes of a day.
pub(super) const DAY: u16 = 24 * 60;
const DAYS_A_WEEK: i8 = 7;

/// The instant of a local time: of one that does not exist the first instant after the gap, of one that exists twice
/// the first. What is beyond the calendar is its end.
pub(super) fn instant(zone: &TimeZone, at: DateTime) -> Timestamp {
    let instant = match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(at)
        }
        AmbiguousOffset::Gap { after, .. } => after.to_timestamp(at).map(|before_the_gap| {
            zone.following(before_the_gap).next().map_or(before_the_gap, |change| change.timestamp())
        }),
    };
    instant.unwrap_or(if at.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The local time of a minute of a date; minute 1440 is the next midnight.
pub(super) fn local(date: Date, minute: u16) -> DateTime {
    let midnight = date.to_datetime(jiff::civil::Time::midnight());
    midnight.saturating_add(SignedDuration::from_mins(minute.into()))
}

/// A stretch of on-time that begins on each of its days, in minutes from the midnight before.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    days: Days,
    begin: u16,
    end: u16,
    /// A span: exceptions cut their dates out of it, wherever it began.
    cut: bool,
}

impl Clause {
    fn stretch(self) -> Option<Stretch> {
        match self {
            Self::Window { days, begin, end } => {
                let end = if end > begin { end } else { end + DAY };
                Some(Stretch { days, begin, end, cut: false })
            }
            Self::Span { from: (first, begin), to: (last, end) } => {
                let days_on = (last.to_monday_zero_offset() - first.to_monday_zero_offset()).rem_euclid(DAYS_A_WEEK);
                let end = u16::from(days_on.unsigned_abs()) * DAY + end;
                Some(Stretch { days: Days::only(first), begin, end, cut: true })
            }
            Self::Moment { .. } => None,
        }
    }
}

impl Stretch {
    /// How many dates it reaches after the one on which it begins.
    fn days_on(self) -> u16 {
        (self.end - 1) / DAY
    }
}

/// Clauses and exceptions in one zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timetable<'a> {
    pub(super) clauses: &'a [Clause],
    pub(super) exceptions: &'a Exceptions,
    pub(super) zone: &'a TimeZone,
}

impl<'a> Timetable<'a> {
    /// The latest change of the windows' state at or before an instant; one that was ever so, from the beginning of
    /// time. None without windows.
    pub(super) fn latest_change(self, now: Timestamp) -> Option<Edge> {
        self.stretches().next()?;
        // As today began, since nothing has changed; its eve may be a date that the zone has skipped.
        let for_ever = || {
            let on = matches!(self.on_time(self.zone.to_datetime(now).date())[..], [(0, _), ..]);
            Edge { at: Timestamp::MIN, on, from: Timestamp::MIN, moment: false }
        };
        Some(self.changes(now, Way::Back).next().unwrap_or_else(for_ever))
    }

    /// The latest moment at or before an instant.
    pub(super) fn latest_moment(self, now: Timestamp) -> Option<Edge> {
        self.moments(now, Way::Back).next()
    }

    /// The edges after an instant, in order; of two at one instant the one that turns on.
    pub(super) fn edges_after(self, now: Timestamp) -> impl Iterator<Item = Edge> + use<'a> {
        let mut changes = self.changes(now, Way::Forward).peekable();
        let mut moments = self.moments(now, Way::Forward).peekable();
        std::iter::from_fn(move || {
            let at = changes.peek().into_iter().chain(moments.peek()).map(|edge| edge.at).min()?;
            let here = [changes.next_if(|edge| edge.at == at), moments.next_if(|edge| edge.at == at)];
            here.into_iter().flatten().max()
        })
    }

    /// The changes of the windows' state: back from an instant, its own included, or forward from it, without.
    fn changes(self, now: Timestamp, way: Way) -> impl Iterator<Item = Edge> + use<'a> {
        let any = self.stretches().next().is_some();
        let turns = any.then(|| self.edges(now, way, self.is_always_on(), Self::turns));
        let mut turns = turns.into_iter().flatten().peekable();
        std::iter::from_fn(move || {
            loop {
                let edge = turns.next()?;
                // Turns alternate: an even number of them at one instant changes nothing, an odd one what its first does.
                let mut changes = true;
                while turns.next_if(|other| other.at == edge.at).is_some() {
                    changes = !changes;
                }
                if changes {
                    return Some(edge);
                }
            }
        })
    }

    /// The moments, as [`Self::changes`] goes; of several at one instant one that turns on.
    fn moments(self, now: Timestamp, way: Way) -> impl Iterator<Item = Edge> + use<'a> {
        let any = self.clauses.iter().any(|clause| matches!(clause, Clause::Moment { .. }));
        let edges = any.then(|| self.edges(now, way, false, Self::moments_of));
        let mut edges = edges.into_iter().flatten().peekable();
        std::iter::from_fn(move || {
            let mut edge = Edge { moment: true, ..edges.next()? };
            while let Some(other) = edges.next_if(|other| other.at == edge.at) {
                edge.on |= other.on;
            }
            Some(edge)
        })
    }

    /// The instants of what `turns` tells of each date: a minute, and whether something turns on there.
    fn edges<F>(self, now: Timestamp, way: Way, always: bool, turns: F) -> impl Iterator<Item = Edge> + use<'a, F>
    where
        F: Fn(Self, Date) -> Vec<(u16, bool)>,
    {
        let today = self.zone.to_datetime(now).date();
        // A clock that will be put back may show local times of tomorrow before now.
        let first = if way == Way::Back { today.tomorrow().unwrap_or(today) } else { today };
        walk(self.exceptions, first, way, always)
            .flat_map(move |date| {
                let mut turns = turns(self, date);
                if way == Way::Back {
                    turns.reverse();
                }
                turns.into_iter().map(move |(minute, on)| {
                    let at = instant(self.zone, local(date, minute));
                    Edge { at, on, from: at, moment: false }
                })
            })
            .skip_while(move |edge| if way == Way::Back { edge.at > now } else { edge.at <= now })
    }

    /// The minutes of a date at which the windows turn on or off, in order. What ends at midnight turns off on the
    /// next date.
    fn turns(self, date: Date) -> Vec<(u16, bool)> {
        let on_time = self.on_time(date);
        let on_before = date.yesterday().is_ok_and(|eve| matches!(self.on_time(eve)[..], [.., (_, DAY)]));
        let mut turns = Vec::with_capacity(2 * on_time.len() + 1);
        if on_before && !matches!(on_time[..], [(0, _), ..]) {
            turns.push((0, false));
        }
        for (begin, end) in on_time {
            if begin > 0 || !on_before {
                turns.push((begin, true));
            }
            if end < DAY {
                turns.push((end, false));
            }
        }
        turns
    }

    fn moments_of(self, date: Date) -> Vec<(u16, bool)> {
        if self.exceptions.contain(date) {
            return Vec::new();
        }
        let mut moments: Vec<(u16, bool)> = self
            .clauses
            .iter()
            .filter_map(|clause| match clause {
                Clause::Moment { on, days, at } if days.contain(date.weekday()) => Some((*at, *on)),
                _ => None,
            })
            .collect();
        moments.sort_unstable();
        moments
    }

    fn stretches(self) -> impl Iterator<Item = Stretch> + use<'a> {
        self.clauses.iter().copied().filter_map(Clause::stretch)
    }

    /// Whether the windows cover the whole week, but for exceptions.
    pub(super) fn is_always_on(self) -> bool {
        Weekday::Monday.cycle_forward().take(7).all(|day| self.on_time_of(day, [false, false]) == [(0, DAY)])
    }

    /// When the windows are on, on a date: stretches of minutes, in order, joined.
    fn on_time(self, date: Date) -> Vec<(u16, u16)> {
        let eve_excepted = date.yesterday().is_ok_and(|eve| self.exceptions.contain(eve));
        self.on_time_of(date.weekday(), [self.exceptions.contain(date), eve_excepted])
    }

    /// The same of a day of the week that is excepted or not, and whose eve is.
    fn on_time_of(self, day: Weekday, excepted: [bool; 2]) -> Vec<(u16, u16)> {
        let mut on_time: Vec<(u16, u16)> = Vec::new();
        for stretch in self.stretches() {
            for days_ago in 0..=stretch.days_on() {
                let excepted = if stretch.cut { excepted[0] } else { excepted[usize::from(days_ago)] };
                if !excepted && stretch.days.contain(day.wrapping_sub(days_ago)) {
                    let begin = if days_ago == 0 { stretch.begin } else { 0 };
                    on_time.push((begin, DAY.min(stretch.end - days_ago * DAY)));
                }
            }
        }
        on_time.sort_unstable();
        on_time.dedup_by(|next, last| {
            let joins = next.0 <= last.1;
            if joins {
                last.1 = last.1.max(next.1);
            }
            joins
        });
        on_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_become_instants() {
        for (zone, time, expected) in [
            ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59:00Z"),
            ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T02:59", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30:00Z"),
            ("Pacific/Apia", "2011-12-30T18:00", "2011-12-30T10:00:00Z"),
            ("Asia/Seoul", "-009999-01-01T00:00", "-009999-01-02T01:59:59Z"),
            ("Asia/Seoul", "0000-01-01T09:00", "0000-01-01T00:32:08Z"),
            ("America/New_York", "9999-12-31T23:59", "9999-12-30T22:00:00.999999999Z"),
            // As of release 2026f; the one before had it an hour later.
            ("America/Havana", "2026-12-01T12:00", "2026-12-01T16:00:00Z"),
        ] {
            let instant = instant(&TimeZone::get(zone).unwrap(), time.parse().unwrap());
            assert_eq!(instant.to_string(), expected, "{time} {zone}");
        }
    }
}
