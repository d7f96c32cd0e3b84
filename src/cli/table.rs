//! Columns of text: padded by width, with one that is cut where the screen is narrow, and a last one that may wrap.

use clap::builder::styling::Style;
use unicode_width::UnicodeWidthStr;

use crate::screen::{Screen, styled};

/// The least that is left of the column that is cut.
const LEAST: usize = 12;

/// A cell, and how it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn padded(&self, width: usize) -> String {
        let blanks = " ".repeat(width.saturating_sub(self.text.width()));
        let text = if self.style == Style::new() { self.text.clone() } else { styled(self.style, &self.text) };
        text + &blanks
    }
}

/// Lays out rows of as many cells each, two blanks before the first and between them. The cells of column `cut` are
/// shortened where a row is wider than the screen; a last cell that still does not fit goes to a line of its own.
pub(crate) fn table(screen: Screen, rows: &[Vec<Cell>], cut: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width = |row: &Vec<Cell>, column: usize| row.get(column).map_or(0, |cell| cell.text.width());
    let mut widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0)).collect();
    if let Some(width) = screen.width {
        let whole: usize = widths.iter().map(|column| column + 2).sum();
        let spare = widths[..].get(cut).map_or(0, |column| column.saturating_sub(LEAST.min(*column)));
        if let Some(column) = widths.get_mut(cut) {
            *column -= whole.saturating_sub(width).min(spare);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut used = 0;
        for (column, cell) in row.iter().enumerate() {
            let is_last = column + 1 == columns;
            if is_last && screen.width.is_some_and(|width| used + 2 + cell.text.width() > width) {
                let indent = 4 + widths[0];
                out.push_str(line.trim_end());
                line = format!("\n{}", screen.wrap(&format!("{:indent$}{}", "", cell.padded(0)), indent));
                continue;
            }
            let cell = if column == cut {
                Cell { text: screen.cut(&cell.text, widths[column]), ..cell.clone() }
            } else {
                cell.clone()
            };
            line = format!("{line}  {}", cell.padded(widths[column]));
            used += 2 + widths[column];
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        [["stop", "web-1", "eu-west-1", "until Tue"], ["keep", "서울-데모-서버-번호-하나", "eu-west-1", "x"]]
            .map(|row| row.map(Cell::new).into())
            .into()
    }

    #[test]
    fn columns_line_up_by_what_is_seen() {
        let at = |width| table(Screen { width, ascii: false }, &rows(), 1);
        assert_eq!(
            at(None),
            "  stop  web-1                     eu-west-1  until Tue\n  keep  서울-데모-서버-번호-하나  eu-west-1  x\n"
        );
        assert_eq!(
            at(Some(48)),
            "  stop  web-1               eu-west-1  until Tue\n  keep  서울-데모-서버-번…  eu-west-1  x\n"
        );
        assert_eq!(
            at(Some(40)),
            "  stop  web-1         eu-west-1\n        until Tue\n  keep  서울-데모-…   eu-west-1  x\n"
        );
    }
}
