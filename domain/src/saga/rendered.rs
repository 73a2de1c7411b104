//! docs/sagas.md shows the tables as they are here. `UPDATE_DOCS=1 cargo test -p domain rendered` writes it.
use super::{DEFINITIONS, Definition, Retry, StepRow, Wait};
use std::{fmt::Write, fs, path::PathBuf, time::Duration};

const BEGIN: &str = "<!-- tables: written by `UPDATE_DOCS=1 cargo test -p domain rendered` -->\n";
const END: &str = "<!-- end of tables -->\n";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/sagas.md")
}

fn table(definition: &Definition) -> String {
    let mut text = format!("### `{}`, version {}\n\n", definition.saga, definition.version);
    text.push_str("| step | action | undo | waits for, as long as expected | retried |\n|---|---|---|---|---|\n");
    for row in definition.steps {
        let StepRow { step, action, undo, is_pivot, waits, retry } = row;
        let pivot = if *is_pivot { " (the pivot)" } else { "" };
        let [action, undo] = [action, undo].map(|text| if text.is_empty() { "–" } else { text });
        let waits: Vec<String> = waits.iter().map(wait).collect();
        let waits = if waits.is_empty() { "–".to_owned() } else { waits.join(", ") };
        writeln!(text, "| `{step}`{pivot} | {action} | {undo} | {waits} | {} |", retried(retry)).unwrap();
    }
    text
}

fn wait(wait: &Wait) -> String {
    format!("{} {}", wait.on.name(), time(wait.expected))
}

fn retried(retry: &Retry) -> String {
    match retry.budget {
        Duration::MAX => "as the store is".to_owned(),
        budget => format!("{} to {}, {} in all", time(retry.base), time(retry.cap), time(budget)),
    }
}

fn time(time: Duration) -> String {
    match (time.as_millis(), time.as_secs()) {
        (millis, _) if millis % 1000 != 0 => format!("{millis} ms"),
        (_, seconds) if seconds % 86_400 == 0 => format!("{} d", seconds / 86_400),
        (_, seconds) if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        (_, seconds) => format!("{seconds} s"),
    }
}

#[test]
fn the_page_shows_the_tables_as_they_are() {
    let text = fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the tables");
    let (shown, after) = rest.split_once(END).expect("the tables end");
    let tables: Vec<String> = DEFINITIONS.into_iter().map(table).collect();
    let tables = tables.join("\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(page(), format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, tables, "docs/sagas.md is out of date: UPDATE_DOCS=1 cargo test -p domain rendered");
    }
}

#[test]
fn every_step_of_a_table_has_a_name_of_its_own_and_there_is_one_pivot() {
    for definition in DEFINITIONS {
        let mut names: Vec<&str> = definition.steps.iter().map(|row| row.step).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), definition.steps.len(), "{}", definition.saga);
        assert_eq!(definition.steps.iter().filter(|row| row.is_pivot).count(), 1, "{}", definition.saga);
        let after = definition.steps.iter().skip_while(|row| !row.is_pivot).skip(1);
        assert!(after.into_iter().all(|row| row.undo.is_empty()), "{}: only forward from the pivot", definition.saga);
    }
}

/// Metrics and groups of incidents name the step alone.
#[test]
fn no_step_of_a_saga_has_the_name_of_one_of_another() {
    let mut names: Vec<&str> = DEFINITIONS.iter().flat_map(|definition| definition.steps).map(|row| row.step).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}
