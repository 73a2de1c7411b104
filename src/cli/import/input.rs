//! The file to import: lines of JSON or rows of CSV, plain or gzipped, read as a stream.
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    Orders,
    Stock,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// As it stands in the file: what is no text, the server refuses as it does what is no JSON.
    pub(in crate::cli) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(in crate::cli) struct Input {
    path: PathBuf,
    pub(in crate::cli) kind: Kind,
    /// Of the file as it lies on the disk.
    pub(super) bytes: u64,
}

impl Input {
    pub(in crate::cli) fn open(path: &Path) -> Result<Input> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = match name.strip_suffix(".gz").unwrap_or(name).rsplit('.').next() {
            Some("csv") => Kind::Stock,
            Some("jsonl" | "ndjson" | "json") => Kind::Orders,
            _ => bail!("{}: its name must end in .jsonl or .csv, also with .gz", path.display()),
        };
        let file = File::open(path).with_context(|| format!("{} can't be opened", path.display()))?;
        let bytes = file.metadata().with_context(|| format!("{} can't be read", path.display()))?.len();
        let input = Input { path: path.to_owned(), kind, bytes };
        // A broken file is told before anything is sent.
        input
            .reader(&ProgressBar::hidden())?
            .fill_buf()
            .with_context(|| format!("{} can't be read", path.display()))?;
        Ok(input)
    }

    /// The text, unzipped; the bar moves as the file is read.
    pub(super) fn reader(&self, bar: &ProgressBar) -> Result<Box<dyn BufRead + Send>> {
        let file = File::open(&self.path).with_context(|| format!("{} can't be opened", self.path.display()))?;
        let file = bar.wrap_read(BufReader::new(file));
        let zipped = self.path.extension().is_some_and(|extension| extension == "gz");
        Ok(if zipped { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(BufReader::new(file)) })
    }

    /// Its lines, but blank ones.
    pub(in crate::cli) fn lines(&self, bar: &ProgressBar) -> Result<impl Iterator<Item = Result<Line>> + Send + use<>> {
        Ok(lines(self.reader(bar)?))
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the unzipped text.
    pub(super) fn digest(&self) -> Result<String> {
        let mut reader = self.reader(&ProgressBar::hidden())?;
        let mut hash = Sha256::new();
        let mut buffer = [0; 64 * 1024];
        loop {
            match reader.read(&mut buffer).with_context(|| format!("{} can't be read", self.path.display()))? {
                0 => return Ok(short_hex(&hash.finalize())),
                n => hash.update(&buffer[..n]),
            }
        }
    }
}

fn lines(reader: impl BufRead) -> impl Iterator<Item = Result<Line>> {
    (1..).zip(reader.split(b'\n')).filter_map(|(number, line)| {
        let line = line.with_context(|| format!("line {number} can't be read"));
        let line = line.map(|line| Line { number, bytes: line.trim_ascii().to_vec() });
        line.map_or_else(|error| Some(Err(error)), |line| (!line.bytes.is_empty()).then_some(Ok(line)))
    })
}

/// 16 hexadecimal digits of a digest.
pub(super) fn short_hex(digest: &[u8]) -> String {
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_stand_and_blank_ones_passed_over() {
        let read: Vec<_> = lines(&b"{}\r\n\n  \n\xff\n{}"[..]).map(Result::unwrap).collect();
        let line = |number, bytes: &[u8]| Line { number, bytes: bytes.to_vec() };
        assert_eq!(read, [line(1, b"{}"), line(4, b"\xff"), line(5, b"{}")]);
    }
}
