//! The pieces of a value, between blanks, and the tokens in them.

/// What a piece of the value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Plus,
    Dash,
    /// A piece with a `/`.
    Zone,
    /// A date or two, joined by `..`.
    Dates,
    /// A day, a time, or another word.
    Word(&'a str),
}

/// Each token, and the piece that it stands in.
pub(super) type Tokens<'a> = Vec<(Token<'a>, &'a str)>;

pub(super) fn tokens(value: &str) -> Tokens<'_> {
    let mut tokens = Vec::with_capacity(16);
    for piece in value.split_whitespace() {
        match piece {
            "+" => tokens.push((Token::Plus, piece)),
            _ if piece.contains('/') => tokens.push((Token::Zone, piece)),
            _ if is_dates(piece) => tokens.push((Token::Dates, piece)),
            _ => {
                if let Some(time) = time_after_date(piece) {
                    tokens.extend([(Token::Dates, piece), (Token::Word(time), piece)]);
                    continue;
                }
                for (place, word) in piece.split('-').enumerate() {
                    if place > 0 {
                        tokens.push((Token::Dash, piece));
                    }
                    if !word.is_empty() {
                        tokens.push((Token::Word(word), piece));
                    }
                }
            }
        }
    }
    tokens
}

/// Whether a piece has the shape of a date, or of two that are joined, whatever its numbers.
pub(super) fn is_dates(piece: &str) -> bool {
    let (first, last) = piece.split_once("..").unwrap_or((piece, piece));
    is_date(first) && is_date(last)
}

/// The time that `T` joins to a date, as in `2026-11-22T09:00`.
pub(super) fn time_after_date(piece: &str) -> Option<&str> {
    let (date, time) = piece.split_once(['T', 't'])?;
    (date.len() == "2026-11-22".len() && is_date(date)).then_some(time)
}

fn is_date(text: &str) -> bool {
    let parts = || text.split('-').map(str::len);
    let numbers = text.bytes().all(|b| b == b'-' || b.is_ascii_digit());
    numbers && (parts().eq([4, 2, 2]) || parts().eq([2, 2]))
}

/// Whether a word tells a half of the day.
pub(super) fn is_half(word: &str) -> bool {
    ["am", "pm"].iter().any(|half| word.eq_ignore_ascii_case(half))
}
