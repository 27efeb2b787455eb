//! A table in columns: as wide as what is in it, so that each field is where
//! awk(1) looks for it, or as wide as the terminal, with the columns that matter
//! least left out.

use super::line::{Line, Style, clean};

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    /// Those with the highest go first where there is no room; 0 stays.
    rank: u8,
}

/// A column of words.
pub(super) const fn words(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        right: false,
        rank,
    }
}

/// A column of numbers.
pub(super) const fn numbers(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        right: true,
        rank,
    }
}

/// What stands in a column; without text a `-`, for a field must not be missing.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell(Style, String);

impl Cell {
    /// Text that is not as usual.
    pub(super) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self(style, clean(&text.into()))
    }

    fn text(&self) -> &str {
        if self.1.is_empty() { "-" } else { &self.1 }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::styled(Style::Plain, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::styled(Style::Plain, text)
    }
}

/// The last column gets at least this before others have to go.
const LAST: usize = 16;

/// The table's lines, the titles first; at most `width` columns of the terminal
/// wide. Before the last column there are two spaces, before the others one.
/// At the end of a row nothing is said of what there is not.
pub(super) fn lines(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<Line> {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.text().len()).max();
            widest.unwrap_or(0).max(column.title.len())
        })
        .collect();
    let shown = shown(columns, &widths, width);
    let titles: Vec<Cell> = columns
        .iter()
        .map(|column| Cell::styled(Style::Heading, column.title))
        .collect();
    let line = |row: &Vec<Cell>| {
        let told = row.iter().rposition(|cell| !cell.1.is_empty());
        let mut line = Line::default();
        for (place, &at) in shown.iter().enumerate() {
            let (Some(cell), true) = (row.get(at), told.is_some_and(|told| at <= told)) else {
                break;
            };
            let last = place + 1 == shown.len();
            line.push(
                Style::Plain,
                match (place, last) {
                    (0, _) => "",
                    (_, true) => "  ",
                    (_, false) => " ",
                },
            );
            let padding = " ".repeat(widths[at] - cell.text().len());
            if columns[at].right {
                line.push(Style::Plain, &padding);
            }
            line.push(cell.0, cell.text());
            let more = shown[place + 1..]
                .iter()
                .any(|&next| told.is_some_and(|told| next <= told));
            if !columns[at].right && more {
                line.push(Style::Plain, &padding);
            }
        }
        match width {
            Some(width) => line.cut(width),
            None => line,
        }
    };
    std::iter::once(&titles).chain(rows).map(line).collect()
}

/// Which columns there is room for.
fn shown(columns: &[Column], widths: &[usize], width: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = width else {
        return shown;
    };
    loop {
        let last = shown.last().map_or(0, |&at| widths[at]);
        let all: usize = shown.iter().map(|&at| widths[at] + 1).sum();
        if all - last + last.min(LAST) <= width {
            return shown;
        }
        let least = shown.iter().copied().max_by_key(|&at| columns[at].rank);
        let Some(least) = least.filter(|&at| columns[at].rank > 0) else {
            return shown;
        };
        shown.retain(|&at| at != least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        words("NAME", 0),
        numbers("COUNT", 1),
        numbers("MORE", 2),
        words("TEXT", 0),
    ];

    fn table(width: Option<usize>) -> Vec<String> {
        let row = |cells: [&str; 4]| cells.map(Cell::from).to_vec();
        let rows = [
            row(["web[0]", "7", "", "GET /a long one that may be cut"]),
            row(["echo[10]", "12345", "1", ""]),
        ];
        let lines = lines(&COLUMNS, &rows, width);
        lines.iter().map(|line| line.text(false)).collect()
    }

    #[test]
    fn a_field_stands_where_it_is_looked_for() {
        assert_eq!(
            table(None),
            [
                "NAME     COUNT MORE  TEXT",
                "web[0]       7    -  GET /a long one that may be cut",
                "echo[10] 12345    1",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_gets_what_matters() {
        assert_eq!(
            table(Some(32)),
            [
                "NAME     COUNT  TEXT",
                "web[0]       7  GET /a long one ",
                "echo[10] 12345",
            ]
        );
        for width in 0..80 {
            assert!(table(Some(width)).iter().all(|line| line.len() <= width));
        }
        assert_eq!(table(Some(26))[0], "NAME      TEXT");
    }
}
