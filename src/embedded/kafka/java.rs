//! Finds a Java that can run Kafka: `JAVA_HOME`'s, else the first in `PATH`, of version 17 or later.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version that runs Kafka 4's broker.
const OLDEST: u32 = 17;

/// The path of a `java` that is new enough, if there is one.
pub(super) fn find() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    home.into_iter()
        .chain(env::split_paths(&path))
        .map(|folder| folder.join("java"))
        .filter(|java| java.is_absolute() && java.is_file())
        .find(|java| major_of(java).is_some_and(|major| major >= OLDEST))
}

fn major_of(java: &Path) -> Option<u32> {
    let answer = Command::new(java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|answer| answer.status.success())?;
    parse_major(&String::from_utf8_lossy(&answer.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, `"1.8.0_402"` is 8; lines before (options picked up) are passed over.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.lines().find_map(|line| line.split_once(" version \""))?.1;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_java_says() {
        let debian = "Picked up JAVA_TOOL_OPTIONS: -Dx=y\nopenjdk version \"17.0.15\" 2025-04-15\nOpenJDK…";
        assert_eq!(parse_major(debian), Some(17));
        assert_eq!(parse_major("java version \"1.8.0_402\"\n"), Some(8));
        assert_eq!(parse_major("openjdk version \"25\" 2025-09-16\n"), Some(25));
        assert_eq!(parse_major("openjdk version \"26-ea\" 2026-03-17\n"), Some(26));
        assert_eq!(parse_major("No Java runtime present\n"), None);
    }
}
