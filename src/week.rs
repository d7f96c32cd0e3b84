//! The hours that a schedule asks for, from one instant to another: of an instance that nobody touches.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::schedule::{HoldMode, Schedule};

/// What a schedule and a hold ask for in a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// When it is on: in order, apart from each other.
    pub on: Vec<Stretch>,
    /// When a hold decides, where one is in force. A hold tells no begin, so it is never earlier than now.
    pub held: Option<Stretch>,
    /// What turns next, after now: of a held instance the end of its hold.
    pub next: Option<Turn>,
}

/// From an instant to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// An instant at which an instance is turned on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Timestamp,
    /// On, or off.
    pub on: bool,
}

/// A hold that is in force now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// What it does.
    pub mode: HoldMode,
    /// When it ends.
    pub until: Timestamp,
    /// Whether the instance runs now, which a hold without `on` and `off` leaves as it is.
    pub runs: bool,
}

impl Hours {
    /// How long it is on.
    #[must_use]
    pub fn on_time(&self) -> SignedDuration {
        self.on.iter().map(|stretch| stretch.to.duration_since(stretch.from)).sum()
    }
}

impl Stretch {
    fn within(self, while_: Self) -> Option<Self> {
        let within = Self { from: self.from.max(while_.from), to: self.to.min(while_.to) };
        (within.from < within.to).then_some(within)
    }
}

/// The hours of `schedule` within a stretch, as seen from `now`, in the zone `default` where it names none. Where nothing
/// has turned anything yet it is off.
///
/// ```
/// use jiff::tz::TimeZone;
/// use stopinator::schedule::Schedule;
/// use stopinator::week::{Stretch, hours};
///
/// let schedule = Schedule::parse("weekdays 08:00-18:00")?;
/// let (monday, next) = ("2026-11-23T00:00:00Z".parse().unwrap(), "2026-11-30T00:00:00Z".parse().unwrap());
/// let week = hours(&schedule, &TimeZone::UTC, None, monday, Stretch { from: monday, to: next });
/// assert_eq!(week.on_time().as_hours(), 50);
/// # Ok::<(), stopinator::schedule::ParseError>(())
/// ```
#[must_use]
pub fn hours(schedule: &Schedule, default: &TimeZone, hold: Option<InForce>, now: Timestamp, while_: Stretch) -> Hours {
    let first = schedule.left_on(default, while_.from).unwrap_or(false);
    let mut turns = vec![Turn { at: while_.from, on: first }];
    let edges = |after: Timestamp| schedule.edges_after(default, after).map(|edge| Turn { at: edge.at, on: edge.on });
    let mut next = edges(now).next();
    let mut held_then = None;
    if let Some(InForce { mode, until, runs }) = hold.filter(|hold| now < hold.until) {
        let on = match mode {
            HoldMode::Leave => runs,
            HoldMode::On => true,
            HoldMode::Off => false,
        };
        // At its end the windows say what is, and a moment that fell within it happens then.
        let then = schedule.latest_edge(default, until, Some(until)).map_or(on, |edge| edge.on);
        turns.extend(edges(while_.from).take_while(|turn| turn.at < now));
        turns.extend([Turn { at: now, on }, Turn { at: until, on: then }]);
        turns.extend(edges(until).take_while(|turn| turn.at < while_.to));
        held_then = Stretch { from: now, to: until }.within(while_);
        next = Some(Turn { at: until, on: then });
    } else {
        turns.extend(edges(while_.from).take_while(|turn| turn.at < while_.to));
    }
    let ends = turns.iter().skip(1).map(|turn| turn.at).chain([while_.to]);
    let mut on: Vec<Stretch> = Vec::new();
    for (turn, to) in turns.iter().zip(ends).filter(|(turn, _)| turn.on) {
        let Some(stretch) = (Stretch { from: turn.at, to }).within(while_) else { continue };
        match on.last_mut() {
            Some(last) if last.to >= stretch.from => last.to = stretch.to,
            _ => on.push(stretch),
        }
    }
    Hours { on, held: held_then, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    const WEEK: [&str; 2] = ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"];
    const NOW: &str = "2026-11-23T17:02:00Z";

    fn read(value: &str, hold: Option<(HoldMode, &str, bool)>, now: &str, [from, to]: [&str; 2]) -> Hours {
        let hold = hold.map(|(mode, until, runs)| InForce { mode, until: at(until), runs });
        let schedule = Schedule::parse(value).unwrap();
        hours(&schedule, &TimeZone::UTC, hold, at(now), Stretch { from: at(from), to: at(to) })
    }

    /// Such as `Mon 08:00-18:00`.
    fn told(stretches: &[Stretch]) -> String {
        let told = stretches.iter().map(|Stretch { from, to }| {
            let to = to.to_zoned_datetime(TimeZone::UTC);
            format!("{}-{}", from.to_zoned_datetime(TimeZone::UTC).strftime("%a %H:%M"), to.strftime("%a %H:%M"))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_hours_of_a_week() {
        for (value, minutes, on) in [
            (
                "weekdays 08:00-18:00",
                3000,
                "Mon 08:00-Mon 18:00, Tue 08:00-Tue 18:00, Wed 08:00-Wed 18:00, Thu 08:00-Thu 18:00, Fri 08:00-Fri 18:00",
            ),
            ("00:00-24:00", 10080, "Mon 00:00-Mon 00:00"),
            ("Mon 06:00 - Fri 20:00", 6600, "Mon 06:00-Fri 20:00"),
            // From the week before, and into the next one.
            ("Sun 20:00-02:00", 360, "Mon 00:00-Mon 02:00, Sun 20:00-Mon 00:00"),
            ("start Tue 07:00 + stop Tue Thu 23:00", 960, "Tue 07:00-Tue 23:00"),
            // What a moment starts runs until something stops it.
            ("Mon 08:00-18:00 + start Sat 10:00", 1080 + 2280, "Mon 00:00-Mon 18:00, Sat 10:00-Mon 00:00"),
            ("Mon 08:00-18:00 except 2026-11-23", 0, ""),
            ("Mon 08:00-18:00 Europe/Berlin", 600, "Mon 07:00-Mon 17:00"),
        ] {
            let hours = read(value, None, NOW, WEEK);
            assert_eq!(told(&hours.on), on, "{value}");
            assert_eq!(hours.on_time().as_mins(), minutes, "{value}");
            assert_eq!(hours.held, None);
        }
    }

    #[test]
    fn a_hold_decides_from_now_to_its_end_and_never_before() {
        for (value, mode, until, runs, on, next) in [
            // It runs on after its hours, and is stopped at the end.
            (
                "Mon 08:00-17:00",
                HoldMode::Leave,
                "2026-11-23T21:00:00Z",
                true,
                "Mon 08:00-Mon 17:00, Mon 17:02-Mon 21:00",
                false,
            ),
            (
                "Mon 08:00-18:00",
                HoldMode::Leave,
                "2026-11-23T17:30:00Z",
                false,
                "Mon 08:00-Mon 17:02, Mon 17:30-Mon 18:00",
                true,
            ),
            ("Mon 08:00-18:00", HoldMode::On, "2026-11-24T06:00:00Z", false, "Mon 08:00-Tue 06:00", false),
            (
                "Mon Tue 08:00-18:00",
                HoldMode::Off,
                "2026-11-24T09:00:00Z",
                true,
                "Mon 08:00-Mon 17:02, Tue 09:00-Tue 18:00",
                true,
            ),
            // A moment that fell within the hold happens at its end, and one that nothing followed leaves it as it is.
            (
                "start Mon 07:00 + stop Mon 18:00",
                HoldMode::Leave,
                "2026-11-23T18:30:00Z",
                true,
                "Mon 07:00-Mon 18:30",
                false,
            ),
            (
                "start Mon 07:00 + stop Fri 18:00",
                HoldMode::On,
                "2026-11-23T20:00:00Z",
                true,
                "Mon 07:00-Fri 18:00",
                true,
            ),
            // Beyond the week.
            ("Mon 08:00-18:00", HoldMode::On, "2027-01-01T00:00:00Z", true, "Mon 08:00-Mon 00:00", false),
        ] {
            let hours = read(value, Some((mode, until, runs)), NOW, WEEK);
            assert_eq!(told(&hours.on), on, "{value} {mode:?} {until}");
            assert_eq!(hours.next, Some(Turn { at: at(until), on: next }), "{value} {mode:?} {until}");
            assert_eq!(hours.held, Some(Stretch { from: at(NOW), to: at(until).min(at(WEEK[1])) }));
        }
    }

    #[test]
    fn a_hold_that_is_over_or_not_there_yet_is_not_shown() {
        let over = Some((HoldMode::Off, "2026-11-23T17:00:00Z", true));
        assert_eq!(read("Mon 08:00-18:00", over, NOW, WEEK), read("Mon 08:00-18:00", None, NOW, WEEK));
        let ends_now = Some((HoldMode::Off, NOW, true));
        assert_eq!(read("Mon 08:00-18:00", ends_now, NOW, WEEK), read("Mon 08:00-18:00", None, NOW, WEEK));
        let before = ["2026-11-16T00:00:00Z", WEEK[0]];
        let now = Some((HoldMode::Off, "2026-11-24T00:00:00Z", true));
        let last_week = read("Mon 08:00-18:00", now, NOW, before);
        assert_eq!((told(&last_week.on).as_str(), last_week.held), ("Mon 08:00-Mon 18:00", None));
        // And of the week after, it leaves what comes of it.
        let after = [WEEK[1], "2026-12-07T00:00:00Z"];
        let next_week = read("start Sat 10:00 + stop Mon 06:00", now, NOW, after);
        assert_eq!((told(&next_week.on).as_str(), next_week.held), ("Mon 00:00-Mon 06:00, Sat 10:00-Mon 00:00", None));
    }

    #[test]
    fn next_is_the_next_turn_from_now() {
        let next = |value| read(value, None, NOW, WEEK).next.map(|next| (next.at.to_string(), next.on));
        assert_eq!(next("weekdays 08:00-18:00"), Some(("2026-11-23T18:00:00Z".to_owned(), false)));
        assert_eq!(next("stop daily 17:02"), Some(("2026-11-24T17:02:00Z".to_owned(), false)));
        assert_eq!(next("00:00-24:00"), None);
    }
}
