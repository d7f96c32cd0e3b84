//! Texts of others, cut to what an error can bear.

/// How much of a word an error quotes, in characters.
const WORD: usize = 40;

/// A word, or its beginning.
pub(crate) fn word(text: &str) -> String {
    let mut quoted: String = text.chars().take(WORD).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

/// A sentence, or its beginning and its end.
pub(crate) fn sentence(text: &str) -> String {
    const HALF: usize = 200;
    let long = text.chars().nth(2 * HALF).is_some();
    let end = text.char_indices().rev().nth(HALF - 1).map_or(0, |(at, _)| at);
    if long { text.chars().take(HALF).chain(['…']).chain(text[end..].chars()).collect() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut() {
        let long = "é".repeat(1000);
        assert_eq!(word(&long), format!("{}…", "é".repeat(40)));
        assert_eq!(word(&long[..80]), "é".repeat(40));
        assert_eq!(word(""), "");
        let (head, tail) = ("a".repeat(200), "z".repeat(200));
        assert_eq!(sentence(&format!("{head}{long}{tail}")), format!("{head}…{tail}"));
        assert_eq!(sentence(&format!("{head}{tail}")), format!("{head}{tail}"));
        assert_eq!(sentence(""), "");
    }
}
