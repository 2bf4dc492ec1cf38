//! Aligns cells that end in tabs (the rules of Go's `text/tabwriter`).
//!
//! A column is a run of adjacent lines that all have a cell there; it is as wide as its widest cell.

/// Aligns the cells of a text.
pub(crate) fn align(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            // The last cell of a line ends in no tab and belongs to no column.
            let in_column = |line: &Vec<&str>| column + 1 < line.len();
            if !in_column(&lines[start]) {
                start += 1;
                continue;
            }
            let end = lines[start..]
                .iter()
                .position(|l| !in_column(l))
                .map_or(lines.len(), |n| start + n);
            let widest = lines[start..end]
                .iter()
                .map(|l| l[column].chars().count())
                .max()
                .unwrap_or(0);
            let width = min_width.max(widest + padding);
            for line in &mut widths[start..end] {
                line[column] = width;
            }
            start = end;
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (cell, width) in cells.iter().zip(widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_as_go() {
        assert_eq!(
            align("A\tB\tC\n1234567890\t2\t3\n", 10, 3),
            "A            B         C\n1234567890   2         3\n"
        );
        assert_eq!(
            align("a\tb\nno tab\nlonger than it\tb", 4, 1),
            "a   b\nno tab\nlonger than it b"
        );
    }
}
