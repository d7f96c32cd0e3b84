//! What people write who mean a tag's value: what of it misleads, and what was probably meant.
//!
//! A suggestion parses in the place of what it replaces, and means what the person meant; where that is not sure there
//! is none.

use super::clause::{Clock, digits};
use super::dates::DAYS;
use super::window::DAY;
use crate::meant::nearest;

/// What a whole value is that is none: text for cron or EventBridge, or with a character that stands for nothing here.
pub(super) fn whole(value: &str) -> Option<(&str, String)> {
    let mut pieces = value.split_whitespace();
    let first = pieces.next()?;
    let is_field = |piece: &str| piece.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?/,-#".contains(&b));
    let five = (4..=5).contains(&pieces.clone().count())
        && value.contains(['*', '?'])
        && value.split_whitespace().all(is_field);
    let calls = |name: &str| first.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    if five || ["cron(", "rate(", "at("].into_iter().any(calls) {
        let says = "cron, rate and at are not read here; hours are written as in weekdays 08:00-18:00, a single time as \
                    in stop daily 19:00";
        return Some((first, says.to_owned()));
    }
    let piece = value.split_whitespace().find(|piece| piece.contains(is_odd))?;
    let odd = piece.chars().find(|c| is_odd(*c))?;
    let known = ODD.iter().find(|(known, ..)| *known == odd);
    let code = u32::from(odd);
    Some((
        piece,
        match known {
            Some((_, name, "")) => format!("there is {name} (U+{code:04X}) in it, which cannot be seen; take it out"),
            Some((_, name, plain)) => format!("there is {name} (U+{code:04X}) in it; write `{plain}`"),
            None if odd.is_control() => format!("there is a control character (U+{code:04X}) in it; take it out"),
            None => format!("`{odd}` (U+{code:04X}) stands for nothing here; take it out"),
        },
    ))
}

/// Letters of every script are words that are not known; of all else, this is what values are written with. A comma is
/// told of where it stands.
fn is_odd(c: char) -> bool {
    !(c.is_alphanumeric() || "+-=._:/@,".contains(c))
}

/// Characters that look like those of a schedule, or cannot be seen: their names, and what to write.
const ODD: [(char, &str, &str); 24] = [
    ('\u{2010}', "a hyphen that is not the plain one", "-"),
    ('\u{2011}', "a hyphen that does not break", "-"),
    ('\u{2012}', "a figure dash", "-"),
    ('\u{2013}', "an en dash", "-"),
    ('\u{2014}', "an em dash", "-"),
    ('\u{2015}', "a horizontal bar", "-"),
    ('\u{2212}', "a minus sign", "-"),
    ('\u{ff0d}', "a full-width hyphen", "-"),
    ('\u{301c}', "a wave dash", "-"),
    ('\u{ff5e}', "a full-width tilde", "-"),
    ('~', "a tilde", "-"),
    ('\u{2026}', "an ellipsis", ".."),
    ('\u{ff1a}', "a full-width colon", ":"),
    ('\u{2236}', "a ratio sign", ":"),
    (';', "a semicolon", "+"),
    ('|', "a bar", "+"),
    ('&', "an ampersand", "+"),
    ('\u{feff}', "a byte order mark", ""),
    ('\u{200b}', "a zero-width blank", ""),
    ('\u{200c}', "a zero-width non-joiner", ""),
    ('\u{200d}', "a zero-width joiner", ""),
    ('\u{2060}', "a word joiner", ""),
    ('\u{200e}', "a left-to-right mark", ""),
    ('\u{200f}', "a right-to-left mark", ""),
];

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
        (minutes < 60 && time <= DAY).then_some(Self { time, is_bare, has_24_hours })
    }
}

/// The word that was probably meant: the one that this one begins, another word for it, or the nearest.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    const WORDS: [&str; 14] = [
        "daily", "weekdays", "weekends", "start", "stop", "except", "enforced", "until", "true", "yes", "false", "no",
        "never", "ignore",
    ];
    const OTHERS: [(&str, &str); 10] = [
        ("every", "daily"),
        ("everyday", "daily"),
        ("not", "except"),
        ("without", "except"),
        ("excluding", "except"),
        ("but", "except"),
        ("workdays", "weekdays"),
        ("businessdays", "weekdays"),
        ("shutdown", "stop"),
        ("startup", "start"),
    ];
    if let Some((_, known)) = OTHERS.iter().find(|(other, _)| word.eq_ignore_ascii_case(other)) {
        return Some(known);
    }
    let edits = match word.len() {
        0..3 => return None,
        3..6 => 1,
        _ => 2,
    };
    let days = || DAYS.iter().map(|(name, _)| *name);
    let short_days = || days().map(|name| &name[..3]);
    let begins = |known: &&str| known.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    let is_a_day = short_days().any(|day| day.eq_ignore_ascii_case(word));
    if let Some(begun) = days().chain(WORDS).filter(|known| known.len() > word.len() && !is_a_day).find(begins) {
        return Some(begun);
    }
    // A word of three letters is nearly another day, or a day of another language; only letters that changed places tell.
    let letters = |text: &str| {
        let mut letters = text.to_ascii_lowercase().into_bytes();
        letters.sort_unstable();
        letters
    };
    let near_day = nearest(word, short_days(), 1).filter(|day| letters(day) == letters(word));
    near_day.or_else(|| {
        nearest(word, WORDS.into_iter().chain(days()), edits).filter(|known| word.len() > 3 || known.len() > 3)
    })
}
