//! What is wrong with a value: where, what is expected there, and what to write instead.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::quote;

/// How often a value is mended before it is given up.
const MOST: usize = 16;

/// A value that does not parse: the piece that did not fit, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    piece: Box<str>,
    expected: Box<str>,
    at: Range<usize>,
    /// What to write, and over which part of the value.
    instead: Option<(Range<usize>, Box<str>)>,
    is_meant: bool,
}

impl ParseError {
    /// The piece that did not fit, or its beginning where it is long.
    #[must_use]
    pub fn piece(&self) -> &str {
        &self.piece
    }

    /// What is expected there.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// The word or the zone that was probably meant.
    #[must_use]
    pub fn meant(&self) -> Option<&str> {
        self.instead.as_ref().filter(|_| self.is_meant).map(|(_, text)| &**text)
    }

    /// Where the piece stands, in bytes of the value as it was given. Where something is missing, that is the last
    /// piece, or the end of a value that has none.
    #[must_use]
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The value with what to write in its place, and single blanks.
    fn mend(&self, value: &str) -> Option<String> {
        let (at, text) = self.instead.as_ref()?;
        let mended = [value.get(..at.start)?, text, value.get(at.end..)?].concat();
        let pieces: Vec<&str> = mended.split_whitespace().collect();
        // Nothing is a value too, but nobody means it who writes brackets.
        (!pieces.is_empty()).then(|| pieces.join(" "))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.piece, self.expected)?;
        match self.meant() {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// The whole value that was probably meant by one that `refused` has something against.
pub(super) fn mended(value: &str, refused: impl Fn(&str) -> Option<ParseError>) -> Option<String> {
    let mut error = refused(value)?;
    let mut value = Cow::Borrowed(value);
    for _ in 0..MOST {
        value = error.mend(&value)?.into();
        match refused(&value) {
            Some(next) => error = next,
            None => return Some(value.into_owned()),
        }
    }
    None
}

/// A part of a value, and what to write instead.
pub(super) type Instead<'a> = (&'a str, Cow<'static, str>);

/// An error while its value is at hand: it names parts of the value, which tell where they stand.
#[derive(Debug)]
pub(super) struct Wrong<'a> {
    at: &'a str,
    /// How the piece is quoted.
    piece: Cow<'a, str>,
    expected: Cow<'static, str>,
    instead: Option<Instead<'a>>,
    is_meant: bool,
}

impl<'a> Wrong<'a> {
    pub(super) fn new(piece: &'a str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { at: piece, piece: piece.into(), expected: expected.into(), instead: None, is_meant: false }
    }

    /// Quotes the piece in other words.
    pub(super) fn quoted(self, piece: String) -> Self {
        Self { piece: piece.into(), ..self }
    }

    /// Says what to write instead, where that is sure.
    pub(super) fn instead(self, instead: Option<Instead<'a>>) -> Self {
        Self { instead, ..self }
    }

    /// Asks whether this was meant.
    pub(super) fn meant(self, part: &'a str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { instead: Some((part, text.into())), is_meant: true, ..self }
    }

    /// The error of the value in which the parts stand.
    pub(super) fn of(self, value: &str) -> ParseError {
        ParseError {
            piece: quote::word(&self.piece).into(),
            expected: self.expected.into(),
            at: place(self.at, value),
            instead: self.instead.map(|(part, text)| (place(part, value), text.into())),
            is_meant: self.is_meant,
        }
    }
}

/// Where a part of a text stands in it; at its end, where it is none.
pub(super) fn place(part: &str, text: &str) -> Range<usize> {
    let begin = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let at = begin..begin.wrapping_add(part.len());
    if text.get(at.clone()).is_some() { at } else { text.len()..text.len() }
}

/// The text from the begin of one part to the end of another.
pub(super) fn from_to<'a>(text: &'a str, first: &'a str, last: &str) -> &'a str {
    text.get(place(first, text).start..place(last, text).end).unwrap_or(first)
}
