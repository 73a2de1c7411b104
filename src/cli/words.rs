//! How the commands put things for people.
use chrono::{DateTime, TimeDelta, Utc};

/// `out_of_stock` becomes `out of stock`.
pub(super) fn words(code: &str) -> String {
    code.replace('_', " ")
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `3 d 4 h`, `12 min`, `45 s`: the two largest units that say something. Below a second, and of clocks that differ, `0 s`.
pub(super) fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..600 => format!("{} min {} s", seconds / 60, seconds % 60),
        600..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// What others have named, fit for a terminal: without what would move its cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// As a word of a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", printable(word).replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let told = |seconds| span(TimeDelta::seconds(seconds));
        assert_eq!([told(-5), told(0), told(59)], ["0 s", "0 s", "59 s"]);
        assert_eq!([told(61), told(599), told(600), told(3_599)], ["1 min 1 s", "9 min 59 s", "10 min", "59 min"]);
        assert_eq!([told(3_600), told(86_399), told(90_000)], ["1 h 0 min", "23 h 59 min", "1 d 1 h"]);
    }

    #[test]
    fn what_a_participant_says_can_neither_run_nor_move_the_cursor() {
        assert_eq!(quoted("retries_exhausted"), "retries_exhausted");
        assert_eq!(quoted("$(rm -rf /)"), "'$(rm -rf /)'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
