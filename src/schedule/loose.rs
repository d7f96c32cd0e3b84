//! Times as people write them elsewhere, such as `8am` or `8-18h`, and whether they mean one thing.

use super::clause::{Clock, digits};
use super::tokens::{Token, is_half};
use super::window::DAY;
use super::wrong::{Instead, from_to};

/// What a time range was probably meant to be, such as `8-18h`: one, or two that it may be; none where that is not sure.
pub(super) fn range(piece: &str) -> Option<String> {
    let (begin, end) = piece.split_once('-')?;
    let (begin, end) = (Loose::read(begin)?, Loose::read(end)?);
    let written = |begin, end| format!("{}-{}", Clock(begin), Clock(end));
    if begin.time == end.time || begin.time >= DAY {
        return None;
    }
    let straight = written(begin.time, end.time);
    // `9-5`, `1-5`: hours of which nobody knows the half of the day, and which would make a night.
    let is_night = |time: Loose| time.is_bare && time.time < 6 * 60;
    let knows_the_day = begin.has_24_hours || end.has_24_hours;
    if knows_the_day || !(is_night(begin) || (end.is_bare && end.time < begin.time)) {
        return Some(format!("a time range is written {straight}"));
    }
    let later = |time: Loose, is_meant: bool| time.time + if time.is_bare && is_meant { DAY / 2 } else { 0 };
    let (begin, end) = (later(begin, is_night(begin)), later(end, true));
    (begin < end).then(|| format!("this is {} or {straight}: write which", written(begin, end)))
}

/// What a single time was probably meant to be, such as `8am` or `0830`.
pub(super) fn time(piece: &str) -> Option<u16> {
    Loose::read(piece).map(|loose| loose.time)
}

/// A time as people write it elsewhere: `8`, `8h`, `8am`, `8.30`, `8h30`, `0830`.
#[derive(Debug, Clone, Copy)]
struct Loose {
    /// Minutes from midnight, at most [`DAY`].
    time: u16,
    /// An hour alone, of which nobody knows the half of the day.
    is_bare: bool,
    /// A time that only a day of 24 hours has, or that is written as in one.
    has_24_hours: bool,
    /// With `am` or `pm`.
    has_half: bool,
}

impl Loose {
    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (text, afternoon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
            (Some(text), _) => (text, Some(false)),
            (_, Some(text)) => (text, Some(true)),
            _ => (text.as_str(), None),
        };
        let (hours, minutes) = match text.split_once([':', '.', 'h']) {
            Some((hours, minutes)) => {
                (digits(hours, 1..=2)?, if minutes.is_empty() { 0 } else { digits(minutes, 1..=2)? })
            }
            None => match digits(text, 1..=4)? {
                number if text.len() > 2 => (number / 100, number % 100),
                hours => (hours, 0),
            },
        };
        let hours = match afternoon {
            Some(afternoon) if (1..=12).contains(&hours) => hours % 12 + if afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => hours,
        };
        let time = hours * 60 + minutes;
        let is_bare = afternoon.is_none() && text.len() <= 2 && (1..=12).contains(&hours) && !text.contains('h');
        let has_24_hours = afternoon.is_none() && !is_bare;
        let has_half = afternoon.is_some();
        (minutes < 60 && time <= DAY).then_some(Self { time, is_bare, has_24_hours, has_half })
    }

    /// Whether nobody takes it for a time in the other half of the day.
    fn is_clear(self) -> bool {
        self.has_half || self.time >= 13 * 60 || self.time < 60
    }

    /// Whether a range from this time to another means one thing: both have their half, one is of 24 hours, or it lies
    /// in a day as most people have it. Of `8-11pm` nobody knows.
    fn is_clear_to(self, end: Self) -> bool {
        let has_24_hours = |time: Self| time.is_clear() && !time.has_half;
        let last = if end.time == 0 { DAY } else { end.time };
        let is_by_day = (self.has_half || self.time >= 6 * 60) && self.time < last && last - self.time <= DAY / 2;
        has_24_hours(self) || has_24_hours(end) || (self.has_half && end.has_half) || is_by_day
    }
}

/// A time or a range of two, wherever its pieces stand.
struct Group<'a> {
    begin: Loose,
    end: Option<Loose>,
    /// Its first and its last word.
    words: (&'a str, &'a str),
    /// The place of the first token after it.
    next: usize,
}

impl<'a> Group<'a> {
    /// The times that begin at a place.
    fn read(tokens: &[(Token<'a>, &'a str)], at: usize) -> Option<Self> {
        let word = |at: usize| match tokens.get(at) {
            // A comma after a time is none of it.
            Some((Token::Word(word), _)) => Some(word.trim_end_matches([',', ';'])),
            _ => None,
        };
        let time = |at: usize| {
            let hour = word(at)?;
            match word(at + 1).filter(|half| is_half(half)) {
                Some(half) => Some((Loose::read(&[hour, half].concat())?, half, at + 2)),
                None => Some((Loose::read(hour)?, hour, at + 1)),
            }
        };
        let first = word(at)?;
        let (begin, last, next) = time(at)?;
        let joins = matches!(tokens.get(next), Some((Token::Dash, _)))
            || word(next).is_some_and(|word| word.eq_ignore_ascii_case("to"));
        Some(match time(next + 1).filter(|_| joins) {
            Some((end, last, next)) => Self { begin, end: Some(end), words: (first, last), next },
            None => Self { begin, end: None, words: (first, last), next },
        })
    }

    /// The form it has here, where it means one thing.
    fn written(&self) -> Option<String> {
        match self.end {
            Some(end) => (self.begin.time != end.time && self.begin.time < DAY && self.begin.is_clear_to(end))
                .then(|| format!("{}-{}", Clock(self.begin.time), Clock(end.time))),
            None => (!self.begin.is_bare).then(|| Clock(self.begin.time).to_string()),
        }
    }
}

/// The time at this place, or the range that it belongs to, as it is written here; none where that is not sure.
pub(super) fn instead<'a>(tokens: &[(Token<'a>, &'a str)], at: usize, value: &'a str) -> Option<Instead<'a>> {
    if let Some((Token::Dates, piece)) = tokens.get(at) {
        // `08-18` has the shape of a day of the year.
        let (begin, end) = piece.split_once('-')?;
        let mut range = vec![(Token::Word(begin), *piece), (Token::Dash, *piece), (Token::Word(end), *piece)];
        range.extend(tokens.get(at + 1));
        return instead(&range, 0, value);
    }
    let group = (0..=at).find_map(|begin| Group::read(tokens, begin).filter(|group| at < group.next))?;
    Some((from_to(value, group.words.0, group.words.1), group.written()?.into()))
}

/// Whether a range stands at this place or around it.
pub(super) fn is_in_range(tokens: &[(Token<'_>, &str)], at: usize) -> bool {
    (0..=at).any(|begin| Group::read(tokens, begin).is_some_and(|group| at < group.next && group.end.is_some()))
}

/// Whether each time of a value means one thing beside the others: where one has its half of the day, another without
/// may be meant to have one too.
pub(super) fn are_alike(tokens: &[(Token<'_>, &str)]) -> bool {
    let (mut at, mut has_half, mut all_clear) = (0, false, true);
    while at < tokens.len() {
        let Some(group) = Group::read(tokens, at) else {
            at += 1;
            continue;
        };
        at = group.next;
        has_half |= group.begin.has_half || group.end.is_some_and(|end| end.has_half);
        all_clear &= group.end.map_or(group.begin.is_clear(), |end| group.begin.is_clear_to(end));
    }
    all_clear || !has_half
}
