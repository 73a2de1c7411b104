//! Looks for words everywhere: as they are, and as base64, hexadecimal, percent-encoded or escaped JSON would write them.
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use eventstore::{EventFeed, Incarnation, Log, Position};
use mirror::{KafkaConfig, KafkaFeed, Place};
use sqlx::{PgConnection, Row};
use std::{collections::BTreeSet, io::Write, path::Path, process::Command, time::Duration};

/// A feed that says nothing for so long has said all.
const SILENCE: Duration = Duration::from_secs(8);

pub(super) struct Search {
    /// Each way of writing each word, and the word.
    secrets: Vec<(Vec<u8>, String)>,
    marks: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Found {
    /// `PLACE: WORD`.
    pub(super) secrets: BTreeSet<String>,
    /// Where which mark was seen.
    marks: BTreeSet<(String, String)>,
}

impl Found {
    /// Proves that the search can find: what must lie there was seen there.
    pub(super) fn has(&self, place: &str, mark: &str) {
        let seen = self.marks.iter().any(|(at, what)| at.contains(place) && what == mark);
        assert!(seen, "{mark} was not found in {place}: the search is blind there");
    }
}

impl Search {
    pub(super) fn new(secrets: &[&str], marks: &[&str]) -> Search {
        let secrets = secrets.iter().flat_map(|word| ways(word).into_iter().map(|way| (way, (*word).to_owned())));
        Search { secrets: secrets.collect(), marks: marks.iter().map(|mark| (*mark).to_owned()).collect() }
    }

    fn look(&self, place: &str, bytes: &[u8], found: &mut Found) {
        for (way, word) in &self.secrets {
            if contains(bytes, way) {
                found.secrets.insert(format!("{place}: {word}"));
            }
        }
        for mark in &self.marks {
            if contains(bytes, mark.as_bytes()) {
                found.marks.insert((place.to_owned(), mark.clone()));
            }
        }
    }

    /// Every row of every table, as text: also what the files hold compressed.
    pub(super) async fn database(&self, database: &mut PgConnection) -> Found {
        let mut found = Found::default();
        let tables = sqlx::query(
            // What a connection keeps to itself no other can read; of ours that is what the audit folds, and rolls back.
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
              WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg_temp%'",
        );
        let tables: Vec<String> =
            tables.fetch_all(&mut *database).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert!(tables.len() > 15, "{tables:?}");
        for table in tables {
            let sql = format!("SELECT t::text FROM {table} AS t");
            for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *database).await.unwrap() {
                self.look(&format!("tables {table}"), row.get::<String, _>(0).as_bytes(), &mut found);
            }
        }
        found
    }

    /// Every record, as a reader sees it.
    pub(super) async fn kafka(&self, config: KafkaConfig) -> Found {
        let mut found = Found::default();
        let nowhere = Place { incarnation: Incarnation(0), position: Position::ZERO };
        let mut feed = KafkaFeed::whole(config, Log::MAIN, nowhere);
        while let Ok(Ok(events)) = tokio::time::timeout(SILENCE, feed.next(1_000)).await {
            for event in &events {
                self.look("records", format!("{event:?}").as_bytes(), &mut found);
                self.look("records", event.payload.get().as_bytes(), &mut found);
            }
        }
        found
    }

    /// Every file under a folder, byte by byte: hundreds of megabytes, so that `grep` does it.
    pub(super) fn folder(&self, folder: &Path) -> Found {
        let mut found = Found::default();
        let mut patterns = tempfile::NamedTempFile::new().unwrap();
        let mut words: Vec<&[u8]> = self.secrets.iter().map(|(way, _)| way.as_slice()).collect();
        words.extend(self.marks.iter().map(|mark| mark.as_bytes()));
        patterns.write_all(&words.join(&b'\n')).unwrap();
        let grep = Command::new("grep")
            .env("LC_ALL", "C")
            .args([
                "--recursive",
                "--text",
                "--fixed-strings",
                "--only-matching",
                "--with-filename",
                "--null",
                "--file",
            ])
            .args([patterns.path(), folder])
            .output()
            .expect("grep runs");
        for line in grep.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let at = line.iter().position(|byte| *byte == 0).expect("a file's name");
            self.look(&String::from_utf8_lossy(&line[..at]), &line[at + 1..], &mut found);
        }
        found
    }
}

fn ways(word: &str) -> Vec<Vec<u8>> {
    let bytes = word.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = word
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let escaped: String =
        word.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect();
    let mut ways = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    ways.extend([percent.into_bytes(), escaped.into_bytes()]);
    // Wherever in a longer text it began; without the characters that its neighbours have a part in.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&vec![0; before][..], bytes].concat());
        let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
        ways.push(encoded.as_bytes()[from..to].to_vec());
    }
    ways.sort();
    ways.dedup();
    ways
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[test]
fn a_word_is_found_however_it_is_written() {
    let search = Search::new(&["Zebulon Türe"], &["mark"]);
    let base64 = |text: &str| STANDARD_NO_PAD.encode(text);
    for text in [
        "to Zebulon Türe!".to_owned(),
        base64("Zebulon Türe"),
        base64("x Zebulon Türe and more"),
        base64("xy Zebulon Türe."),
        "5a6562756c6f6e2054c3bc7265".to_owned(),
        "5A6562756C6F6E2054C3BC7265".to_owned(),
        "name=Zebulon%20T%C3%BCre&x".to_owned(),
        r#"{"name":"Zebulon T\u00fcre"}"#.to_owned(),
    ] {
        let mut found = Found::default();
        search.look("here", text.as_bytes(), &mut found);
        assert_eq!(found.secrets.len(), 1, "{text}");
        assert!(found.marks.is_empty());
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"\0\xffa mark, Zebulon T\xc3\xbcre\n").unwrap();
    let seen = search.folder(folder.path());
    assert_eq!(seen.secrets.len(), 1);
    seen.has("file", "mark");
    let mut found = Found::default();
    search.look("here", b"Zebulon Ture, a mark", &mut found);
    assert!(found.secrets.is_empty());
    found.has("here", "mark");
}
