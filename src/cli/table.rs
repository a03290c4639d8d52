use crate::domain::printable;

/// Rows under their headings, each column as wide as its widest cell, two spaces between. Each row is one line, whatever
/// its cells hold.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let printable = |row: &[String; N]| row.each_ref().map(|cell| printable(cell).into_owned());
    let rows: Vec<[String; N]> = rows.iter().map(printable).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut lines = vec![line(&headings.map(str::to_owned), &widths)];
    lines.extend(rows.iter().map(|row| line(row, &widths)));
    lines.join("\n")
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [["größer", "1"], ["b", "22"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["NAME", "N"], &rows), "NAME    N\ngrößer  1\nb       22");
    }

    #[test]
    fn a_cell_commands_no_terminal_and_starts_no_row() {
        let rows = ["a\u{9b}2J", "b\nc", "\u{202e}d\u{1b}]0;"].map(|cell| [cell.to_owned()]);
        assert_eq!(table(["N"], &rows), "N\na\\u{9b}2J\nb\\nc\n\\u{202e}d\\u{1b}]0;");
    }

    #[test]
    fn an_empty_table_has_its_headings() {
        assert_eq!(table(["A", "B"], &[]), "A  B");
    }
}
