//! What the values of tag and hold mean, in plain English.

use std::fmt::Write;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::clause::{Clause, Clock, MOMENT};
use super::dates::{DAYS, Days, Except, full_day_name};
use super::hold::{Hold, HoldMode};
use super::window::{DAY, Timetable};

/// What a schedule does at its times, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    IsOn,
    Starts,
    Stops,
}

/// Times at which the same is done on the same days; without days, where each time names its own.
struct Part {
    deed: Deed,
    days: Option<Days>,
    times: Vec<String>,
}

/// A schedule: when it acts, on which dates it does not, and whether it acts against people as well.
pub(super) fn schedule(timetable: Timetable<'_>, enforced: bool) -> String {
    let Timetable { clauses, exceptions, zone } = timetable;
    let excepted = exceptions.written();
    let overnight = clauses.iter().any(|clause| matches!(clause, Clause::Window { begin, end, .. } if end <= begin));
    let spans = clauses.iter().any(|clause| matches!(clause, Clause::Span { from, to } if from.0 != to.0));
    // Of windows over midnight, an excepted date takes away those that begin on it: when they begin has to be told.
    let always = timetable.is_always_on() && (excepted.is_empty() || !overnight);

    let parts = parts(clauses);
    let does = |deed: Deed| parts.iter().any(|part| part.deed == deed);
    let only_moments = !does(Deed::IsOn);
    let acts = acts(&parts, always);
    let mut words = list(&acts, ", and ");
    // Without a time there is no need of a zone.
    if !always || acts.len() > 1 || !excepted.is_empty() {
        words = in_zone(&words, zone);
    }
    let mut told = sentence(&words);
    if only_moments && !does(Deed::Stops) {
        told.push_str(" Never stops.");
    }
    if only_moments && !does(Deed::Starts) {
        told.push_str(" Never starts.");
    }
    if !excepted.is_empty() {
        let words = match (overnight, spans || always) {
            (false, false) => dates("not", excepted),
            (false, true) => dates("off all day", excepted),
            // What began on the eve goes on.
            (true, false) => dates("nothing begins", excepted),
            (true, true) => dates("nothing begins", excepted) + ", and a span is off all day",
        };
        told.push(' ');
        told.push_str(&sentence(&words));
    }
    if enforced {
        told.push_str(" Also against people: what somebody ");
        if only_moments {
            let _ = write!(told, "does against it by hand within {} minutes", MOMENT.as_mins());
        } else {
            told.push_str("starts or stops by hand");
        }
        told.push_str(" is undone on the next tick.");
    }
    told
}

impl Hold {
    /// What it means, in plain English, in the zone `default` where it names none.
    ///
    /// ```
    /// use jiff::tz::TimeZone;
    /// use stopinator::schedule::Hold;
    ///
    /// let hold = Hold::parse("on until 2026-11-22 09:00")?;
    /// assert_eq!(hold.in_words(&TimeZone::UTC), "Kept running until Sunday 2026-11-22 09:00, in UTC.");
    /// # Ok::<(), stopinator::schedule::ParseError>(())
    /// ```
    #[must_use]
    pub fn in_words(&self, default: &TimeZone) -> String {
        let kept = match self.mode {
            HoldMode::Leave => "left as it is",
            HoldMode::On => "kept running",
            HoldMode::Off => "kept stopped",
        };
        let (date, minute) = self.until;
        let day = format!("{} {date}", full_day_name(date.weekday()));
        let until = if minute == DAY { format!("the end of {day}") } else { format!("{day} {}", Clock(minute)) };
        sentence(&in_zone(&format!("{kept} until {until}"), self.zone.as_ref().unwrap_or(default)))
    }
}

/// The clauses, in the order of their deeds; those that differ only in their times are one part.
fn parts(clauses: &[Clause]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for clause in clauses {
        let (deed, days, time) = told(*clause);
        match parts.iter_mut().find(|part| (part.deed, part.days) == (deed, days)) {
            Some(part) if part.times.contains(&time) => {}
            Some(part) => part.times.push(time),
            None => parts.push(Part { deed, days, times: vec![time] }),
        }
    }
    parts.sort_by_key(|part| part.deed);
    parts
}

/// One clause: what it does, on which days, and when.
fn told(clause: Clause) -> (Deed, Option<Days>, String) {
    match clause {
        Clause::Window { days, begin: 0, end: DAY } => (Deed::IsOn, Some(days), "all day".to_owned()),
        Clause::Window { days, begin, end } if end > begin => {
            (Deed::IsOn, Some(days), format!("from {} to {}", Clock(begin), Clock(end)))
        }
        Clause::Window { days, begin, end } => match DAYS.iter().find(|(_, day)| days == Days::only(*day)) {
            Some((_, day)) => (Deed::IsOn, None, from_day_to_day((*day, begin), (day.next(), end))),
            None => (Deed::IsOn, Some(days), format!("from {} to {} of the next day", Clock(begin), Clock(end))),
        },
        Clause::Span { from: (first, begin), to: (last, end) } if first == last => {
            told(Clause::Window { days: Days::only(first), begin, end })
        }
        Clause::Span { from, to } => (Deed::IsOn, None, from_day_to_day(from, to)),
        Clause::Moment { on, days, at } => {
            (if on { Deed::Starts } else { Deed::Stops }, Some(days), format!("at {}", Clock(at)))
        }
    }
}

fn from_day_to_day((first, begin): (Weekday, u16), (last, end): (Weekday, u16)) -> String {
    format!("from {} {} to {} {}", full_day_name(first), Clock(begin), full_day_name(last), Clock(end))
}

/// The parts, each with what it does where the one before does something else.
fn acts(parts: &[Part], always: bool) -> Vec<String> {
    let mut acts = Vec::new();
    let mut before = None;
    if always {
        acts.push("always on".to_owned());
    }
    for part in parts.iter().filter(|part| !(always && part.deed == Deed::IsOn)) {
        let deed = match part.deed {
            deed if before == Some(deed) => "",
            Deed::IsOn => "on ",
            Deed::Starts => "starts ",
            Deed::Stops => "stops ",
        };
        let days = part.days.map(|days| format!(" {}", on_days(days))).unwrap_or_default();
        acts.push(format!("{deed}{}{days}", list(&part.times, " and ")));
        before = Some(part.deed);
    }
    acts
}

fn on_days(days: Days) -> String {
    if days == Days::DAILY {
        return "every day".to_owned();
    }
    let runs: Vec<Vec<Weekday>> = days.runs().collect();
    if let [run] = &runs[..]
        && let [first, _, .., last] = run[..]
    {
        return format!("from {} to {}", full_day_name(first), full_day_name(last));
    }
    let names: Vec<&str> = runs.into_iter().flatten().map(full_day_name).collect();
    format!("on {}", list(&names, " and "))
}

/// What is so on excepted dates: first on those of one year, then on those of every year.
fn dates(so: &str, excepted: &[Except]) -> String {
    let (once, yearly): (Vec<Except>, Vec<Except>) =
        excepted.iter().partition(|except| matches!(except, Except::Dates(..)));
    let is_leap_day = |except: &Except| matches!(except, Except::Yearly(day, last) if day == last && day.is_leap_day());
    let leap_days = yearly.iter().all(is_leap_day);
    let every_year = if leap_days { ", every year that has one" } else { ", every year" };
    let told = [(once, ""), (yearly, every_year)]
        .into_iter()
        .filter(|(excepted, _)| !excepted.is_empty())
        .map(|(excepted, often)| format!("{so} {}{often}", on_dates(&excepted)));
    list(&told.collect::<Vec<_>>(), ", and ")
}

/// `on 25 December and 26 December`, `from 24 December to 1 January and on 1 May`.
fn on_dates(excepted: &[Except]) -> String {
    let mut told = Vec::new();
    let mut after_on = false;
    for except in excepted {
        let (first, last) = match except {
            Except::Dates(first, last) => (first.to_string(), last.to_string()),
            Except::Yearly(first, last) => (first.in_words(), last.in_words()),
        };
        let single = first == last;
        told.push(match (single, after_on) {
            (true, true) => first,
            (true, false) => format!("on {first}"),
            (false, _) => format!("from {first} to {last}"),
        });
        after_on = single;
    }
    list(&told, " and ")
}

/// Words with the zone of their times.
fn in_zone(words: &str, zone: &TimeZone) -> String {
    format!("{words}, in {}", zone.iana_name().unwrap_or("UTC"))
}

/// `a`, `a and b`, `a, b and c`, with `and` as it is given.
fn list<T: AsRef<str>>(items: &[T], and: &str) -> String {
    let mut listed = String::new();
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            listed.push_str(if place + 1 == items.len() { and } else { ", " });
        }
        listed.push_str(item.as_ref());
    }
    listed
}

/// Words with a capital and a full stop.
fn sentence(words: &str) -> String {
    let mut sentence = format!("{words}.");
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}
