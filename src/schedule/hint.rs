//! What people write who mean a tag's value: what of it misleads, and what was probably meant.
//!
//! A suggestion parses in the place of what it replaces, and means what the person meant; where that is not sure there
//! is none.

use super::dates::DAYS;
use super::tokens::{is_dates, is_half};
use super::wrong::{Instead, Wrong, from_to, place};
use crate::meant::nearest;

/// What a whole value is that is none: text for cron or EventBridge, or with a character that stands for nothing here.
pub(super) fn whole(value: &str) -> Option<Wrong<'_>> {
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
        return Some(Wrong::new(first, says));
    }
    let piece = value.split_whitespace().find(|piece| piece.contains(is_odd))?;
    let odd = piece.chars().find(|c| is_odd(*c))?;
    let known = ODD.iter().find(|(known, ..)| *known == odd);
    let code = u32::from(odd);
    let says = match known {
        Some((_, name, "")) => format!("there is {name} (U+{code:04X}) in it, which cannot be seen; take it out"),
        Some((_, name, plain)) => format!("there is {name} (U+{code:04X}) in it; write `{plain}`"),
        None if odd.is_control() => format!("there is a control character (U+{code:04X}) in it; take it out"),
        None => format!("`{odd}` (U+{code:04X}) stands for nothing here; take it out"),
    };
    Some(Wrong::new(piece, says).instead(plain(value, piece)))
}

/// What to write for a piece with odd characters, or with some that part days or clauses.
pub(super) fn plain<'a>(value: &'a str, piece: &'a str) -> Option<Instead<'a>> {
    /// What only surrounds text. Of others nobody knows: `!` may turn the meaning around.
    const AROUND: &str = "()[]{}\"'`\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{ab}\u{bb}";
    let begin = place(piece, value).start;
    let mut written = String::new();
    for (at, c) in piece.char_indices() {
        let (before, after) = (value.get(..begin + at)?, value.get(begin + at + c.len_utf8()..)?);
        match ODD.iter().find(|(known, ..)| *known == c) {
            _ if c == '+' || c == ',' => written.push_str(joint(c, before, after)?),
            Some((.., "+")) => written.push_str(joint(c, before, after)?),
            Some((.., plain)) => written.push_str(plain),
            None if c.is_control() || AROUND.contains(c) => {}
            None if is_odd(c) => return None,
            None => written.push(c),
        }
    }
    Some((piece, written.into()))
}

/// What people part days and clauses with.
const JOINTS: [char; 5] = ['+', ',', ';', '|', '&'];

/// What stands here where people write a comma or the like: a blank, or a `+` between clauses.
fn joint(c: char, before: &str, after: &str) -> Option<&'static str> {
    let ends_a_time = |piece: &str| is_half(piece) || piece.contains(|c: char| c.is_ascii_digit()) && !is_dates(piece);
    let parts = |c: char| c.is_whitespace() || JOINTS.contains(&c);
    let after_a_time = before.rsplit(parts).find(|piece| !piece.is_empty()).is_some_and(ends_a_time);
    let Some(next) = after.split_whitespace().next() else { return (c == ',' || c == ';').then_some("") };
    let word = next.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let word = meant(word).unwrap_or(word);
    let begins_a_clause = ["daily", "weekdays", "weekends", "start", "stop"]
        .into_iter()
        .chain(DAYS.into_iter().flat_map(|(day, _)| [day, &day[..3]]))
        .any(|known| known.eq_ignore_ascii_case(word));
    if after_a_time && (begins_a_clause || next.starts_with(|c: char| c.is_ascii_digit())) {
        // Times without days are daily. They may be meant for the days before.
        let clause = before.rsplit(JOINTS).find(|clause| !clause.trim().is_empty()).unwrap_or_default();
        return (names_days(after) || !names_days(clause)).then_some(" + ");
    }
    (c != '+').then_some(" ")
}

/// Whether a clause begins with days, and not with its time.
fn names_days(clause: &str) -> bool {
    let is_verb = |word: &str| word.eq_ignore_ascii_case("stop") || word.eq_ignore_ascii_case("start");
    let mut words = clause.split_whitespace().skip_while(|word| is_verb(word));
    words.next().is_some_and(|word| word.starts_with(char::is_alphabetic) && !word.eq_ignore_ascii_case("daily"))
}

/// A zone's name and what follows of it where people write blanks in it.
pub(super) fn spelled_apart<'a>(value: &'a str, piece: &'a str, zone: &str) -> &'a str {
    let mut last = piece;
    let mut spelled = piece.to_owned();
    for next in value.get(place(piece, value).end..).unwrap_or_default().split_whitespace() {
        spelled = format!("{spelled}_{next}");
        if !zone.get(..spelled.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(&spelled)) {
            break;
        }
        last = next;
    }
    from_to(value, piece, last)
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
    // `Tue` is nearly `true`.
    if short_days().any(|day| day.eq_ignore_ascii_case(word)) {
        return None;
    }
    if let Some(begun) = days().chain(WORDS).filter(|known| known.len() > word.len()).find(begins) {
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
        // `restart` and `unenforced` are not what they end in.
        let has_prefix = |known: &str| {
            word.len() == known.len() + 2 && word.get(2..).is_some_and(|end| end.eq_ignore_ascii_case(known))
        };
        nearest(word, WORDS.into_iter().chain(days()), edits)
            .filter(|known| (word.len() > 3 || known.len() > 3) && !has_prefix(known))
    })
}
