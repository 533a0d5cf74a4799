//! `docs/configuration.md` as data: what each key is for, and its default, in the order of the page.
//!
//! Owns: reading the page's tables. Never: says what a key takes; the reader of the key does, and tests compare the two.

/// The page.
pub(super) const PAGE: &str = include_str!("../../../docs/configuration.md");

/// The tables below one heading.
#[derive(Debug)]
pub(super) struct PageSection {
    /// As in a file (`supervisor`, `tenants.NAME.wall`); empty for the top level.
    pub(super) name: String,
    /// Whether it is a list of tables.
    pub(super) list: bool,
    /// Its keys.
    pub(super) rows: Vec<Row>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) key: &'static str,
    /// Type and range in words; empty where another section tells it.
    pub(super) takes: &'static str,
    /// The default in words.
    pub(super) default: &'static str,
    /// What it is for.
    pub(super) why: &'static str,
}

impl Row {
    /// The default as a TOML value, where it is one.
    pub(super) fn value(&self) -> Option<String> {
        let words = self.default.split(';').next().unwrap_or_default().trim();
        let bare = words.trim_matches('`');
        match bare {
            "off" => Some("\"off\"".to_owned()),
            _ => format!("x = {bare}").parse::<toml::Table>().is_ok().then(|| bare.to_owned()),
        }
    }

    /// One sentence: what it is for, and what it takes.
    pub(super) fn sentence(&self) -> String {
        let rest = match self.value() {
            Some(_) if self.default.contains(';') => format!("; by default {}", self.default),
            Some(_) => String::new(),
            None => format!("; by default {}", if self.default.is_empty() { "none" } else { self.default }),
        };
        let why = if self.why.is_empty() { self.key } else { self.why };
        format!("{why} ({}{rest})", self.takes)
    }
}

/// The page's sections, in its order.
pub(super) fn sections() -> Vec<PageSection> {
    let mut sections: Vec<PageSection> = Vec::new();
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            let name = heading.split('`').nth(1).unwrap_or_default();
            let list = name.starts_with("[[");
            sections.push(PageSection { name: name.trim_matches(['[', ']']).to_owned(), list, rows: Vec::new() });
        }
        if let (Some(row), Some(section)) = (row(line), sections.last_mut()) {
            section.rows.push(row);
        }
    }
    sections.retain(|section| !section.name.is_empty() || !section.rows.is_empty());
    sections
}

/// A row whose first cell is a key.
fn row(line: &'static str) -> Option<Row> {
    let mut cells = line.strip_prefix("| `")?.split(" |");
    let key = cells.next()?.strip_suffix('`')?;
    let mut cell = || cells.next().unwrap_or_default().trim();
    Some(Row { key, takes: cell(), default: cell(), why: cell() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_a_value_where_it_is_one() {
        let row = |default| Row { key: "k", takes: "1–9", default, why: "for a test" };
        assert_eq!(row("`\"process\"`").value().as_deref(), Some("\"process\""));
        assert_eq!(row("30; 3600 with `[livekit]`").value().as_deref(), Some("30"));
        assert_eq!(row("off").value().as_deref(), Some("\"off\""));
        assert_eq!(row("see below").value(), None);
        assert_eq!(row("`hostname-pid`").value(), None);
        assert_eq!(
            row("30; 3600 with `[livekit]`").sentence(),
            "for a test (1–9; by default 30; 3600 with `[livekit]`)"
        );
        assert_eq!(row("5").sentence(), "for a test (1–9)");
        assert_eq!(row("see below").sentence(), "for a test (1–9; by default see below)");
    }

    #[test]
    fn the_page_has_every_section_with_its_keys() {
        let sections = sections();
        let find = |name: &str| sections.iter().find(|section| section.name == name).expect(name);
        assert_eq!(find("").rows[0].key, "config_version");
        assert_eq!(find("wall").rows[0].default, "1024");
        assert!(find("routing.rule").list && !find("routing").list);
        assert!(find("tenants.NAME.wall").rows.iter().all(|row| row.takes.is_empty()));
    }
}
