//! The ledger's file: what a crash leaves, who may write, what is shared.

use std::{fs, thread};

use super::journal::{Journal, LET_GO_WITHIN, OpenError};

fn lines(path: &std::path::Path) -> Result<Vec<String>, OpenError> {
    let mut seen = Vec::new();
    let parse = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        seen.push(value.to_string());
        Ok(())
    };
    Journal::open(path, parse)?;
    Ok(seen)
}

#[tokio::test]
async fn a_tail_that_a_crash_tore_is_cut_off_and_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    for (n, torn) in [(0_u64, &b"{\"n\":"[..]), (1, b"\0\0\0\0\n"), (2, b"{\"batch\":7}\n{\"x"), (3, b"")] {
        let journal = Journal::open(&path, |_| Ok(())).unwrap();
        journal.append(format!("{{\"n\":{n}}}\n").as_bytes());
        journal.durable(n + 1).await.unwrap();
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(torn);
        fs::write(&path, bytes).unwrap();
        // A mark with another offset than its own is no mark, only a line that the reader of records refuses.
        let expected: Vec<_> = (0..=n).map(|n| format!("{{\"n\":{n}}}")).collect();
        let seen: Vec<_> = lines(&path).unwrap().into_iter().filter(|l| !l.contains("batch")).collect();
        assert_eq!(seen, expected);
        let journal =
            Journal::open(&path, |l| if l.starts_with(b"{\"n\"") { Ok(()) } else { Err("odd".into()) }).unwrap();
        drop(journal);
    }
}

#[tokio::test]
async fn damage_before_a_later_batch_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let journal = Journal::open(&path, |_| Ok(())).unwrap();
    for n in 1..=2 {
        journal.append(b"{\"n\":1}\n");
        journal.durable(n).await.unwrap();
    }
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    bytes[12] = b'?';
    fs::write(&path, bytes).unwrap();
    assert!(matches!(lines(&path), Err(OpenError::Damaged { offset: 12, .. })), "the first record begins at byte 12");
}

#[tokio::test]
async fn records_that_wait_together_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let journal = Journal::open(&path, |_| Ok(())).unwrap();
    for _ in 0..10_000 {
        journal.append(b"{\"n\":1}\n");
    }
    journal.durable(10_000).await.unwrap();
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("{\"n\":1}\n").count(), 10_000);
    let syncs = text.matches("batch").count();
    assert!(syncs < 2_000, "{syncs} syncs");
}

#[tokio::test]
async fn what_is_not_synced_is_written_before_it_is_answered_and_read_again_by_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let read = |line: &[u8]| if line.starts_with(b"{\"n\"") { Ok(()) } else { Err("odd".to_owned()) };
    let synced = Journal::open(&path, read).unwrap();
    synced.append(b"{\"n\":1}\n");
    synced.durable(1).await.unwrap();
    drop(synced);
    let unsynced = Journal::open_unsynced(&path, read).unwrap();
    unsynced.append(b"{\"n\":2}\n");
    unsynced.durable(2).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with("{\"n\":1}\n{\"n\":2}\n"), "before it is closed");
    unsynced.append(b"{\"n\":3}\n");
    unsynced.append(b"{\"n\":4}\n");
    unsynced.durable(3).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with("{\"n\":3}\n{\"n\":4}\n"), "all that has gathered");
    assert!(matches!(Journal::open(&path, |_| Ok(())), Err(OpenError::InUse(_))));
    unsynced.append(b"{\"n\":5}\n");
    drop(unsynced);
    let mut seen = 0;
    Journal::open(&path, |line| read(line).inspect(|()| seen += 1)).unwrap();
    assert_eq!(seen, 5, "what nobody waited for too");
}

#[test]
fn a_ledger_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let first = Journal::open(&path, |_| Ok(())).unwrap();
    assert!(matches!(Journal::open(&path, |_| Ok(())), Err(OpenError::InUse(_))));
    drop(first);
    Journal::open(&path, |_| Ok(())).unwrap();
}

#[test]
fn who_is_about_to_let_go_of_a_ledger_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let first = Journal::open(&path, |_| Ok(())).unwrap();
    let leaving = thread::spawn(move || {
        thread::sleep(LET_GO_WITHIN / 4);
        drop(first);
    });
    Journal::open(&path, |_| Ok(())).unwrap();
    leaving.join().unwrap();
}
