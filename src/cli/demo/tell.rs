//! How the demo speaks: short paragraphs on standard output, a line that counts on the terminal.
use crate::cli::words::{plural, printable};
use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal, time::Duration};

/// A line is easily read up to there.
const WIDTH: usize = 96;
const TICK: Duration = Duration::from_millis(120);

#[derive(Debug)]
pub(super) struct Teller {
    bold: bool,
    /// On standard error; only a terminal shows it.
    line: ProgressBar,
}

impl Teller {
    pub(super) fn new() -> Teller {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let line = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        line.enable_steady_tick(TICK);
        Teller { bold: colours && std::io::stdout().is_terminal(), line }
    }

    pub(super) fn heading(&self, text: &str) {
        self.line.suspend(|| match self.bold {
            true => say!("\n\x1b[1m{text}\x1b[0m"),
            false => say!("\n{text}"),
        });
    }

    pub(super) fn paragraph(&self, text: &str) {
        self.line.suspend(|| say!("{}", wrapped(&printable(text))));
    }

    /// As it stands: a command, a line of a table.
    pub(super) fn verbatim(&self, text: &str) {
        self.line.suspend(|| say!("  {}", printable(text)));
    }

    pub(super) fn counts(&self, placed: usize, ended: usize) {
        self.line.set_message(format!("{placed} placed, {ended} ended, {} under way", placed.saturating_sub(ended)));
    }

    /// Nothing is counted any more.
    pub(super) fn quiet(&self) {
        self.line.finish_and_clear();
    }
}

/// Broken between words; a word that is longer than a line stands alone.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// `23 ms`, `1.2 s`.
pub(super) fn took(time: Duration) -> String {
    match time.as_millis() {
        millis @ ..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// The value that `percent` of all stay below or at.
pub(super) fn percentile(mut times: Vec<Duration>, percent: usize) -> Option<Duration> {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied()
}

pub(super) fn orders(count: usize) -> String {
    plural(count, "order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_nothing_is_lost() {
        let text = "forty two orders wait ".repeat(12);
        let told = wrapped(text.trim());
        assert!(told.lines().count() > 2 && told.lines().all(|line| line.chars().count() <= WIDTH), "{told}");
        assert_eq!(told.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        assert_eq!(wrapped(&"x".repeat(200)).lines().count(), 1);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times = |all: &[u64]| all.iter().map(|&ms| Duration::from_millis(ms)).collect::<Vec<_>>();
        assert_eq!(percentile(times(&[3, 1, 2]), 50), Some(Duration::from_millis(2)));
        assert_eq!(percentile(times(&[3, 1, 2]), 99), Some(Duration::from_millis(3)));
        assert_eq!(percentile(vec![], 50), None);
        assert_eq!(
            (took(Duration::from_millis(999)), took(Duration::from_millis(1_250))),
            ("999 ms".into(), "1.2 s".into())
        );
    }
}
