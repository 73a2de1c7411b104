//! What will come of a batch, in few words: dry runs that come to the same in one sentence, with their count.
use super::ask::Answer;
use std::collections::BTreeMap;

/// What differs between those that a sentence is about.
const DIFFERS: &str = "…";

/// `12 × will capture … USD and complete the order`: the most frequent first.
pub(super) fn grouped(answers: &[Answer]) -> Vec<String> {
    let mut groups: BTreeMap<(Vec<String>, String), (usize, Vec<String>)> = BTreeMap::new();
    for answer in answers {
        let (kind, sentence) = match answer {
            Answer::Would { would, effects } => {
                let then = would.split_once(';').map_or("", |(_, then)| then);
                ((effects.clone(), then.to_owned()), would.clone())
            }
            refused => ((vec![], refused.to_string()), refused.to_string()),
        };
        let words: Vec<String> = sentence.split_whitespace().map(str::to_owned).collect();
        let group = groups.entry(kind).or_insert_with(|| (0, words.clone()));
        group.0 += 1;
        merge(&mut group.1, &words);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    groups
        .into_iter()
        .map(|(count, mut words)| {
            words.dedup_by(|one, other| one == DIFFERS && other == DIFFERS);
            format!("{count} × {}", words.join(" "))
        })
        .collect()
}

/// Words that differ are left open. Of sentences that are built otherwise the first stands for all.
fn merge(into: &mut [String], words: &[String]) {
    if into.len() != words.len() {
        return;
    }
    for (word, other) in into.iter_mut().zip(words) {
        if word != other {
            DIFFERS.clone_into(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn would(effects: &[&str], would: &str) -> Answer {
        Answer::Would { would: would.to_owned(), effects: effects.iter().map(|&effect| effect.to_owned()).collect() }
    }

    #[test]
    fn what_comes_to_the_same_is_one_sentence_and_what_differs_is_left_open() {
        let undo = ["void_authorization", "release_stock", "cancel"];
        let answers = [
            would(&undo, "will void the authorization of 49.00 USD, release 2 SKUs and cancel the order"),
            would(&["complete"], "will complete the order"),
            would(&undo, "will void the authorization of 3.20 USD, release 1 SKU and cancel the order"),
            would(&undo, "will void the authorization of 3.20 USD, release 1 SKU and cancel the order"),
        ];
        assert_eq!(
            grouped(&answers),
            ["3 × will void the authorization of … USD, release … and cancel the order", "1 × will complete the order"]
        );
    }

    #[test]
    fn whom_they_wait_for_afterwards_tells_them_apart_and_so_does_a_refusal() {
        let refused =
            Answer::Refused { code: "not_allowed".into(), detail: "it has ended".into(), supported_actions: vec![] };
        let answers = [
            would(&["capture"], "will capture 1.00 USD; then it stays paused"),
            would(&["capture"], "will capture 1.00 USD"),
            refused.clone(),
            refused,
        ];
        let told = grouped(&answers);
        assert_eq!((told.len(), told[0].as_str()), (3, "2 × refused: it has ended"), "{told:?}");
    }
}
