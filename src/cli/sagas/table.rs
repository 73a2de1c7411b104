//! Columns as wide as what stands in them.
use super::super::words::printable;

/// A cell is cut there.
const MAX_WIDTH: usize = 48;
const GAP: &str = "  ";

/// Each row a line, the heading first. Nothing follows the last column, so that lines end where their text does.
pub(super) fn lines<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let cells = |row: &[String; N]| row.clone().map(|cell| cut(&printable(&cell)));
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        padded.join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn cut(text: &str) -> String {
    match text.chars().count() {
        ..=MAX_WIDTH => text.to_owned(),
        _ => text.chars().take(MAX_WIDTH - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_lines_end_with_their_text() {
        let rows =
            [["1".to_owned(), "grün".to_owned(), String::new()], ["22".to_owned(), "b".to_owned(), "c".to_owned()]];
        assert_eq!(lines(["N", "NAME", "X"], &rows), ["N   NAME  X", "1   grün", "22  b     c"]);
    }

    #[test]
    fn a_shop_s_own_names_break_no_line_and_push_nothing_off_the_screen() {
        let rows = [["a\nb".to_owned(), "x".repeat(500)]];
        let told = lines(["REF", "CAUSE"], &rows);
        assert_eq!((told.len(), told[1].lines().count()), (2, 1));
        assert!(told[1].chars().count() < 60 && told[1].ends_with('…'), "{}", told[1]);
    }
}
