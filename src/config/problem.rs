use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::domain::printable;

/// A position in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where; `None` if it is about the file as a whole.
    pub place: Option<Place>,
    /// What, on one line, with names in backticks. Never a secret.
    pub message: String,
}

/// Every problem of one file, in the order of their places.
#[derive(Clone, Debug)]
pub struct Problems {
    path: PathBuf,
    found: Vec<Problem>,
}

impl Problems {
    /// No problem yet in the file at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), found: Vec::new() }
    }

    /// The one problem of a file that cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let mut problems = Self::new(path);
        problems.push_whole(format!("cannot be read: {error}"));
        problems
    }

    /// Adds a problem at `place`.
    pub fn push(&mut self, place: Place, message: impl Into<String>) {
        self.add(Some(place), &message.into());
    }

    /// Adds a problem of the file as a whole.
    pub fn push_whole(&mut self, message: impl Into<String>) {
        self.add(None, &message.into());
    }

    fn add(&mut self, place: Option<Place>, message: &str) {
        // A path, or an error of a library, can hold a line break or what a terminal takes for a command.
        let message = printable(message).into_owned();
        self.found.push(Problem { place, message });
    }

    /// `value` if there was no problem. `None` without a problem counts as one, so that nothing passes by omission.
    pub fn result<T>(mut self, value: Option<T>) -> Result<T, Self> {
        self.found.sort();
        self.found.dedup();
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            None if self.found.is_empty() => {
                self.push_whole("holds no configuration");
                Err(self)
            }
            _ => Err(self),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The problems, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.found.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some(Place { line, column }) = problem.place {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `text` in backticks, on one line and not much longer than a name would be.
pub(super) fn show(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    let rest = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{shown}{rest}`").replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_read_in_the_order_of_the_file_each_once() {
        let mut problems = Problems::new(Path::new("g.yaml"));
        problems.push(Place { line: 10, column: 1 }, "later");
        problems.push(Place { line: 9, column: 12 }, "earlier");
        problems.push(Place { line: 9, column: 12 }, "earlier");
        problems.push_whole("everywhere");
        let problems = problems.result(Some(())).unwrap_err();
        assert_eq!(problems.to_string(), "g.yaml: everywhere\ng.yaml:9:12: earlier\ng.yaml:10:1: later");
    }

    #[test]
    fn a_problem_is_told_on_one_line() {
        let mut problems = Problems::new(Path::new("g.yaml"));
        problems.push(Place { line: 1, column: 1 }, "`a\nb\u{1b}[0m\u{e9}` cannot be read");
        assert_eq!(problems.to_string(), "g.yaml:1:1: `a\\nb\\u{1b}[0m\u{e9}` cannot be read");
    }

    #[test]
    fn nothing_passes_by_omission() {
        assert!(Problems::new(Path::new("g.yaml")).result(Some(1)).is_ok());
        assert!(Problems::new(Path::new("g.yaml")).result(None::<u8>).is_err());
    }

    #[test]
    fn shown_texts_stay_on_one_line() {
        assert_eq!(show("a\nb\u{1b}[0m"), "`a\\nb\\u{1b}[0m`");
        assert_eq!(show(&"a".repeat(81)), format!("`{}…`", "a".repeat(80)));
    }
}
