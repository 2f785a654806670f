//! Engine: rows of text in columns that fit the paper.

use super::paper::{Ink, Paper, chars, clean, cut};

/// Columns between two of a table.
const GAP: usize = 2;
/// A column is not made narrower than that.
const NARROW: usize = 8;

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    /// Text in an ink.
    pub(super) fn new(ink: Ink, text: impl ToString) -> Self {
        Self {
            text: clean(&text.to_string()),
            ink,
        }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Ink::Plain, text)
    }
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, a field for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        row.resize_with(self.heads.len(), Cell::default);
        self.rows.push(row);
    }

    /// The lines; none when there are no rows.
    pub(super) fn print(&self, paper: Paper) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let used = self.used();
        let heads: Vec<Cell> = self.heads.iter().map(|head| Cell::new(Ink::Bold, head)).collect();
        match fitted(self.widths(&used), paper.width) {
            Some(widths) => std::iter::once(&heads)
                .chain(&self.rows)
                .map(|row| line(row, &used, &widths, paper))
                .collect(),
            None => self
                .rows
                .iter()
                .map(|row| self.block(row, &used, paper))
                .collect(),
        }
    }

    /// The columns that say something.
    fn used(&self) -> Vec<usize> {
        let says = |column: &usize| {
            let of_column = |row: &Vec<Cell>| row.get(*column).is_some_and(|cell| !cell.text.is_empty());
            self.rows.iter().any(of_column)
        };
        (0..self.heads.len()).filter(says).collect()
    }

    fn widths(&self, used: &[usize]) -> Vec<usize> {
        let width = |column: &usize| {
            let head = self.heads.get(*column).map_or(0, |head| chars(head));
            let cells = self.rows.iter().filter_map(|row| row.get(*column));
            cells.map(|cell| chars(&cell.text)).max().unwrap_or(0).max(head)
        };
        used.iter().map(width).collect()
    }

    /// On narrow paper: a line for each field.
    fn block(&self, row: &[Cell], used: &[usize], paper: Paper) -> String {
        let mut text = String::new();
        for (nth, column) in used.iter().enumerate() {
            let (Some(head), Some(cell)) = (self.heads.get(*column), row.get(*column)) else {
                continue;
            };
            if cell.text.is_empty() {
                continue;
            }
            let mark = if nth == 0 { "" } else { "  " };
            let room = paper
                .width
                .saturating_sub(mark.len() + head.len() + 1)
                .max(NARROW);
            let value = paper.ink(cell.ink, &cut(&cell.text, room));
            text.push_str(&format!("{mark}{head} {value}\n"));
        }
        text
    }
}

/// The widest columns give way; `None`: that is not enough.
fn fitted(mut widths: Vec<usize>, room: usize) -> Option<Vec<usize>> {
    let gaps = GAP * widths.len().saturating_sub(1);
    loop {
        let all: usize = widths.iter().sum::<usize>().saturating_add(gaps);
        if all <= room {
            return Some(widths);
        }
        let widest = widths.iter_mut().max()?;
        if *widest <= NARROW {
            return None;
        }
        *widest -= 1;
    }
}

fn line(row: &[Cell], used: &[usize], widths: &[usize], paper: Paper) -> String {
    let mut text = String::new();
    let last = used.len().saturating_sub(1);
    for (nth, (column, width)) in used.iter().zip(widths).enumerate() {
        let Some(cell) = row.get(*column) else { continue };
        let shown = cut(&cell.text, *width);
        let fill = match nth == last {
            true => 0,
            false => width.saturating_sub(chars(&shown)) + GAP,
        };
        text.push_str(&paper.ink(cell.ink, &shown));
        text.push_str(&" ".repeat(fill));
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NODE", "NOTHING", "IDENTITY", "STATE"]);
        table.row([
            "scscf".into(),
            "".into(),
            "sip:alice@home.example".into(),
            "registered".into(),
        ]);
        table.row([
            "scscf".into(),
            "".into(),
            "tel:+15550002".into(),
            Cell::new(Ink::Bad, "gone"),
        ]);
        table
    }

    fn wide(width: usize) -> Paper {
        Paper {
            width,
            is_coloured: false,
        }
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        assert_eq!(
            table().print(Paper::PIPE),
            "NODE   IDENTITY                STATE\n\
             scscf  sip:alice@home.example  registered\n\
             scscf  tel:+15550002           gone\n"
        );
    }

    #[test]
    fn the_widest_column_gives_way_on_narrow_paper() {
        assert_eq!(
            table().print(wide(32)),
            "NODE   IDENTITY       STATE\n\
             scscf  sip:alice@ho…  registered\n\
             scscf  tel:+15550002  gone\n"
        );
    }

    #[test]
    fn on_very_narrow_paper_each_field_has_a_line() {
        assert_eq!(
            table().print(wide(20)),
            "NODE scscf\n  IDENTITY sip:alic…\n  STATE registered\n\
             NODE scscf\n  IDENTITY tel:+155…\n  STATE gone\n"
        );
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new(&["NODE"]).print(Paper::PIPE), "");
    }
}
