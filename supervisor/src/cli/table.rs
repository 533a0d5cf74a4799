//! Tables for people.
//!
//! Owns: columns, colours and cutting to the width at hand. Never: lets a cell move the cursor or change the terminal:
//! what tenants named or wrote is shown with its control characters replaced.

/// Between two columns.
const GAP: usize = 2;
/// The same where nothing else gives way any more.
const NARROW_GAP: usize = 1;
/// A column that gives way keeps so many characters.
const NARROWEST: usize = 6;

/// What a cell says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something failed.
    Bad,
}

impl Tone {
    pub(super) fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("\x1b[32m"),
            Self::Warn => Some("\x1b[33m"),
            Self::Bad => Some("\x1b[31m"),
        }
    }
}

/// One cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: harmless(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// The same text without anything that a terminal would obey.
pub fn harmless(text: &str) -> String {
    // Format characters reorder or hide what stands around them.
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || hidden(c) { '\u{b7}' } else { c }).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Never cut, to the left.
    Fixed,
    /// Never cut, to the right.
    Number,
    /// Cut when there is no room.
    Yielding,
}

/// A table in the making.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<(&'static str, Kind)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of short words of our own, such as ids.
    #[must_use]
    pub fn fixed(mut self, title: &'static str) -> Self {
        self.columns.push((title, Kind::Fixed));
        self
    }

    /// Adds a column of numbers.
    #[must_use]
    pub fn number(mut self, title: &'static str) -> Self {
        self.columns.push((title, Kind::Number));
        self
    }

    /// Adds a column of words of any length.
    #[must_use]
    pub fn yielding(mut self, title: &'static str) -> Self {
        self.columns.push((title, Kind::Yielding));
        self
    }

    /// Adds a row, one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.resize(self.columns.len(), Cell::default());
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, at most so wide where columns can yield; each line ends with a newline.
    pub fn render(&self, width: Option<usize>, color: bool) -> String {
        let widths = self.widths(width);
        let full = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let gap = if width.is_some_and(|width| full > width) { NARROW_GAP } else { GAP };
        let titles = self.columns.iter().map(|(title, _)| Cell::from(title)).collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            self.write_row(&mut text, row, &widths, gap, color);
        }
        text
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let longest = |at: usize| self.rows.iter().map(|row| row[at].text.chars().count()).max().unwrap_or(0);
        let columns = self.columns.iter().enumerate();
        let mut widths: Vec<_> = columns.map(|(at, (title, _))| longest(at).max(title.len())).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        while width.is_some_and(|width| widths.iter().sum::<usize>() + gaps > width) {
            let yielding = widths.iter().enumerate().filter(|(at, _)| self.columns[*at].1 == Kind::Yielding);
            let widest = yielding.max_by_key(|(_, width)| **width).map(|(at, _)| at);
            match widest {
                Some(at) if widths[at] > NARROWEST.max(self.columns[at].0.len()) => widths[at] -= 1,
                _ => break,
            }
        }
        widths
    }

    fn write_row(&self, text: &mut String, row: &[Cell], widths: &[usize], gap: usize, color: bool) {
        let start = text.len();
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                text.push_str(&" ".repeat(gap));
            }
            let shown = cut(&cell.text, widths[at]);
            let padding = " ".repeat(widths[at] - shown.chars().count());
            let code = cell.tone.code().filter(|_| color && !shown.is_empty());
            let shown = code.map_or_else(|| shown.clone(), |code| format!("{code}{shown}\x1b[0m"));
            match self.columns[at].1 {
                Kind::Number => text.extend([padding, shown]),
                Kind::Fixed | Kind::Yielding => text.extend([shown, padding]),
            }
        }
        text.truncate(start + text[start..].trim_end_matches(' ').len());
        text.push('\n');
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(rooms: usize) -> Table {
        let mut table = Table::new().fixed("SESSION").yielding("TENANT").number("MEM").yielding("ROOM");
        table.row(["s-1a2b3c4d-17".into(), "t".repeat(128).into(), "12.5".into(), "r".repeat(rooms).into()]);
        table.row(["s-1a2b3c4d-18".into(), "globex".into(), "7".into(), "short".into()]);
        table
    }

    #[test]
    fn a_table_fits_the_width_and_never_cuts_an_id() {
        let text = sessions(300).render(Some(80), false);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("s-1a2b3c4d-17  tttt") && text.contains('\u{2026}'), "{text}");
    }

    #[test]
    fn where_no_column_yields_any_more_the_gaps_do() {
        let mut table = Table::new().fixed("HOST").yielding("TENANT").fixed("STATE");
        table.row(["h0.1".into(), "t".repeat(128).into(), "condemned".into()]);
        assert_eq!(table.render(Some(22), false), "HOST TENANT STATE\nh0.1 ttttt\u{2026} condemned\n");
        assert_eq!(table.render(Some(23), false), "HOST  TENANT  STATE\nh0.1  ttttt\u{2026}  condemned\n");
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        let text = sessions(300).render(None, false);
        assert!(text.contains(&"t".repeat(128)) && text.contains(&"r".repeat(300)));
    }

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_without_blanks() {
        let mut table = Table::new().fixed("A").number("MEM").fixed("B");
        table.row(["x".into(), "7".into(), "y".into()]);
        table.row(["xx".into(), "1234".into(), Cell::default()]);
        assert_eq!(table.render(Some(80), false), "A    MEM  B\nx      7  y\nxx  1234\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::new().fixed("STATE").fixed("NEXT");
        table.row([Cell::toned("open", Tone::Bad), "x".into()]);
        assert_eq!(table.render(Some(80), true), "STATE  NEXT\n\x1b[31mopen\x1b[0m   x\n");
        assert_eq!(table.render(Some(80), false), "STATE  NEXT\nopen   x\n");
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        let mut table = Table::new().yielding("ERROR");
        table.row(["\x1b]0;owned\x07\nnext \u{202e}line\u{9b}2J".into()]);
        let text = table.render(None, true);
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    }
}
