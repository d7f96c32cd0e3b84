//! The grammar of the tags' values. What does not fit is named, with what was expected in its place.

use std::borrow::Cow;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::clause::{Clause, Clock, clock};
use super::dates::{DAYS, Days, Except, Exceptions, MonthDay, day_name};
use super::hold::{Hold, HoldMode};
use super::tokens::{Token, Tokens, is_half, time_after_date, tokens};
use super::window::DAY;
use super::wrong::{Instead, ParseError, Wrong, from_to, mended};
use super::{hint, loose};
use crate::zone::{ZoneError, zone};

/// The most characters that a tag's value has.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html>
const LONGEST: usize = 256;

/// A value that may be a tag's.
pub(super) fn of_a_tag(value: &str) -> Result<&str, Wrong<'_>> {
    if value.chars().nth(LONGEST).is_some() {
        return Err(Wrong::new(value, format!("a tag's value has at most {LONGEST} characters")));
    }
    Ok(value)
}

fn refuse_what_is_no_value(value: &str) -> Result<(), Wrong<'_>> {
    hint::whole(value).map_or(Ok(()), Err)
}

/// Whether the times of a value can be mended one by one.
pub(super) fn can_be_mended(value: &str) -> bool {
    loose::are_alike(&tokens(value))
}

/// What a schedule's value says.
pub(super) struct Parts {
    pub(super) clauses: Vec<Clause>,
    pub(super) zone: Option<TimeZone>,
    pub(super) exceptions: Exceptions,
    pub(super) enforced: bool,
}

/// Reads a schedule; see [`Schedule::parse`](super::Schedule::parse).
pub(super) fn schedule(value: &str) -> Result<Parts, Wrong<'_>> {
    refuse_what_is_no_value(value)?;
    let mut parser = Parser::new(value);
    parser.refuse_hold()?;
    let mut clauses = vec![parser.clause()?];
    while parser.eat(Token::Plus) {
        clauses.push(parser.clause()?);
    }
    let zone = parser.zone()?;
    if parser.token() == Some(Token::Plus) {
        return Err(parser.error("the zone is that of the whole value, and stands after the last clause"));
    }
    let exceptions = if parser.eat_word("except") { parser.exceptions()? } else { Exceptions::default() };
    let enforced = parser.eat_word("enforced");
    parser.end("`+` joins clauses; after them come, in this order, a zone, `except` with dates, and `enforced`")?;
    Ok(Parts { clauses, zone, exceptions, enforced })
}

impl Hold {
    /// Reads a hold.
    ///
    /// # Errors
    ///
    /// The first piece that does not fit, and what is expected there.
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        hold(value).map_err(|wrong| wrong.of(value))
    }

    /// The hold that was probably meant by a value that does not parse, where that is sure.
    #[must_use]
    pub fn mended(value: &str) -> Option<String> {
        mended(value, |value| Self::parse(value).err()).filter(|_| can_be_mended(value))
    }
}

fn hold(value: &str) -> Result<Hold, Wrong<'_>> {
    const FORM: &str = "a hold is written until 2026-11-22 09:00, with `on` or `off` before it, and a zone after it, \
                        if need be";
    refuse_what_is_no_value(of_a_tag(value)?)?;
    let mut parser = Parser::new(value);
    let mode = if parser.eat_word("on") {
        HoldMode::On
    } else if parser.eat_word("off") {
        HoldMode::Off
    } else {
        HoldMode::Leave
    };
    let date_alone = mode == HoldMode::Leave && parser.token() == Some(Token::Dates);
    if !date_alone && !parser.eat_word("until") {
        return Err(parser.error(FORM));
    }
    let date = match parser.token() {
        Some(Token::Dates) if parser.piece().len() > "11-22".len() && !parser.piece().contains("..") => {
            // Of a date and a time that `T` joins, the date.
            let date = parser.piece().split(['T', 't']).next().unwrap_or_default();
            date.parse().map_err(|_| parser.error("there is no such date"))?
        }
        _ => return Err(parser.error("a hold ends on a date, such as 2026-11-22")),
    };
    parser.at += 1;
    let time = match parser.token() {
        Some(Token::Word(word)) if word.starts_with(is_digit) => parser.time(Whose::End)?,
        _ => DAY,
    };
    let zone = parser.zone()?;
    parser.end(FORM)?;
    Ok(Hold { mode, until: (date, time), zone })
}

/// Whose time is to be read: a begin cannot be 24:00.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Begin,
    End,
    /// That of a moment, which turns on or off.
    Moment(bool),
}

struct Parser<'a> {
    value: &'a str,
    tokens: Tokens<'a>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(value: &'a str) -> Self {
        Self { value, tokens: tokens(value), at: 0 }
    }

    fn token(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    fn word(&self) -> Option<&'a str> {
        match self.token() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The piece at which the parser is, or the last one.
    fn piece(&self) -> &'a str {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(&self.value[self.value.len()..], |(_, piece)| piece)
    }

    fn eat(&mut self, token: Token<'_>) -> bool {
        let there = self.token() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn eat_word(&mut self, known: &str) -> bool {
        let there = matches!(self.token(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(known));
        self.at += usize::from(there);
        there
    }

    fn end(&self, expected: &'static str) -> Result<(), Wrong<'a>> {
        let piece = self.piece();
        match self.token() {
            None => Ok(()),
            Some(Token::Word(word)) if self.day().is_some() || self.is_any(SEVERAL_DAYS) => {
                let rest = || Parser { value: self.value, tokens: self.tokens.clone(), at: self.at };
                let mut days = rest();
                let has_time = days.days().is_ok() && days.word().is_some_and(|word| word.starts_with(is_digit));
                let expected = if rest().clause().is_ok() {
                    PLUS_JOINS
                } else {
                    "days stand before their time, as in weekdays 08:00-18:00"
                };
                Err(self.error(expected).instead(has_time.then(|| (&word[..0], "+ ".into()))))
            }
            // An abbreviation, a city without its area, an offset.
            Some(_) => Err(match zone(piece) {
                Err(problem @ (ZoneError::Meant(_) | ZoneError::Offset)) => self.no_zone(problem),
                _ => self.error(expected),
            }),
        }
    }

    /// An error about the piece at which the parser is, or after the last one.
    fn error(&self, expected: impl Into<Cow<'static, str>>) -> Wrong<'a> {
        let expected = expected.into();
        let piece = self.piece();
        match self.token() {
            None => Wrong::new(piece, format!("something must follow: {expected}")),
            Some(Token::Word(word)) if word.contains(',') => self.comma(word),
            Some(Token::Word(word)) if is_half(word) => self
                .half_of_a_day(self.at)
                .unwrap_or_else(|| Wrong::new(piece, "a day has 24 hours here: 6:00 PM is written 18:00")),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("to") => {
                let in_range = loose::is_in_range(&self.tokens, self.at);
                Wrong::new(piece, "a dash stands between a begin and its end, as in 08:00-18:00").instead(if in_range {
                    self.as_written()
                } else {
                    Some((word, "-".into()))
                })
            }
            Some(Token::Word(word)) => match hint::meant(word) {
                Some(known) => Wrong::new(piece, expected).meant(self.with_day(word), known),
                None => Wrong::new(piece, expected).instead(if piece.contains([',', '+']) {
                    hint::plain(self.value, piece)
                } else {
                    None
                }),
            },
            Some(_) => Wrong::new(piece, expected),
        }
    }

    /// `every day`, where this is its first word.
    fn with_day(&self, word: &'a str) -> &'a str {
        match self.tokens.get(self.at + 1) {
            Some((Token::Word(day), _)) if word.eq_ignore_ascii_case("every") && day.eq_ignore_ascii_case("day") => {
                from_to(self.value, word, day)
            }
            _ => word,
        }
    }

    fn comma(&self, word: &str) -> Wrong<'a> {
        let follows_a_time = clock(word.trim_end_matches(',')).is_some() && self.at + 1 < self.tokens.len();
        let expected = if follows_a_time {
            PLUS_JOINS
        } else {
            "there are no commas; days stand side by side, as in Mon Wed Fri 09:00-17:00"
        };
        Wrong::new(self.piece(), expected).instead(hint::plain(self.value, self.piece()))
    }

    /// The time or the range at which the parser is, as it is written here, where that is sure.
    fn as_written(&self) -> Option<Instead<'a>> {
        loose::instead(&self.tokens, self.at, self.value)
    }

    /// Of `7 PM`, with the half of the day at this place.
    fn half_of_a_day(&self, at: usize) -> Option<Wrong<'a>> {
        let (Token::Word(half), _) = *self.tokens.get(at)? else { return None };
        let (Token::Word(hour), _) = *self.tokens.get(at.checked_sub(1)?)? else { return None };
        let time = loose::time(&[hour, half].concat()).filter(|_| is_half(half))?;
        let says = format!("a day has 24 hours here; this is written {}", Clock(time));
        let wrong = Wrong::new(from_to(self.value, hour, half), says).quoted(format!("{hour} {half}"));
        Some(wrong.instead(self.as_written()))
    }

    fn refuse_hold(&self) -> Result<(), Wrong<'a>> {
        let is_until =
            |(token, _): &&(Token<'_>, _)| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("until"));
        match self.tokens.iter().find(is_until) {
            Some((_, piece)) => Err(Wrong::new(piece, "a hold stands in a tag of its own, whose key ends in -Hold")),
            None => Ok(()),
        }
    }

    fn clause(&mut self) -> Result<Clause, Wrong<'a>> {
        let on = if self.eat_word("start") {
            Some(true)
        } else if self.eat_word("stop") {
            Some(false)
        } else {
            None
        };
        let (days, only_day) = self.days()?;
        let begin = self.time(on.map_or(Whose::Begin, Whose::Moment))?;
        if let Some(on) = on {
            if self.token() == Some(Token::Dash) {
                return Err(
                    self.error("`stop` and `start` take one time; a window is written 08:00-18:00 without them")
                );
            }
            return Ok(Clause::Moment { on, days, at: begin });
        }
        if !self.eat(Token::Dash) {
            let end = if begin < 18 * 60 { 18 * 60 } else { DAY };
            return Err(self.error(format!(
                "a window needs its end, such as {0}-{1}; a moment is written stop daily {0}",
                Clock(begin),
                Clock(end)
            )));
        }
        let Some(last) = self.day() else {
            let place = self.at;
            let end = self.time(Whose::End)?;
            if end == begin {
                return Err(Wrong::new(
                    self.tokens[place].1,
                    "a window's begin and end must differ; the whole day is written 00:00-24:00",
                ));
            }
            return Ok(Clause::Window { days, begin, end: whole_day(end) });
        };
        let Some(first) = only_day else {
            return Err(self.error("a span begins on one day, as in Mon 06:00 - Fri 20:00"));
        };
        self.at += 1;
        let place = self.at;
        let end = self.time(Whose::End)?;
        if first == last && end <= begin {
            return Err(Wrong::new(self.tokens[place].1, "a span that ends on the day it begins must end later on it"));
        }
        let end = if end == 0 { end } else { whole_day(end) };
        Ok(Clause::Span { from: (first, begin), to: (last, end) })
    }

    /// Days before a time, or none, which means daily; and the day, where it is a single one.
    fn days(&mut self) -> Result<(Days, Option<Weekday>), Wrong<'a>> {
        const ONE_LIST: &str =
            "before a time stands one list of days; `+` joins clauses, as in weekdays 08:00-18:00 + Sat 08:00-12:00";
        if let Some((_, days)) = SEVERAL_DAYS.into_iter().find(|(word, _)| self.eat_word(word)) {
            return if self.day().is_some() || self.is_any(SEVERAL_DAYS) {
                Err(self.error(ONE_LIST))
            } else {
                Ok((days, None))
            };
        }
        let (mut days, mut only_day) = (Days::NONE, None);
        while let Some(first) = self.day() {
            self.at += 1;
            only_day = if days == Days::NONE { Some(first) } else { None };
            days = days.and(Days::only(first));
            if self.token() == Some(Token::Dash) {
                self.at += 1;
                let Some(last) = self.day() else {
                    return Err(
                        self.error(format!("a range of days needs its last day, as in {}-Sun", day_name(first)))
                    );
                };
                if first == last {
                    return Err(self.error("a range ends on another day than it begins; every day is written daily"));
                }
                days = days.and(Days::range(first, last));
                only_day = None;
                self.at += 1;
            }
        }
        if self.is_any(SEVERAL_DAYS) {
            return Err(self.error(ONE_LIST));
        }
        Ok(if days == Days::NONE { (Days::DAILY, None) } else { (days, only_day) })
    }

    fn is_any(&self, known: [(&str, Days); 3]) -> bool {
        let Some(Token::Word(word)) = self.token() else { return false };
        known.iter().any(|(known, _)| word.eq_ignore_ascii_case(known))
    }

    /// The day at which the parser is.
    fn day(&self) -> Option<Weekday> {
        let Some(Token::Word(word)) = self.token() else { return None };
        let short = word.get(..3)?;
        let is = |(name, _): &&(&str, Weekday)| {
            name[..3].eq_ignore_ascii_case(short) && (word.len() == 3 || name.eq_ignore_ascii_case(word))
        };
        DAYS.iter().find(is).map(|(_, day)| *day)
    }

    fn time(&mut self, whose: Whose) -> Result<u16, Wrong<'a>> {
        let time = match self.token() {
            Some(Token::Word(word)) => clock(word),
            _ => None,
        };
        match time {
            Some(DAY) if whose == Whose::Begin => Err(self.error("only an end can be 24:00; a begin is 00:00")),
            Some(time) => {
                self.at += 1;
                Ok(time)
            }
            None => Err(self.no_time(whose)),
        }
    }

    fn no_time(&self, whose: Whose) -> Wrong<'a> {
        let piece = self.piece();
        let alone = self.tokens.len() == 1 && self.token().is_some();
        if alone && piece.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return self
                .error("`true` follows the rule, `false` opts out, and a schedule is like weekdays 08:00-18:00");
        }
        if piece == "24/7" && self.at == 0 {
            return Wrong::new(piece, "the whole week is written 00:00-24:00")
                .instead(Some((piece, "00:00-24:00".into())));
        }
        if let Some(word) = self.word().filter(|_| piece.contains(',')) {
            return self.comma(word);
        }
        if let Some(wrong) = self.half_of_a_day(self.at + 1) {
            return wrong;
        }
        if self.token().is_some() && piece.contains(is_digit) {
            let is_moment = matches!(whose, Whose::Moment(_));
            let range = loose::range(piece).filter(|_| !is_moment);
            let single = loose::time(time_after_date(piece).unwrap_or(piece))
                .filter(|time| *time < DAY || whose != Whose::Begin);
            return match (range, single) {
                (Some(says), _) => Wrong::new(piece, says).instead(self.as_written()),
                (None, Some(time)) => {
                    Wrong::new(piece, format!("a time is written {}", Clock(time))).instead(self.as_written())
                }
                _ if piece.contains('+') => Wrong::new(piece, "`+` stands alone, with a blank on either side")
                    .instead(hint::plain(self.value, piece)),
                _ if self.token() == Some(Token::Dates) => Wrong::new(piece, "a date stands only after `except`"),
                _ => Wrong::new(piece, "a time is written 08:00, and a time range 08:00-18:00"),
            };
        }
        match whose {
            Whose::Begin => self.error("days and a time stand here, as in weekdays 08:00-18:00"),
            Whose::Moment(true) => self.error("days and a time stand here, as in start weekdays 07:00"),
            Whose::Moment(false) => self.error("days and a time stand here, as in stop daily 19:00"),
            Whose::End => self.error("an end stands here, as in 08:00-18:00 or Mon 06:00 - Fri 20:00"),
        }
    }

    fn zone(&mut self) -> Result<Option<TimeZone>, Wrong<'a>> {
        let name = self.piece();
        let zone = match self.token() {
            Some(Token::Zone) => zone(name),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("UTC") => zone(word),
            _ => return Ok(None),
        };
        let zone = zone.map_err(|problem| self.no_zone(problem))?;
        self.at += 1;
        Ok(Some(zone))
    }

    fn no_zone(&self, problem: ZoneError) -> Wrong<'a> {
        let piece = self.piece();
        match problem {
            ZoneError::Meant(zone) => Wrong::new(piece, ZoneError::Unknown.to_string())
                .meant(hint::spelled_apart(self.value, piece, &zone), zone.into_string()),
            problem => Wrong::new(piece, problem.to_string()),
        }
    }

    fn exceptions(&mut self) -> Result<Exceptions, Wrong<'a>> {
        let mut exceptions = Vec::new();
        while self.token() == Some(Token::Dates) {
            exceptions.push(except(self.piece())?);
            self.at += 1;
        }
        let more = match self.token() {
            Some(Token::Word(word)) => word.contains(|c| is_digit(c) || c == '.'),
            token => token == Some(Token::Dash),
        };
        if exceptions.is_empty() || more {
            return Err(
                self.error("a date is written 2026-12-24, or 12-24 for every year; `..` joins two, without blanks")
            );
        }
        Ok(Exceptions::new(exceptions))
    }
}

const PLUS_JOINS: &str = "`+` joins clauses, as in weekdays 08:00-18:00 + Sat 10:00-14:00";

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

const SEVERAL_DAYS: [(&str, Days); 3] =
    [("daily", Days::DAILY), ("weekdays", Days::WEEKDAYS), ("weekends", Days::WEEKENDS)];

/// An end that means the end of its day, as people write it: 00:00, or the last minute.
fn whole_day(end: u16) -> u16 {
    if end == 0 || end == DAY - 1 { DAY } else { end }
}

fn except(piece: &str) -> Result<Except, Wrong<'_>> {
    let (first, last) = piece.split_once("..").unwrap_or((piece, piece));
    let once = |text: &str| text.parse::<Date>().map_err(|_| Wrong::new(piece, "there is no such date"));
    let yearly = |text: &str| {
        let day = text.split_once('-').and_then(|(month, day)| MonthDay::new(month.parse().ok()?, day.parse().ok()?));
        day.ok_or_else(|| Wrong::new(piece, "there is no such day in any year"))
    };
    // A date of one year has ten characters, a day of every year five.
    match (first.len() > 5, last.len() > 5) {
        (true, true) => {
            let (first, last) = (once(first)?, once(last)?);
            if first > last {
                return Err(Wrong::new(piece, "the range runs backwards"));
            }
            Ok(Except::Dates(first, last))
        }
        (false, false) => Ok(Except::Yearly(yearly(first)?, yearly(last)?)),
        _ => Err(Wrong::new(piece, "a range has both dates with their year, or both without")),
    }
}
