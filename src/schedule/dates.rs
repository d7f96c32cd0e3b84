//! Local dates: days of the week, excepted dates, and walking over them without stopping at each.

use std::fmt;

use jiff::civil::{Date, Weekday};

/// The days of the week, in order. The first three letters are a name as well.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("Monday", Weekday::Monday),
    ("Tuesday", Weekday::Tuesday),
    ("Wednesday", Weekday::Wednesday),
    ("Thursday", Weekday::Thursday),
    ("Friday", Weekday::Friday),
    ("Saturday", Weekday::Saturday),
    ("Sunday", Weekday::Sunday),
];

/// How many dates a walk visits before it gives up: more than any schedule needs whose windows ever come. Those of
/// 29 February on a Monday may be 40 years apart, but the walk leaps over what is excepted between them.
const MOST: usize = 4000;
/// The year that has every day.
const LEAP_YEAR: i16 = 2024;
const DAYS_OF_LEAP_YEAR: usize = 366;

/// A set of days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days(u8);

impl Days {
    pub(super) const NONE: Self = Self(0);
    pub(super) const DAILY: Self = Self(0b111_1111);
    pub(super) const WEEKDAYS: Self = Self(0b001_1111);
    pub(super) const WEEKENDS: Self = Self(0b110_0000);

    pub(super) fn only(day: Weekday) -> Self {
        Self(1 << day.to_monday_zero_offset())
    }

    /// The days from `first` to `last`; `Fri` to `Mon` is four of them.
    pub(super) fn range(first: Weekday, last: Weekday) -> Self {
        first
            .cycle_forward()
            .take_while(|day| *day != last)
            .fold(Self::only(last), |days, day| days.and(Self::only(day)))
    }

    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(super) fn contain(self, day: Weekday) -> bool {
        self.0 & Self::only(day).0 != 0
    }

    /// The days in a row, over the end of the week as well. None of `DAILY`, which has no first.
    pub(super) fn runs(self) -> impl Iterator<Item = Vec<Weekday>> {
        let first_of_a_run = move |day: &Weekday| self.contain(*day) && !self.contain(day.previous());
        let run = move |first: Weekday| first.cycle_forward().take_while(|day| self.contain(*day)).collect();
        Weekday::Monday.cycle_forward().take(7).filter(first_of_a_run).map(run)
    }
}

/// The first three letters of a day's name.
pub(super) fn day_name(day: Weekday) -> &'static str {
    &full_day_name(day)[..3]
}

pub(super) fn full_day_name(day: Weekday) -> &'static str {
    DAYS[usize::from(day.to_monday_zero_offset().unsigned_abs())].0
}

impl fmt::Display for Days {
    /// Three days in a row and more are a range, over the end of the week as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DAILY => return f.write_str("daily"),
            Self::WEEKDAYS => return f.write_str("weekdays"),
            Self::WEEKENDS => return f.write_str("weekends"),
            _ => {}
        }
        let mut separator = "";
        for run in self.runs() {
            match run[..] {
                [first, _, .., last] => {
                    write!(f, "{separator}{}-{}", day_name(first), day_name(last))?;
                }
                _ => {
                    for day in run {
                        write!(f, "{separator}{}", day_name(day))?;
                        separator = " ";
                    }
                }
            }
            separator = " ";
        }
        Ok(())
    }
}

/// A day of every year, as that of the leap year; 29 February comes in leap years only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MonthDay(Date);

impl MonthDay {
    /// None where no year has such a day.
    pub(super) fn new(month: i8, day: i8) -> Option<Self> {
        Date::new(LEAP_YEAR, month, day).ok().map(Self)
    }

    pub(super) fn is_leap_day(self) -> bool {
        (self.0.month(), self.0.day()) == (2, 29)
    }

    /// `25 December`.
    pub(super) fn in_words(self) -> String {
        self.0.strftime("%-d %B").to_string()
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.0.month(), self.0.day())
    }
}

/// The place of a date's day among those of a leap year, from 0.
fn place(date: Date) -> usize {
    let left_out = date.month() > 2 && !date.in_leap_year();
    usize::from(date.day_of_year().unsigned_abs()) - 1 + usize::from(left_out)
}

/// Dates on which a schedule does not act, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Except {
    /// Once.
    Dates(Date, Date),
    /// Every year; where the second comes before the first, over the turn of the year.
    Yearly(MonthDay, MonthDay),
}

impl fmt::Display for Except {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dates(first, last) if first == last => write!(f, "{first}"),
            Self::Dates(first, last) => write!(f, "{first}..{last}"),
            Self::Yearly(first, last) if first == last => write!(f, "{first}"),
            Self::Yearly(first, last) => write!(f, "{first}..{last}"),
        }
    }
}

/// All excepted dates of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Exceptions {
    written: Vec<Except>,
    /// Of each day of a leap year, whether it is excepted in every year. Empty where none is.
    yearly: Vec<bool>,
    /// The ranges of full dates, in order; those that overlap or touch are one.
    once: Vec<(Date, Date)>,
}

impl Exceptions {
    pub(super) fn new(written: Vec<Except>) -> Self {
        let (mut yearly, mut once) = (Vec::new(), Vec::new());
        for except in &written {
            match *except {
                Except::Dates(first, last) => once.push((first, last)),
                Except::Yearly(first, last) => {
                    yearly.resize(DAYS_OF_LEAP_YEAR, false);
                    let (first, last) = (place(first.0), place(last.0));
                    if first <= last {
                        yearly[first..=last].fill(true);
                    } else {
                        yearly[first..].fill(true);
                        yearly[..=last].fill(true);
                    }
                }
            }
        }
        once.sort_unstable();
        once.dedup_by(|next, last| {
            let joins = next.0 <= last.1.tomorrow().unwrap_or(last.1);
            if joins {
                last.1 = last.1.max(next.1);
            }
            joins
        });
        Self { written, yearly, once }
    }

    /// In the order written.
    pub(super) fn written(&self) -> &[Except] {
        &self.written
    }

    pub(super) fn contain(&self, date: Date) -> bool {
        self.yearly.get(place(date)) == Some(&true) || self.range_of(date).is_some()
    }

    /// The range of full dates in which a date lies.
    fn range_of(&self, date: Date) -> Option<(Date, Date)> {
        let after = self.once.partition_point(|(first, _)| *first <= date);
        self.once[..after].last().copied().filter(|(_, last)| date <= *last)
    }

    /// The nearest date, from `date` on and itself included, that is excepted where its eve is not, or the reverse.
    ///
    /// It passes over full dates a range at a time, and over days of the year one by one: that ends within eight years,
    /// because some are excepted and others not.
    fn change(&self, mut date: Date, way: Way) -> Option<Date> {
        let by_day = self.yearly.contains(&true) && self.yearly.contains(&false);
        loop {
            let eve = date.yesterday().ok()?;
            if self.contain(date) != self.contain(eve) {
                return Some(date);
            }
            date = match way {
                Way::Forward => match self.range_of(date) {
                    Some((_, last)) => last.tomorrow().ok()?,
                    None if by_day => date.tomorrow().ok()?,
                    None => self.once.iter().map(|(first, _)| *first).find(|first| *first > date)?,
                },
                Way::Back => match self.range_of(eve) {
                    Some((first, _)) => first,
                    None if by_day => eve,
                    None => {
                        self.once.iter().rev().filter_map(|(_, last)| last.tomorrow().ok()).find(|over| *over <= eve)?
                    }
                },
            };
        }
    }
}

/// The direction of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Back,
    Forward,
}

impl Way {
    fn step(self, date: Date) -> Option<Date> {
        match self {
            Self::Back => date.yesterday().ok(),
            Self::Forward => date.tomorrow().ok(),
        }
    }
}

/// A walk over the dates on which anything can happen.
///
/// It leaps over dates that are excepted and whose eves are: nothing begins there, and nothing that began before
/// reaches them. `always` says that what is not excepted is alike too, and then it leaps over that as well.
pub(super) fn walk(
    exceptions: &Exceptions,
    from: Date,
    way: Way,
    always: bool,
) -> impl Iterator<Item = Date> + Clone + use<'_> {
    let mut next = Some(from);
    let leap = move |date: Date| {
        let excepted = exceptions.contain(date);
        let alike = excepted == exceptions.contain(date.yesterday().ok()?);
        if alike && (excepted || always) { exceptions.change(date, way) } else { Some(date) }
    };
    std::iter::from_fn(move || {
        let date = next.take().and_then(leap)?;
        next = way.step(date);
        Some(date)
    })
    .take(MOST)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn yearly(first: (i8, i8), last: (i8, i8)) -> Except {
        Except::Yearly(MonthDay::new(first.0, first.1).unwrap(), MonthDay::new(last.0, last.1).unwrap())
    }

    #[test]
    fn days_in_one_form() {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        for (days, text) in [
            (Days::range(Monday, Sunday), "daily"),
            (Days::range(Tuesday, Monday), "daily"),
            (Days::range(Monday, Friday), "weekdays"),
            (Days::only(Sunday).and(Days::only(Saturday)), "weekends"),
            (Days::range(Friday, Monday), "Fri-Mon"),
            (Days::range(Tuesday, Thursday), "Tue-Thu"),
            (Days::only(Wednesday), "Wed"),
            (Days::only(Sunday).and(Days::only(Monday)), "Sun Mon"),
            (Days::range(Monday, Wednesday).and(Days::only(Friday)), "Mon-Wed Fri"),
            (Days::range(Saturday, Monday).and(Days::only(Wednesday)).and(Days::only(Thursday)), "Wed Thu Sat-Mon"),
        ] {
            assert_eq!(days.to_string(), text);
        }
    }

    #[test]
    fn days_of_the_year() {
        assert_eq!(MonthDay::new(2, 30), None);
        assert_eq!(MonthDay::new(13, 1), None);
        for (day, expected) in [
            (date(2028, 1, 1), 0),
            (date(2028, 2, 29), 59),
            (date(2028, 3, 1), 60),
            (date(2027, 2, 28), 58),
            (date(2027, 3, 1), 60),
            (date(2027, 12, 31), DAYS_OF_LEAP_YEAR - 1),
        ] {
            assert_eq!(place(day), expected, "{day}");
        }
    }

    #[test]
    fn excepted_dates() {
        let turn = Exceptions::new(vec![yearly((12, 24), (1, 1))]);
        for (day, excepted) in [
            (date(2026, 12, 23), false),
            (date(2026, 12, 24), true),
            (date(2027, 1, 1), true),
            (date(2027, 1, 2), false),
        ] {
            assert_eq!(turn.contain(day), excepted, "{day}");
        }
        let leap_day = Exceptions::new(vec![yearly((2, 29), (2, 29))]);
        assert!(leap_day.contain(date(2028, 2, 29)) && !leap_day.contain(date(2027, 3, 1)));
    }

    #[test]
    fn full_dates_that_touch_are_one() {
        let range = |first: i8, last: i8| (date(2026, 12, first), date(2026, 12, last));
        for (written, joined) in [
            (vec![range(24, 26), range(28, 31)], vec![range(24, 26), range(28, 31)]),
            (vec![range(28, 31), range(24, 26), range(27, 27)], vec![range(24, 31)]),
            (vec![range(1, 31), range(2, 3), range(5, 6)], vec![range(1, 31)]),
        ] {
            let exceptions =
                Exceptions::new(written.iter().map(|(first, last)| Except::Dates(*first, *last)).collect());
            assert_eq!(exceptions.once, joined);
        }
        let last = Except::Dates(Date::MAX, Date::MAX);
        assert_eq!(Exceptions::new(vec![last, last]).once, [(Date::MAX, Date::MAX)]);
    }

    /// Every leap against taking each date on its own.
    #[test]
    fn a_walk_leaves_out_what_is_alike() {
        let once = Except::Dates(date(2025, 7, 1), date(2026, 8, 15));
        let sets = [
            vec![],
            vec![once],
            vec![yearly((12, 24), (1, 1))],
            vec![yearly((3, 1), (2, 28))],
            vec![yearly((1, 1), (6, 30)), yearly((7, 1), (12, 30))],
            vec![once, yearly((2, 29), (2, 29)), Except::Dates(date(2026, 8, 16), date(2026, 8, 20))],
            vec![
                once,
                Except::Dates(date(2023, 1, 1), date(2023, 1, 1)),
                Except::Dates(date(2026, 8, 17), date(2029, 3, 3)),
            ],
            vec![once, yearly((8, 10), (8, 20)), yearly((6, 25), (7, 5))],
        ];
        let (first, last) = (date(2020, 1, 1), date(2032, 12, 31));
        for exceptions in sets.map(Exceptions::new) {
            for always in [false, true] {
                let expected: Vec<Date> = first
                    .series(jiff::Span::new().days(1))
                    .take_while(|day| *day <= last)
                    .filter(|day| {
                        let (today, eve) = (exceptions.contain(*day), exceptions.contain(day.yesterday().unwrap()));
                        today != eve || !(today || always)
                    })
                    .take(MOST)
                    .collect();
                let there: Vec<Date> =
                    walk(&exceptions, first, Way::Forward, always).take_while(|day| *day <= last).collect();
                assert_eq!(there, expected, "{exceptions:?}");
                let mut back: Vec<Date> =
                    walk(&exceptions, last, Way::Back, always).take_while(|day| *day >= first).collect();
                back.reverse();
                if expected.len() < MOST {
                    assert_eq!(back, expected, "{exceptions:?}");
                }
            }
        }
    }

    #[test]
    fn a_walk_ends() {
        let all = Exceptions::new(vec![yearly((1, 1), (6, 30)), yearly((7, 1), (12, 31))]);
        let none = Exceptions::default();
        for way in [Way::Back, Way::Forward] {
            assert_eq!(walk(&all, date(2026, 11, 21), way, false).count(), 0);
            assert_eq!(walk(&none, date(2026, 11, 21), way, true).count(), 0);
            assert_eq!(walk(&none, date(2026, 11, 21), way, false).count(), MOST);
        }
        assert_eq!(walk(&none, Date::MIN, Way::Back, false).count(), 0);
        assert_eq!(walk(&none, Date::MAX, Way::Forward, false).count(), 1);
    }
}
