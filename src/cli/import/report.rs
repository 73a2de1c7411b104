//! What an import came to: the table at its end, and the file of rejected lines.
use super::input::Kind;
use crate::cli::client::{Fault, Problem};
use anyhow::{Context, Result};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) accepted: u64,
    pub(super) accepted_before: u64,
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) completed: u64,
    pub(super) cancelled: BTreeMap<String, u64>,
    /// Not ended when the wait was over.
    pub(super) under_way: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn answered(&self) -> u64 {
        self.accepted + self.accepted_before + self.rejected.values().sum::<u64>()
    }

    /// A rejected line counts under every distinct reason it has, joined.
    pub(super) fn reject(&mut self, problem: &Problem) {
        let mut reasons: Vec<_> = problem.errors.iter().map(reason).collect();
        reasons.sort();
        reasons.dedup();
        let reason = if reasons.is_empty() { problem.code.clone() } else { reasons.join(", ") };
        *self.rejected.entry(reason).or_default() += 1;
    }

    pub(super) fn table(&self, kind: Kind, waited: bool, elapsed: Duration) -> String {
        let (what, unit) = match kind {
            Kind::Orders => ("orders", "orders/s"),
            Kind::Stock => ("rows of goods in", "rows/s"),
        };
        let mut rows: Vec<(String, String)> = Vec::new();
        let mut row = |name: String, count: u64| rows.push((name, count.to_string()));
        row(format!("{what} accepted now"), self.accepted);
        row(format!("{what} accepted before"), self.accepted_before);
        row(format!("{what} rejected"), self.rejected.values().sum());
        self.rejected.iter().for_each(|(reason, count)| row(format!("  {reason}"), *count));
        if waited && kind == Kind::Orders {
            row("completed".to_owned(), self.completed);
            row("cancelled".to_owned(), self.cancelled.values().sum());
            self.cancelled.iter().for_each(|(reason, count)| row(format!("  {reason}"), *count));
            row("under way".to_owned(), self.under_way.values().sum());
            self.under_way.iter().for_each(|(status, count)| row(format!("  {status}"), *count));
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.answered() as f64 / elapsed.as_secs_f64().max(0.001);
        rows.push(("seconds".to_owned(), format!("{:.1}", elapsed.as_secs_f64())));
        rows.push((unit.to_owned(), format!("{rate:.0}")));
        let width =
            |of: fn(&(String, String)) -> &String| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (names, figures) = (width(|row| &row.0), width(|row| &row.1));
        let lines: Vec<_> = rows.iter().map(|(name, figure)| format!("{name:names$}  {figure:>figures$}")).collect();
        lines.join("\n")
    }
}

/// `/lines/3/quantity` and its code become `lines[].quantity out_of_range`: one reason however many lines have it.
fn reason(fault: &Fault) -> String {
    let path = fault.path.trim_start_matches('/').split('/').fold(String::new(), |path, part| {
        match part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() {
            true => path + "[]",
            false if path.is_empty() => part.to_owned(),
            false => path + "." + part,
        }
    });
    format!("{path} {}", fault.code)
}

/// One rejected line, as it stands in the file of rejects.
#[derive(Debug, Serialize)]
pub(super) struct Rejected<'a> {
    /// From 1.
    pub(super) line: u64,
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) detail: &'a str,
    pub(super) errors: &'a [Fault],
    pub(super) text: &'a str,
}

/// The file of rejects: there only when something was rejected, and whole.
#[derive(Debug)]
pub(super) struct Rejects {
    path: PathBuf,
    /// Where it is written until it is whole; absent when the path is no ordinary file (`/dev/null`, a pipe) and is written to as it is.
    part: Option<PathBuf>,
    file: BufWriter<File>,
    count: u64,
}

impl Rejects {
    pub(super) fn create(path: PathBuf) -> Result<Rejects> {
        let special = std::fs::metadata(&path).is_ok_and(|found| !found.is_file());
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = (!special).then(|| PathBuf::from(part));
        let file = match &part {
            Some(part) => File::create(part),
            None => OpenOptions::new().write(true).open(&path),
        };
        let file =
            file.with_context(|| format!("{} can't be written: choose another with --rejects", path.display()))?;
        Ok(Rejects { path, part, file: BufWriter::new(file), count: 0 })
    }

    pub(super) fn write(&mut self, rejected: &Rejected<'_>) -> Result<()> {
        self.count += 1;
        serde_json::to_writer(&mut self.file, rejected)?;
        self.file.write_all(b"\n")?;
        Ok(())
    }

    /// Where they are, if there are any; what an earlier run left there is replaced either way.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>> {
        self.file.flush()?;
        let any = self.count > 0;
        match &self.part {
            None => {}
            Some(part) if any => std::fs::rename(part, &self.path)?,
            Some(part) => {
                std::fs::remove_file(part)?;
                if let Err(error) = std::fs::remove_file(&self.path)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(error.into());
                }
            }
        }
        Ok(any.then_some(self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_rejected(path: PathBuf) -> Option<PathBuf> {
        let mut rejects = Rejects::create(path).unwrap();
        rejects
            .write(&Rejected { line: 1, status: 422, code: "invalid", detail: "", errors: &[], text: "{}" })
            .unwrap();
        rejects.finish().unwrap()
    }

    #[test]
    fn rejects_are_there_whole_and_gone_when_a_later_run_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejected.jsonl");
        assert_eq!(one_rejected(path.clone()), Some(path.clone()));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(Rejects::create(path).unwrap().finish().unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_ordinary_file_is_written_to_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(one_rejected(link.clone()), Some(link.clone()));
        assert_eq!(std::fs::read_link(&link).unwrap(), PathBuf::from("/dev/null"));
        assert_eq!(Rejects::create(link.clone()).unwrap().finish().unwrap(), None);
        assert_eq!(std::fs::read_link(&link).unwrap(), PathBuf::from("/dev/null"));
    }

    #[test]
    fn a_reason_is_the_same_whichever_line_has_it() {
        let fault = |path: &str| Fault { path: path.into(), code: "out_of_range".into(), message: String::new() };
        assert_eq!(reason(&fault("/lines/3/quantity")), "lines[].quantity out_of_range");
        assert_eq!(reason(&fault("/lines/14/quantity")), reason(&fault("/lines/3/quantity")));
        assert_eq!(reason(&fault("/total")), "total out_of_range");
    }
}
