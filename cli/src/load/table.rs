//! Figures as a table that a README can hold.

use super::rows::Figure;
use std::collections::BTreeMap;
use std::fmt::Write;

/// All runs of all rows: row and figure, then server, then one value a round.
#[derive(Debug, Default)]
pub struct Table {
    lines: Vec<(String, &'static str, bool)>,
    values: BTreeMap<(String, &'static str, String), Vec<f64>>,
}

impl Table {
    /// Takes the figures of one run in.
    pub fn add(&mut self, row: &str, server: &str, figures: Vec<Figure>) {
        for figure in figures {
            let line = (row.to_owned(), figure.name, figure.more_is_better);
            if !self.lines.contains(&line) {
                self.lines.push(line);
            }
            let cell = (row.to_owned(), figure.name, server.to_owned());
            self.values.entry(cell).or_default().push(figure.value);
        }
    }

    /// Medians a server, and how the first relates to each of the others: above one is better.
    #[must_use]
    pub fn render(&self, servers: &[String]) -> String {
        let mut out = String::from("| row | figure |");
        for server in servers {
            let _ = write!(out, " {server} |");
        }
        let others = &servers[1..];
        for other in others {
            match others {
                [_] => out.push_str(" better by |"),
                _ => drop(write!(out, " better than {other} by |")),
            }
        }
        out.push_str("\n|---|---|");
        out.push_str(&"---|".repeat(servers.len() + others.len()));
        out.push('\n');
        for (row, name, more_is_better) in &self.lines {
            let _ = write!(out, "| {row} | {name} |");
            let medians: Vec<f64> =
                servers.iter().map(|server| self.median(row, name, server)).collect();
            for median in &medians {
                let _ = write!(out, " {} |", number(*median));
            }
            for theirs in &medians[1..] {
                let ratio = if *more_is_better { medians[0] / theirs } else { theirs / medians[0] };
                let shown =
                    if ratio.is_finite() { format!("{ratio:.2}×") } else { String::from("-") };
                let _ = write!(out, " {shown} |");
            }
            out.push('\n');
        }
        out
    }

    fn median(&self, row: &str, name: &'static str, server: &str) -> f64 {
        let cell = (row.to_owned(), name, server.to_owned());
        let mut values = self.values.get(&cell).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => String::from("-"),
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 => format!("{v:.3}"),
        v => format!("{v:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_the_figure_counts() {
        let figure = |name, value, more_is_better| Figure { name, value, more_is_better };
        let mut table = Table::default();
        let row = |speed, wait| vec![figure("calls/s", speed, true), figure("ms", wait, false)];
        table.add("put", "a", row(300.0, 2.0));
        table.add("put", "a", row(100.0, 1.0));
        table.add("put", "a", row(200.0, 3.0));
        table.add("put", "b", row(100.0, 4.0));
        let servers = [String::from("a"), String::from("b")];
        let text = table.render(&servers);
        assert!(text.contains("| put | calls/s | 200.0 | 100.0 | 2.00× |"), "{text}");
        assert!(text.contains("| put | ms | 2.000 | 4.000 | 2.00× |"), "{text}");
        table.add("put", "c", row(400.0, 1.0));
        let text = table.render(&["a", "b", "c"].map(String::from));
        assert!(
            text.contains(
                "| better than b by | better than c by |\n|---|---|---|---|---|---|---|\n"
            )
        );
        assert!(text.contains("| put | ms | 2.000 | 4.000 | 1.000 | 2.00× | 0.50× |"), "{text}");
    }
}
